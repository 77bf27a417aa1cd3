"""Which of two URIs is older: by number where both have one in the same folder, else by time."""

import pytest

from pipeline.core.uri_order import is_older, numbered


@pytest.mark.parametrize(
    ("uri", "folder", "number"),
    [
        ("gs://b/clf/10", "gs://b/clf", (10,)),
        ("gs://b/clf/v1.12.0", "gs://b/clf", (1, 12)),
        ("gs://b/clf/10/model.onnx", "gs://b/clf", (10,)),
        ("gs://b/7", "gs://b", (7,)),
        ("/models/clf/3/", "/models/clf", (3,)),
        ("models/7/7", "models/7", (7,)),
    ],
)
def test_number_is_the_innermost_numbered_part(uri, folder, number):
    assert numbered(uri) == (folder, number)


@pytest.mark.parametrize(
    "uri", ["gs://b/clf-10.onnx", "gs://123/model.onnx", "gs://b/7/variables/x", "gs://b/1_0"]
)
def test_other_uris_have_no_number(uri):
    assert numbered(uri) is None


@pytest.mark.parametrize(
    ("uri", "than", "older"),
    [
        (("b/clf/9", 5), ("b/clf/10", 1), True),
        (("b/clf/10", 1), ("b/clf/9", 5), False),
        (("b/clf/9/m.onnx", 5), ("b/clf/v10", 1), True),
        (("b/clf/9", 5), ("b/other/10", 1), False),
        (("b/clf/9", 1), ("b/other/8", 5), True),
        (("b/clf.onnx", 1), ("b/clf.onnx", 5), True),
        (("b/clf.onnx", 5), ("b/clf.onnx", 5), False),
        (("b/clf/1.0", 1), ("b/clf/1", 5), True),
    ],
)
def test_numbers_in_one_folder_decide_and_otherwise_the_time(uri, than, older):
    assert is_older(*uri, *than) is older
