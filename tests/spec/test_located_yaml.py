import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SpecError
from pipeline.spec import located_yaml

mappings = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), max_size=4)


@given(st.lists(mappings, min_size=1, max_size=4), mappings)
def test_merge_keys_mean_what_they_mean_in_yaml(merged, own):
    lines = [f"x{i}: &x{i} {one}" for i, one in enumerate(merged)]
    names = ", ".join(f"*x{i}" for i in range(len(merged)))
    lines += ["m:", f"  <<: [{names}]", *(f"  {key}: {value}" for key, value in own.items())]
    text = "\n".join(lines).replace("'", "")
    document = located_yaml.read(text, source="e.yaml")
    assert document.data == yaml.safe_load(text)
    assert document.problems == []


def test_merges_of_merges_hold_each_key_once():
    """Kept as often as they are named, they would be 10 to the power of 30."""
    lines = ["x0: &x0 {a: 1, b: 2}"]
    lines += [f"x{i}: &x{i}\n  <<: [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 31)]
    document = located_yaml.read("\n".join(lines), source="e.yaml")
    assert document.data == {f"x{i}": {"a": 1, "b": 2} for i in range(31)}
    assert all(len(node.value) == 2 for _, node in document.root.value)


def test_merged_key_has_the_place_where_it_was_written_last():
    text = "base: &base\n  a: 1\n  b: 2\nmore:\n  <<: *base\n  b: 3\n"
    document = located_yaml.read(text, source="e.yaml")
    assert document.place(("more", "a")) == (2, 3)
    assert document.place(("more", "b")) == (6, 3)


def test_text_that_would_take_minutes_to_read_is_refused():
    with pytest.raises(SpecError, match=r"holds 1,\d{3},\d{3} characters, expected at most"):
        located_yaml.read("# " + "x" * (1 << 20), source="e.yaml")
