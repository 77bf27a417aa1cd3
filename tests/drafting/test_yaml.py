"""The drafted file as text: what YAML reads is what was drafted, and a person can read it, too."""

import pytest
import yaml

from pipeline.batch.tensors import TensorSpec
from pipeline.drafting.draft import Bound, CsvDraft, Draft, FieldDraft, StepDraft, model_draft
from pipeline.drafting.yaml import as_yaml
from pipeline.spec import text as spec_text


def model(name="net", uri="models/net/1", inputs=("x",), outputs=("y",), watch=None, **keys):
    made = model_draft(
        name,
        "onnx",
        uri,
        watch,
        inputs=[TensorSpec(t, "float32", (None, 4)) for t in inputs],
        outputs=[TensorSpec(t, "float32", (None, 3)) for t in outputs],
        **keys,
    )
    made.bound = {tensor: Bound("x") for tensor in inputs}
    return made


def drafted(*models, **keys):
    return Draft("e", list(models), fields={"x": FieldDraft("float32", (4,))}, **keys)


def read(draft):
    text = as_yaml(draft, ["heading"])
    spec_text.parse(text, source="e.yaml")
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    "odd",
    ["on", "null", "1", "1e5", "a: b", "# x", "*", "[x]", "über", "it's", 'quo"te', "a b", "-", ""],
)
def test_text_is_read_back_as_it_was(odd):
    draft = drafted(model(inputs=(f"{odd}x", odd), uri=f"models/{odd}/1"))
    (entry,) = read(draft)["models"]
    assert entry["uri"] == f"models/{odd}/1"
    assert entry["inputs"] == {f"{odd}x": "x", odd: "x"}


def test_file_says_what_was_drafted():
    draft = drafted(
        model("a"),
        model("b", outputs=("p", "q"), keys={"max_batch_size": 3, "warm_up": False}),
        id=("id", "guess: it is"),
        prepare=[StepDraft({"column": "u", "op": "scale", "of": "x", "factor": 0.5})],
        combine=[StepDraft({"column": "z", "op": "mean", "of": ["a_y", "b_p"]})],
    )
    found = read(draft)
    assert found.pop("output") == ["z"]
    expected = draft.as_data()
    assert found == expected


def test_without_combine_steps_all_outputs_are_the_prediction():
    commented = StepDraft({"column": "z", "op": "mean", "of": ["a_y", "b_y"]}, is_comment=True)
    found = read(drafted(model("a"), model("b"), combine=[commented]))
    assert found["output"] == ["a_y", "b_y"]
    assert "combine" not in found


def test_lines_are_no_longer_than_100_characters():
    note = "guess: " + "word " * 60
    wide = model("a_name", inputs=[f"tensor_{i}" for i in range(9)], watch="models/a_name/*")
    wide.outputs = {f"output_tensor_{i}": f"a_name_output_{i}" for i in range(9)}
    wide.notes.append(note)
    wide.bound["tensor_0"].note = note
    step = StepDraft({"column": "z", "op": "mean", "of": list(wide.outputs.values())}, note)
    text = as_yaml(drafted(wide, combine=[step], spare=("key",) * 40), ["heading"])
    assert max(map(len, text.splitlines())) <= 100
    (entry,) = yaml.safe_load(text)["models"]
    assert entry["outputs"] == wide.outputs
    assert yaml.safe_load(text)["combine"][0] == step.keys


def test_watch_is_suggested_in_a_comment_that_only_needs_its_mark_removed():
    text = as_yaml(drafted(model(watch="models/net/*")), [])
    assert yaml.safe_load(text)["models"][0].keys() >= {"uri"}
    assert "watch" not in yaml.safe_load(text)["models"][0]
    uncommented = yaml.safe_load(text.replace("    # watch:", "    watch:"))
    assert uncommented["models"][0]["watch"] == "models/net/*"


def test_words_for_missing_values_and_fields_that_may_lack_them_are_read_back():
    draft = drafted(model(), csv=CsvDraft({"missing": ["", "NA", "#N/A"]}))
    draft.fields["x"].keeps_missing = True
    text = as_yaml(draft, ["heading"])
    found = yaml.safe_load(text)["record"]
    expected = draft.as_data()["record"]
    assert found["csv"] == expected["csv"] == {"missing": ["", "NA", "#N/A"]}
    assert found["fields"]["x"] == expected["fields"]["x"]
    assert found["fields"]["x"]["missing"] == "keep"
