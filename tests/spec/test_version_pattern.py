import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spec.version_pattern import check, literal_prefix, match


def test_folder_and_file_versions_are_told_apart():
    inside = match("gs://b/clf/*", "gs://b/clf/7/assets/vocab.txt")
    assert (inside.uri, inside.relative) == ("gs://b/clf/7", "assets/vocab.txt")
    itself = match("gs://b/clf/*", "gs://b/clf/7.onnx")
    assert (itself.uri, itself.relative) == ("gs://b/clf/7.onnx", "")
    below = match("gs://b/clf/*/model.onnx", "gs://b/clf/7/model.onnx")
    assert (below.uri, below.relative) == ("gs://b/clf/7/model.onnx", "")


@pytest.mark.parametrize(
    ("pattern", "uri"),
    [
        ("gs://b/clf/*", "gs://b/clf-of-others/7"),
        ("gs://b/clf/*", "gs://b/clf"),
        ("gs://b/clf/*", "gs://b/clf/"),
        ("gs://b/clf/*", "gs://b/clf/7/"),
        ("gs://b/clf/*", "gs://b/clf/.tmp-7/model.onnx"),
        ("gs://b/clf/*", "gs://b2/clf/7"),
        ("gs://b/clf/*.onnx", "gs://b/clf/7.onnx.part"),
        ("gs://b/clf/*/model.onnx", "gs://b/clf/7/sub/model.onnx"),
        ("gs://b/clf/model.onnx", "gs://b/clf/model.onnx2"),
        ("gs://b/clf/v[0-9]", "gs://b/clf/vx"),
        ("gs://b/clf/ab*ba", "gs://b/clf/aba"),
    ],
)
def test_pattern_does_not_cover_neighbours(pattern, uri):
    assert match(pattern, uri) is None


@pytest.mark.parametrize(
    ("pattern", "uri", "name"),
    [
        ("m/*", "m/10", "10"),
        ("m/*", "m/v10/model.onnx", "v10"),
        ("m/clf-*.onnx", "m/clf-10.onnx", "10"),
        ("m/v[0-9]*", "m/v10", "10"),
        ("m/*/*.onnx", "m/7/model.onnx", "7/model"),
        ("m/*/clf/*", "m/3/clf/7/model.onnx", "3/7"),
        ("m/*-step=*.ckpt", "m/epoch=3-step=100.ckpt", "epoch=3-step=100"),
        ("m/clf.onnx", "m/clf.onnx", ""),
    ],
)
def test_name_is_what_the_wildcards_stand_for(pattern, uri, name):
    assert match(pattern, uri).name == name


@given(st.text("ab1./*?[]!-", max_size=12), st.text("ab1./*?[]!-", max_size=12))
def test_any_pattern_can_be_matched_with_anything(pattern, uri):
    found = match(pattern, uri)
    if found is not None:
        assert uri == (f"{found.uri}/{found.relative}" if found.relative else found.uri)
        assert uri.startswith(literal_prefix(pattern))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("gs://b/clf/", "'gs://b/clf/*' matches the versions in it"),
        ("gs://b/clf/*/", "ends with a slash; 'gs://b/clf/*' matches folders"),
        ("gs://b", "expected a pattern inside one bucket"),
        ("gs://*/clf/*", "expected a pattern inside one bucket"),
        ("", "expected a pattern inside one bucket"),
        ("s3://b/clf/*", "found 's3://b/clf/*', expected a local path or gs://"),
        ("gs://b/**/clf", "expected one '*' for each level"),
    ],
)
def test_pattern_that_cannot_be_watched_is_refused_with_what_would_do(pattern, expected):
    with pytest.raises(ValueError) as caught:
        check(pattern)
    assert expected in str(caught.value)


def test_patterns_with_and_without_wildcards_can_be_watched():
    for pattern in ("gs://b/clf/*", "models/clf/*", "/m/clf/current", "gs://b/*"):
        assert check(pattern) == pattern
