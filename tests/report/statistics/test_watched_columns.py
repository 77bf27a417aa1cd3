"""Which columns are looked at, and whose they are."""

import numpy as np
import pytest
import yaml

from pipeline.batch.batch import Batch
from pipeline.report.page.sections.outputs import agreements
from pipeline.report.statistics import run
from pipeline.report.statistics.watched_columns import MOST_COMPARED, watched_columns
from pipeline.spec import text as spec_text
from pipeline.spec.graph import resolve


def model(name, *outputs):
    return {
        "name": name,
        "framework": "onnx",
        "uri": f"{name}.onnx",
        "inputs": {"x": "x"},
        "outputs": {f"y{number}": column for number, column in enumerate(outputs)},
    }


def watched(models, combine=(), output=()):
    spec = {
        "name": "e",
        "record": {"fields": {"x": {"dtype": "float32", "shape": [4]}}},
        "models": models,
        "combine": list(combine),
        "output": list(output),
    }
    return watched_columns(resolve(spec_text.parse(yaml.safe_dump(spec), source="e.yaml")))


def test_columns_are_the_ensembles_or_those_of_the_model_that_they_come_from():
    found = watched(
        [model("a", "a_p"), model("b", "b_p", "b_more")],
        [
            {"column": "p", "op": "mean", "of": ["a_p", "b_p"]},
            {"column": "a_label", "op": "argmax", "of": "a_p"},
            {"column": "inside", "op": "max", "of": "p"},
        ],
        ["p", "a_label", "x"],
    )
    assert dict(found.homes) == {"p": "", "a_label": "a", "a_p": "a", "b_p": "b", "b_more": "b"}
    assert found.of("a") == ["a_label", "a_p"]


def test_all_outputs_of_a_single_model_are_the_ensembles():
    found = watched([model("a", "p")], [{"column": "label", "op": "argmax", "of": "p"}], ["label"])
    assert dict(found.homes) == {"label": "", "p": "a"}


def test_scores_are_what_a_choice_is_computed_from():
    found = watched(
        [model("a", "a_l", "emb"), model("b", "b_l")],
        [
            {"column": "l", "op": "mean", "of": ["a_l", "b_l"]},
            {"column": "p", "op": "softmax", "of": "l"},
            {"column": "emb_mean", "op": "mean", "of": "emb"},
        ],
        ["p", "emb_mean"],
    )
    assert found.scores == {"a_l", "b_l"}


def test_label_that_repeats_scores_is_not_compared_and_ordered_scores_are_known():
    found = watched(
        [model("a", "a_p"), model("b", "b_p")],
        [
            {"column": "p", "op": "mean", "of": ["a_p", "b_p"]},
            {"column": "label", "op": "argmax", "of": "p"},
            {"column": "best", "op": "top_k", "of": "p", "k": 2, "scores": "best_p"},
        ],
        ["label", "p", "best", "best_p"],
    )
    assert found.compared == {"a_p", "b_p", "p", "best", "best_p"}
    assert found.labelled == {"p"}
    assert found.ordered == {"best", "best_p"}
    assert found.positions == {}


def test_label_of_scores_that_are_no_output_is_compared_with_the_models_scores():
    found = watched(
        [model("a", "a_p"), model("b", "b_p")],
        [
            {"column": "p", "op": "mean", "of": ["a_p", "b_p"]},
            {"column": "label", "op": "argmax", "of": "p"},
        ],
        ["label"],
    )
    assert found.compared == {"a_p", "b_p", "label"}
    assert found.positions == {"label": "p"}


@pytest.mark.parametrize("more", [0, 10])
def test_of_very_many_columns_the_first_are_compared_and_the_page_says_so(more):
    found = watched([model("a", *map("c{}".format, range(MOST_COMPARED + more)))])
    assert found.compared == set(found.columns[:MOST_COMPARED])
    assert found.not_compared == more
    batch = Batch((0,), (b"x",), {column: np.array([1]) for column in found.columns})
    page = str(agreements(run.from_batch(batch, found, 0), found))
    assert (f"Only the first {MOST_COMPARED} outputs" in page) == (more > 0)


def test_the_same_columns_are_compared_in_each_batch():
    found = watched([model("a", *map("c{}".format, range(MOST_COMPARED + 10)))])
    names = found.columns
    scores = np.array([[0.5, 0.5]])
    parts = []
    for not_probabilities in (names[-10:], names[:10]):
        columns = {c: scores * 3 if c in not_probabilities else scores for c in names}
        parts.append(run.from_batch(Batch((0,), (b"x",), columns), found, 0))
    pairs = run.merged(parts).agreements
    assert {name for pair in pairs for name in pair} == found.compared
    assert len(pairs) == MOST_COMPARED * (MOST_COMPARED - 1) // 2
