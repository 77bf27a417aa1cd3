"""The ensemble file: what it may look like, and that any text is read or explained."""

import copy
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SpecError
from pipeline.spec.model import ColumnInput, ConstantInput
from pipeline.spec.text import parse, resolve_uris
from tests.spec.example import DIGITS, changed, problems


def test_valid_file_becomes_the_spec_it_says():
    spec = parse(DIGITS, source="e.yaml")
    assert [model.framework for model in spec.models] == ["sklearn", "onnx"]
    assert spec.record.fields["words"].shape == (None,)
    assert spec.model("mlp").inputs == {
        "x": ColumnInput(column="pixels", pad_value=0),
        "rate": ConstantInput(value=16000, dtype="int64"),
    }
    assert spec.combine[0].weights == (1.0, 2.0)


def test_model_can_be_watched_with_a_marker():
    added = "watch: gs://bucket/forest/*\n    complete_marker: _SUCCESS"
    forest, mlp = parse(changed(("trusted: true", added)), source="e.yaml").models
    assert (forest.watch, forest.complete_marker) == ("gs://bucket/forest/*", "_SUCCESS")
    assert (mlp.watch, mlp.complete_marker) == (None, None)


@pytest.mark.parametrize("indent", [None, 2, "\t"], ids=["one line", "spaces", "tabs"])
def test_json_is_read_like_yaml(indent):
    data = yaml.safe_load(DIGITS)
    data["models"][0]["uri"] = "a\tb/\N{GRINNING FACE}\\"
    text = json.dumps(data, indent=indent, separators=(",", ":\t" if indent == "\t" else ":"))
    spec = parse(text, source="e.json")
    assert spec.models[0].uri == "a\tb/\N{GRINNING FACE}\\"
    assert spec.models[1:] == parse(DIGITS, source="e.yaml").models[1:]


def test_problem_in_json_has_its_line():
    text = json.dumps({**yaml.safe_load(DIGITS), "nmae": 1}, indent="\t")
    line = text[: text.index("nmae")].count("\n") + 1
    assert problems(text) == [f"e.yaml:{line}: unknown key 'nmae'; did you mean 'name'?"]


def test_aliases_and_merge_keys_are_followed():
    text = changed(
        ("inputs: {X: pixels}", "inputs: &inputs {x: pixels}"),
        ("outputs: {probs", "warm_up: &switch false\n    outputs: {probs"),
        ("combine:\n", "combine:\n  - &step {column: a, op: argmax, of: proba}\n"),
        ("output:", "  - {<<: *step, column: b}\noutput:"),
    )
    text = text.replace("inputs:\n      x: {column: pixels, pad_value: 0}\n", "inputs: *inputs\n")
    spec = parse(text.replace("      rate: {value: 16000, dtype: int64}\n", ""), source="e.yaml")
    assert spec.models[0].inputs == spec.models[1].inputs
    assert (spec.combine[-1].column, spec.combine[-1].of) == ("b", "proba")


def test_dates_and_equals_signs_are_text():
    spec = parse(changed(("models/forest/1", "2026-01-31"), ("zero", "=")), source="e.yaml")
    assert (spec.models[0].uri, spec.combine[2].labels) == ("2026-01-31", ("=", "one"))


def test_numbers_in_scientific_notation_are_numbers():
    text = changed(("op: argmax, of: proba", "op: threshold, of: proba, value: 1e-3"))
    assert parse(text, source="e.yaml").combine[1].value == 0.001


A_MAPPING = "expected a mapping with the keys name, record, models"


def test_deep_nesting_is_refused_where_it_begins():
    deep = f"value: {'[' * 80}{']' * 80}"
    assert "is nested more than 64 levels deep" in problems(changed(("value: 16000", deep)))[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [f"e.yaml: the file holds nothing, {A_MAPPING}"]),
        ("# only a comment\n", [f"e.yaml: the file holds nothing, {A_MAPPING}"]),
        ("- name: digits\n", [f"e.yaml: the file holds a list, {A_MAPPING}"]),
        ("name: a: b\n", ["e.yaml:1:8: not valid YAML: mapping values are not allowed here"]),
        ("record:\n\tid: id\n", ["e.yaml:2:1: not valid YAML: found a tab where only spaces may "
                                 "stand; indent with spaces"]),
        ('{"name": "a",\n"record": ',
         ["e.yaml:2:11: not valid YAML: expected the node content, but found the end of the file "
          "(while parsing a flow node that starts in line 2)"]),
        ("a: *b\n", ["e.yaml:1:4: not valid YAML: found undefined alias 'b'"]),
        ("a: 1\n---\nb: 1\n", ["e.yaml:2:1: not valid YAML: expected a single document in the "
                               "stream, but found another document"]),
        ("a:\n  b\0", ["e.yaml:2:4: not valid YAML: character U+0000 is not allowed"]),
        ('a: "\\UFFFFFFFF"', ["e.yaml:1:7: not valid YAML: no such character"]),
        ("[" * 1000, ["e.yaml: values are nested too deeply"]),
    ],
    ids=["empty", "comment", "list", "syntax", "tab", "cut JSON", "alias", "documents", "NUL",
         "escape", "deep"],
)  # fmt: skip
def test_file_that_holds_no_mapping_is_refused_in_one_line(text, expected):
    assert problems(text) == expected


def test_aliases_that_expand_without_end_are_refused_before_they_do():
    rows = ["x0: &x0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    rows += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "values once aliases are expanded" in problems("\n".join(rows))[0]


DATA = yaml.safe_load(DIGITS)


KEYS = ["name", "uri", "inputs", "column", "of", "op", "framework", "value", "dtype", "zz", "", "1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["sklearn", "mean", "int8", "pixels"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def paths(data, path=()):
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


@st.composite
def mutated(draw):
    """The example with one to three places deleted, renamed or replaced."""
    data = copy.deepcopy(DATA)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(list(paths(data)) or [("name",)]))
        parent = data
        for key in parents:
            parent = parent[key]
        action = draw(st.sampled_from(["delete", "rename", "replace"]))
        if action == "replace" or (action == "rename" and isinstance(parent, list)):
            parent[last] = draw(JSON)
        elif last in parent if isinstance(parent, dict) else True:
            value = parent.pop(last)
            if action == "rename":
                parent[draw(st.sampled_from([*KEYS, str(last)[:-1] + "x"]))] = value
    return data


def parses_or_explains(text):
    try:
        parse(text, source="e.yaml")
    except SpecError as error:
        assert 0 < len(error.problems) == len(set(error.problems))
        for problem in error.problems:
            assert problem.startswith("e.yaml:")
            for jargon in (
                "Input should",
                "Extra inputs",
                "valid string",
                "validation",
                "Value error",
            ):
                assert jargon not in problem


@given(data=mutated(), as_json=st.booleans())
def test_any_mutation_parses_or_is_explained_without_jargon(data, as_json):
    parses_or_explains(json.dumps(data) if as_json else yaml.safe_dump(data, allow_unicode=True))


@given(
    text=st.text()
    | st.text(alphabet="ab01:-,[]{}&*!|>'\"%@<=?#~.+exo_\\\n\t \u2028\ufeff")
    | st.lists(st.sampled_from([*DIGITS.split(), *"-:{}[],\n", "\n  ", ": "])).map(" ".join)
)
def test_any_text_parses_or_is_explained(text):
    parses_or_explains(text)


@pytest.mark.parametrize(
    ("base", "uri", "expected"),
    [
        ("/specs", "models/a", "/specs/models/a"),
        ("/specs/", "./models//a/", "/specs/models/a"),
        ("/specs/now", "../models/a", "/specs/models/a"),
        ("/specs", "../../../a", "/a"),
        ("specs", "a", "specs/a"),
        ("", "a", "a"),
        ("gs://bucket/specs", "models/a", "gs://bucket/specs/models/a"),
        ("gs://bucket/specs/", "../a", "gs://bucket/a"),
        ("gs://bucket", "a", "gs://bucket/a"),
        ("gs://bucket/specs", "../../../a", "gs://bucket/a"),
        ("gs://bucket/specs", "/local/a", "/local/a"),
        ("/specs", "/local/../a", "/local/../a"),
        ("/specs", "gs://bucket/../a", "gs://bucket/../a"),
        ("/specs", "s3+x://b/a", "s3+x://b/a"),
        ("/specs", "a:b/c", "/specs/a:b/c"),
        ("gs://bucket/specs", "file:///local/a%20b", "/local/a b"),
    ],
)
def test_relative_uris_are_placed_under_the_base(base, uri, expected):
    text = changed(("models/forest/1", uri), ("labels: [zero, one]", f"file: '{uri}'"))
    spec = resolve_uris(parse(text, source="e.yaml"), base)
    assert spec.models[0].uri == expected
    assert spec.combine[2].file == expected
    assert spec.models[1].uri == "gs://bucket/mlp/1/model.onnx"


@pytest.mark.parametrize("base", ["/specs", "gs://bucket/specs"])
def test_placing_twice_changes_nothing_more(base):
    spec = resolve_uris(parse(DIGITS, source="e.yaml"), base)
    assert resolve_uris(spec, "/elsewhere") == spec
