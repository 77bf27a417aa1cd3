"""What pictures of an ensemble show: boxes in layers, columns with their readers."""

import pytest

from tests.support.drawings import any_drawing, drawing, model


def titles(drawn):
    return [box.title for box in drawn.boxes]


def test_boxes_stand_in_the_order_in_which_they_run_and_layers_follow_what_they_read():
    drawn = drawing(
        [model("b", ["a1"], ["b1"]), model("a", ["x"], ["a1"]), model("c", ["x"], ["c1"])],
        combine=[{"column": "y", "op": "mean", "of": ["b1", "c1"]}],
    )
    assert titles(drawn) == ["record", "a", "b", "c", "mean", "output"]
    assert [box.layer for box in drawn.boxes] == [0, 1, 2, 1, 3, 4]


def test_columns_with_the_same_readers_are_one_bundle():
    drawn = drawing(
        [model("a", ["u", "v"], ["a1"]), model("b", ["v", "w", "u"], ["b1", "b2"])],
        fields=("u", "v", "w", "z"),
        output=["a1", "b2"],
    )
    record, _, b, _ = drawn.boxes
    assert [(bundle.columns, bundle.readers) for bundle in record.bundles] == [
        (("u", "v"), (1, 2)),
        (("w",), (2,)),
        (("z",), ()),
    ]
    assert [(bundle.columns, bundle.readers) for bundle in b.bundles] == [
        (("b1",), ()),
        (("b2",), (3,)),
    ]


def test_notes_of_a_model_name_framework_and_version_and_those_of_a_step_its_settings():
    drawn = drawing(
        [model("a", ["x"], ["p"]), model("b", ["x"], ["q"])],
        combine=[
            {"column": "y", "op": "weighted_mean", "of": ["p", "q"], "weights": [1, 0.5]},
            {"column": "l", "op": "lookup", "of": "y", "labels": ["up", "down"]},
        ],
        versions={"a": "7"},
    )
    assert [box.notes for box in drawn.boxes[1:5]] == [
        ("onnx", "version 7"),
        ("onnx",),
        ("weights 1, 0.5",),
        ("2 labels",),
    ]


def test_types_beyond_the_record_are_those_that_are_handed_in():
    drawn = drawing([model("a", ["x"], ["p", "q"])], types={"p": ("int64", (None, 3))})
    assert [drawn.typed(name) for name in "xpq"] == ["float32[4]", "int64[any, 3]", ""]


@pytest.mark.parametrize("seed", range(40))
def test_data_only_ever_goes_to_a_later_box_and_layer(seed):
    drawn = any_drawing(seed)
    for i, box in enumerate(drawn.boxes):
        for bundle in box.bundles:
            assert all(reader > i for reader in bundle.readers)
            assert all(drawn.boxes[reader].layer > box.layer for reader in bundle.readers)
