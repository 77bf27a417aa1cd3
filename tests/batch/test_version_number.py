"""Numbers in names: what counts as one, and which names have them in the same place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.version_number import alone, naming_part, numbered, part_of_version


@pytest.mark.parametrize(
    ("name", "form", "numbers"),
    [
        ("12", "N", [(12,)]),
        ("007", "N", [(7,)]),
        ("0123456", "N", [(123456,)]),
        ("1706745600", "N", [(1706745600,)]),
        ("1.10.2", "N", [(1, 10, 2)]),
        ("v1.10.0", "vN", [(1, 10)]),
        ("r9", "rN", [(9,)]),
        ("model-3", "model-N", [(3,)]),
        ("step_1000", "step_N", [(1000,)]),
        ("checkpoint-500", "checkpoint-N", [(500,)]),
        ("epoch=3-step=100.ckpt", "epoch=N-step=N.ckpt", [(3,), (100,)]),
        ("2024-01-31", "N-N-N", [(2024,), (1,), (31,)]),
        ("20240201-0930", "N-N", [(20240201,), (930,)]),
        ("20240201T093000Z", "NTNZ", [(20240201,), (93000,)]),
        ("2024-02-01T09:30:00.5Z", "N-N-NTN:N:NZ", [(2024,), (2,), (1,), (9,), (30,), (0, 5)]),
        ("1.0.0-rc1", "N-rcN", [(1,), (1,)]),
        ("llama3-8b-v2", "llamaN-8b-vN", [(3,), (2,)]),
        ("1.2.tar.gz", "N.tar.gz", [(1, 2)]),
        ("7/model", "N/model", [(7,)]),
        ("decade1", "decadeN", [(1,)]),
        ("facade12", "facadeN", [(12,)]),
        ("a123456", "aN", [(123456,)]),
        ("9" * 400, "N", [(int("9" * 400),)]),
    ],
)
def test_numbers_of_a_name_and_the_text_around_them(name, form, numbers):
    found = numbered(name)
    assert ("N".join(found.around), list(found.numbers)) == (form, numbers)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "model",
        "7b",
        "3d-net",
        "abc123f",
        "0e12345",
        "model-2-9fceb02d0ae598e95dc970b74767f19372d61af8",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "0123456789abcdef0123456789abcdef",
        "\u0667",
        "\uff11\uff12",
        "1" * 5000,
    ],
)
def test_names_without_a_number(name):
    assert numbered(name) is None


@given(st.text("0123456789abTZvr.-_=/ ", max_size=20))
def test_any_name_can_be_put_together_again(name):
    found = numbered(name)
    if found is not None:
        assert len(found.around) == len(found.numbers) + 1
        assert all(part in name for part in found.around)


@pytest.mark.parametrize(
    ("name", "number"),
    [("9", (9,)), ("v9", (9,)), ("R9", (9,)), ("1.0", (1,)), ("m9", None), ("v", None), ("", None)],
)
def test_number_alone_may_have_a_letter_for_version_or_release_before_it(name, number):
    assert alone(name) == number


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("models/mlp/12/model.onnx", "12"),
        ("models/mlp/r9/model2.onnx", "r9"),
        ("models/clf-v3.joblib", "clf-v3.joblib"),
        ("models/2024-01-31/model2.onnx", "2024-01-31"),
        ("models/step_1000/model.pt", "step_1000"),
        ("models/abc123f/model.pt", "abc123f"),
        ("models/12.onnx", "12.onnx"),
        ("2024/clf/model.onnx", "model.onnx"),
        ("model.onnx", "model.onnx"),
    ],
)
def test_part_that_people_call_a_version_by(path, part):
    assert path.split("/")[naming_part(path.split("/"))] == part


def test_only_the_last_two_parts_can_be_the_version():
    assert part_of_version(["clf", "7", "model.onnx"]) == 1
    assert part_of_version(["7", "variables", "x"]) is None
    assert part_of_version([]) is None


def test_number_of_thousands_of_digits_is_none():
    """Python refuses to read such text as an integer."""
    assert alone("1" * 5000) is None
    assert numbered("v" + "1" * 5000) is None
