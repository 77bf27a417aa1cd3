"""What features are called, in a model's file and in the graph."""

import pytest

from pipeline.backends.tables import names as feature_names
from pipeline.backends.tables.names import Feature, Places, column_names, features_of
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve


def graph(*steps, keys="{}", **fields):
    model = {
        "name": "m",
        "framework": "onnx",
        "uri": "m/1",
        "inputs": {"x": next(iter(fields))},
        "outputs": {"y": "m_y"},
    }
    return resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {
                    "fields": {
                        name: {"dtype": dtype, "shape": shape, "name": keys.format(name)}
                        for name, (dtype, *shape) in fields.items()
                    }
                },
                "prepare": list(steps),
                "models": [model],
            }
        )
    )


def names(ensemble, column, types=None):
    found = features_of(column, ensemble, types or ensemble.types)
    return [(*feature.names, feature.is_named) for feature in found]


NUMBER = ("float32",)


def test_single_value_has_the_name_of_its_column_and_a_longer_one_only_numbers():
    ensemble = graph(age=NUMBER, one=("float32", 1), pixels=("float32", 2))
    assert names(ensemble, "age") == [("age", True)]
    assert names(ensemble, "one") == [("one", True)]
    assert names(ensemble, "pixels") == [("pixels_0", False), ("pixels_1", False)]


def test_field_has_the_name_of_its_key_too():
    ensemble = graph(
        {"column": "X", "op": "concat", "of": ["a", "b"]}, a=NUMBER, b=("float32", 2), keys="k {}"
    )
    assert names(ensemble, "a") == [("k a", "a", True)]
    assert names(ensemble, "X") == [
        ("k a", "a", True),
        ("k b_0", "b_0", False),
        ("k b_1", "b_1", False),
    ]


def test_joined_columns_keep_their_names_in_order():
    ensemble = graph(
        {"column": "X", "op": "concat", "of": ["b", "pixels", "a"]},
        a=NUMBER,
        b=NUMBER,
        pixels=("float32", 2),
    )
    assert names(ensemble, "X") == [
        ("b", True),
        ("pixels_0", False),
        ("pixels_1", False),
        ("a", True),
    ]


@pytest.mark.parametrize(
    "step",
    [
        {"op": "cast", "dtype": "float64"},
        {"op": "scale", "factor": 2},
        {"op": "normalize", "mean": 1, "std": 2},
    ],
    ids=lambda step: step["op"],
)
def test_names_survive_steps_that_compute_each_value_by_itself(step):
    before = {"column": "X", "op": "concat", "of": ["b", "a"]}
    ensemble = graph(before, {"column": "Z", "of": "X", **step}, a=NUMBER, b=NUMBER)
    assert names(ensemble, "Z") == [("Z_0", "b", True), ("Z_1", "a", True)]


def test_column_of_a_step_goes_by_its_own_name_first_then_by_what_it_was():
    steps = [
        {"column": "money", "op": "scale", "of": "fare", "factor": 2},
        {"column": "price", "op": "concat", "of": ["money"]},
    ]
    assert names(graph(*steps, fare=NUMBER), "price") == [("price", "money", "fare", True)]


def test_labels_of_a_one_hot_are_what_tables_call_such_columns():
    ensemble = graph(
        {"column": "hot", "op": "one_hot", "of": "sex", "labels": ["male", "female"]},
        {"column": "deep", "op": "one_hot", "of": "deck", "depth": 2},
        sex=("string",),
        deck=("int64",),
    )
    assert names(ensemble, "hot") == [
        ("hot_male", "sex_male", False),
        ("hot_female", "sex_female", False),
    ]
    assert names(ensemble, "deep") == [
        ("deep_0", "deck_0", False),
        ("deep_1", "deck_1", False),
    ]


def test_padded_rows_have_no_names_from_before():
    step = {"column": "p", "op": "pad", "of": "words", "length": 2}
    assert names(graph(step, words=("float32", None)), "p") == [("p_0", False), ("p_1", False)]


def test_columns_of_several_axes_or_of_unknown_length_have_no_features():
    ensemble = graph(
        {"column": "X", "op": "concat", "of": ["grid"]},
        grid=("float32", 2, 2),
        words=("float32", None),
    )
    assert [names(ensemble, column) for column in ("grid", "X", "words", "nothing")] == [[]] * 4


def test_outputs_of_a_model_go_by_the_name_of_their_column():
    types = {"m_y": ("float32", (2,))}
    assert names(graph(age=NUMBER), "m_y", types) == [("m_y_0", False), ("m_y_1", False)]
    assert names(graph(age=NUMBER), "m_y", {"m_y": ("float32", ())}) == [("m_y", True)]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("age", "age"),
        ("sepal length (cm)", "sepal_length_cm"),
        ("Petal.Width", "Petal.Width"),
        ("2nd floor", "field_2nd_floor"),
        ("prénom", "pr_nom"),
        ("年龄", "field"),
        ("a[1]", "a_1"),
    ],
)
def test_name_of_a_feature_as_that_of_a_column(name, column):
    assert feature_names.column_name(name) == column


def test_names_as_columns_are_all_different():
    assert column_names(["年龄", "票价", "a b", "a_b", "a_b_2"]) == (
        "field",
        "field_2",
        "a_b",
        "a_b_2",
        "a_b_2_2",
    )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Sepal length (cm)", [0]),  # as it is
        ("sepal_length_cm", [0]),  # what `init` calls it
        ("sepal_length_(cm)", [0]),  # as LightGBM writes it
        ("SepalLength", []),
        ("Age", [1]),
        ("age", [2]),
        ("AGE", [1, 2]),  # which of them cannot be told
        ("x.0", [3]),
    ],
)
def test_names_are_alike_whose_letters_and_digits_agree(asked, found):
    assert list(Places(["Sepal length (cm)", "Age", "age", "x_0"]).called(asked)) == found


def test_first_name_that_the_model_knows_counts():
    places = Places(["age", "age_scaled"])
    assert list(places.of(Feature(("age_scaled", "age"), is_named=True))) == [1]
    assert list(places.of(Feature(("z", "age"), is_named=True))) == [0]
    assert list(places.of(Feature(("z",), is_named=True))) == []


def test_name_that_a_file_has_twice_may_stand_in_either_place():
    assert list(Places(["a", "b", "a"]).called("a")) == [0, 2]


@pytest.mark.parametrize(
    ("names", "made_up"),
    [
        (["Column_0", "Column_1"], True),
        (["f0", "f1"], True),
        (["0", "1"], True),
        (["f1", "f0"], False),
        (["V1", "V2"], False),
        (["f0", "age"], False),
    ],
)
def test_names_that_only_count_are_none(names, made_up):
    assert feature_names.are_made_up(names) is made_up


def by_itself(column, *shape):
    return column, feature_names.features_by_itself(column, shape)


def test_columns_that_joined_are_what_the_model_takes():
    there = [by_itself("x", 2), by_itself("age"), by_itself("Fare"), by_itself("w", 2)]
    assert Places(["fare", "x_0", "x_1", "age"]).joined(there) == ("Fare", "x", "age")
    # What no column has, or has in another order, is a column of its own.
    assert Places(["w_1", "w_0", "tax rate"]).joined(there) == ("w_1", "w_0", "tax_rate")
