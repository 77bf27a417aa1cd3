"""Which key of the records, or output of another model, feeds which input of a draft."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.tensors import TensorSpec
from pipeline.drafting import gaps
from pipeline.drafting.draft import FILL_IN, GUESS, is_name, model_draft
from pipeline.drafting.keys import fields_of
from pipeline.formats.record_sample import Seen
from tests.drafting.drafts import TEXT, bound, by, model, number

keys = st.lists(st.text("aA1_ .-()%é", max_size=4), unique=True, max_size=8)


@given(keys)
def test_every_key_has_a_field_of_its_own_and_its_name_where_it_can_be_one(keys):
    fields = fields_of(keys)
    assert list(fields.values()) == keys
    assert all(map(is_name, fields))
    assert all(fields[key] == key for key in keys if is_name(key))


names = st.sampled_from(["a", "b", "A", "b.", "a (1)", "a_1", "x"])


@given(
    st.dictionaries(names, st.sampled_from([[], [1], [2], None]), min_size=1, max_size=4),
    st.dictionaries(names, st.sampled_from([number(), number(2), TEXT]), max_size=4),
    st.sampled_from(["torch", "sklearn", "onnx"]),
)
def test_no_key_feeds_two_inputs_of_one_model(tensors, seen, framework):
    draft = bound([model("m", tensors, framework=framework)], seen)
    sources = [name for bound in draft.models[0].bound.values() for name in bound.columns]
    assert len(sources) == len(set(sources))
    known = {*draft.key_of, *(step.keys["column"] for step in draft.prepare if step.note)}
    assert all(b.note or {*b.columns} <= known for b in draft.models[0].bound.values())


def test_key_of_its_name_feeds_an_input_whatever_others_would_take():
    """`a` may be any vector, and comes first; `b` is there by name."""
    draft = bound([model("m", {"a": None, "b": [2]})], {"b": number(2), "c": number(2)})
    assert by(draft) == {("m", "a"): "c", ("m", "b"): "b"}


def test_input_for_which_no_key_is_left_is_to_be_filled_in():
    draft = bound([model("m", {"a": [2], "b": [2]})], {"v": number(2)})
    assert by(draft) == {("m", "a"): "v", ("m", "b"): "b"}
    note = draft.models[0].bound["b"].note
    assert note == f"{FILL_IN}no key of the records is left for it; the model reads v for 'a'"


def test_key_of_its_name_and_another_type_is_told():
    """Categories that were integers before they became text."""
    seen = {"size": Seen("integer", (), 9, distinct=False), "color": TEXT}
    made = [TensorSpec(name, "string", (None, 1)) for name in ("color", "size")]
    draft = bound([model_draft("m", "xgboost", "m.ubj", None, inputs=made)], seen)
    assert by(draft) == {("m", "color"): "color", ("m", "size"): "m_size"}
    note = draft.models[0].bound["size"].note
    assert note.startswith(f"{FILL_IN}the records have size integer, the model takes string")
    assert note.endswith("; of CSV, a field `size: {dtype: string}` has it as text")


def test_inputs_are_found_by_keys_that_are_alike():
    seen = {"Sepal length (cm)": number(), "sepal_width": number()}
    inputs = {"sepal_length_cm": [1], "sepal width": [1]}
    draft = bound([model("m", inputs)], seen)
    assert by(draft) == {
        ("m", "sepal_length_cm"): "Sepal_length_cm",
        ("m", "sepal width"): "sepal_width",
    }
    assert draft.key_of["Sepal_length_cm"] == "Sepal length (cm)"
    assert not any(bound.note for bound in draft.models[0].bound.values())


@pytest.mark.parametrize("framework", ["sklearn", "xgboost"])
def test_columns_without_names_are_a_guess_in_their_order(framework):
    draft = bound([model("m", {"X": [2]}, framework=framework)], {"b": number(), "a": number()})
    assert by(draft) == {("m", "X"): ["b", "a"]}
    assert draft.models[0].bound["X"].note.startswith(f"{GUESS}its file names no features")


def test_columns_of_numbers_and_text_are_those_of_scikit_learn():
    seen = {"b": number(), "a": TEXT, "n": Seen("integer", (), 9, distinct=False)}
    draft = bound([model("m", {"X": [3]}, framework="sklearn")], seen)
    assert by(draft) == {("m", "X"): ["b", "a", "n"]}
    dtypes = {name: field.dtype for name, field in draft.fields.items()}
    assert dtypes == {"b": "float64", "a": "string", "n": "int64"}


def test_table_with_text_feeds_a_model_of_scikit_learn_as_it_is():
    """Only the model knows what its first step, of whatever library, makes of the text."""
    seen = {"b": number(), "a": TEXT, "n": Seen("integer", (), 9, distinct=False)}
    named = model("m", {"X": ([3], ("a", "n", "b"))}, framework="sklearn")
    draft = bound([named], seen)
    assert by(draft) == {("m", "X"): ["a", "n", "b"]}
    dtypes = {name: field.dtype for name, field in draft.fields.items()}
    assert dtypes == {"a": "string", "n": "int64", "b": "float64"}
    assert not any(draft.notes())


@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_number_that_the_records_have_as_text_is_no_field_of_the_models_that_read_the_text(order):
    seen = {"age": number(), "town": TEXT}
    numbers = model("n", {"X": ([2], ("town", "age"))}, framework="xgboost")
    texts = model_draft(
        "t", "catboost", "t", None, inputs=[TensorSpec("town", "string", (None,))], outputs=[]
    )
    draft = bound([numbers, texts][::order], seen)
    assert by(draft) == {("n", "X"): "features", ("t", "town"): "town"}
    assert draft.fields["town"].dtype == "string"
    assert draft.prepare[0].keys["of"] == ["town_number", "age"]
    assert draft.fields["town_number"].note.startswith(f"{FILL_IN}the records have text in town")


def test_columns_are_joined_for_models_that_take_one_tensor():
    draft = bound([model("m", {"x": [2]})], {"b": number(), "a": number()})
    assert by(draft) == {("m", "x"): "m_features"}
    assert draft.prepare[0].keys == {"column": "m_features", "op": "concat", "of": ["b", "a"]}
    assert draft.prepare[0].note.startswith(GUESS)


@pytest.mark.parametrize(
    "seen",
    [
        {"a": number(), "b": number(), "c": number()},
        {"a": number(), "b": TEXT},
        {"a": number(), "b": number(), "v": number(2)},
    ],
    ids=["more", "text", "vector"],
)
def test_other_columns_than_the_model_has_features_are_not_joined(seen):
    draft = bound([model("m", {"x": [2]})], seen)
    assert by(draft) in ({("m", "x"): "x"}, {("m", "x"): "v"})


def test_vector_feeds_a_model_that_picks_columns_by_name_with_a_guess():
    table = model("m", {"age": [], "fare": []}, framework="sklearn")
    draft = bound([table], {"v": number(2)})
    assert by(draft) == {("m", "X"): "v"}
    assert "whether its values are age, fare, in this order" in draft.models[0].bound["X"].note


@pytest.mark.parametrize("seen", [None, {"text": TEXT}], ids=["no records", "records"])
@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_model_behind_a_vectoriser_reads_what_that_makes(seen, order):
    vectoriser = model("v", {"X": None}, {"transform": [9]}, framework="sklearn")
    classifier = model("c", {"X": [9]}, {"predict_proba": [2]}, framework="sklearn")
    draft = bound([vectoriser, classifier][::order], seen)
    assert by(draft) == {("v", "X"): "text", ("c", "X"): "v_transform"}
    assert draft.models[order].bound["X"].note.startswith(GUESS)


def test_rows_that_the_records_have_are_read_from_them():
    for seen, source in (({"v": number(4)}, "v"), (None, "features")):
        scaler = model("s", {"X": [4]}, {"transform": [4]}, framework="sklearn")
        forest = model("f", {"X": [4]}, {"predict": []}, framework="sklearn")
        assert by(bound([scaler, forest], seen)) == {("s", "X"): source, ("f", "X"): source}


@given(st.lists(st.sampled_from([2, 3, 4]), min_size=2, max_size=6))
def test_chains_have_no_circle(widths):
    models = [
        model(f"m{i}", {"x": [a]}, {"y": [b]})
        for i, (a, b) in enumerate(zip(widths, widths[1:] + widths[:1], strict=True))
    ]
    draft = bound(models, {"text": TEXT})
    makers = {f"m{i}_y": i for i in range(len(models))}
    reads = {m.name: makers.get(m.bound["x"].by) for m in draft.models}
    for name in reads:
        seen, at = set(), int(name[1:])
        while at is not None:
            assert at not in seen
            seen.add(at)
            at = reads[f"m{at}"]


@pytest.mark.parametrize(
    ("framework", "keeps"), [("sklearn", True), ("xgboost", True), ("onnx", False)]
)
def test_field_that_some_records_lack_may_where_its_models_can_have_it(framework, keeps):
    seen = {"a": number(), "b": Seen("number", (), 6, distinct=True)}
    draft = bound([model("m", {"a": [], "b": []}, framework=framework)], seen)
    gaps.bind(draft, seen, records=9)
    assert not draft.fields["a"].keeps_missing
    assert draft.fields["b"].keeps_missing == keeps
    assert draft.fields["b"].note.startswith(f"{GUESS}3 of the first 9 records lack it")
    assert ("op: fill" in draft.fields["b"].note) == (not keeps)


def test_field_is_read_through_steps_by_the_models_behind_them():
    names = ("a", "b")
    seen = {"a": number(), "b": Seen("number", (), 6, distinct=True)}
    models = [model("m", {"x": ([2], names)}, framework=f) for f in ("xgboost", "onnx")]
    draft = bound(models, seen)
    assert [step.keys["op"] for step in draft.prepare] == ["concat"]
    gaps.bind(draft, seen, records=9)
    assert not draft.fields["b"].keeps_missing
