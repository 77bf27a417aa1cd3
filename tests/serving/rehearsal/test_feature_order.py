"""Features come in the order that the model's file names them in, or nothing starts."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import ModelError
from pipeline.ops.step import apply
from pipeline.serving.rehearsal.rehearsal import rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.testing import FakeLoader, FakeServable
from tests.support.gating import Bench, Ensemble
from tests.support.named_models import KINDS, NAMES, entry, joined, table

ROWS = table(rows=20)
FIELDS = {name: {"dtype": "float64"} for name in NAMES}


@pytest.fixture(scope="module", params=KINDS, ids=str)
def trained(request, tmp_path_factory):
    """A loaded model, and what its framework predicts for a table."""
    kind, folder = request.param, tmp_path_factory.mktemp(str(request.param)) / "1"
    by_hand = kind.build(folder, table())
    spec = ensemble(entry(kind, str(folder)), prepare=[joined(NAMES)]).models[0]
    servable = registry.backend(kind.framework).load(folder, spec, LoadContext("cpu"))
    return SimpleNamespace(kind=kind, servable=servable, by_hand=by_hand, uri=str(folder))


def ensemble(*models, prepare=(), fields=FIELDS):
    return resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {"fields": fields},
                "prepare": list(prepare),
                "models": list(models),
            }
        )
    )


def launch(graph, servable):
    release = Release(1, tuple(ModelVersion(m.name, m.uri, m.name) for m in graph.models))
    return rehearse(graph, release, ReleaseManager(FakeLoader(lambda version: servable)))


def refusal(graph, servable):
    with pytest.raises(ModelError) as error:
        launch(graph, servable)
    (problem,) = error.value.problems
    return problem


def advised(problem):
    """The columns that a message says are to be joined."""
    return re.search(r"of: \[(.+?)\]", problem)[1].split(", ")


def predicted(graph, servable, columns=ROWS):
    for step in graph.prepare:
        columns = columns | apply(step, columns)
    return servable.predict({"X": columns["features"]})["predict"]


# --- real models


@given(st.permutations(NAMES))
def test_any_order_but_that_of_the_file_is_refused_and_the_right_one_computes_as_by_hand(
    trained, order
):
    graph = ensemble(entry(trained.kind, trained.uri), prepare=[joined(order)])
    if tuple(order) == NAMES:
        assert launch(graph, trained.servable).unknown == []
    else:
        of = advised(refusal(graph, trained.servable))
        graph = ensemble(entry(trained.kind, trained.uri), prepare=[joined(of)])
        launch(graph, trained.servable)
    assert np.allclose(predicted(graph, trained.servable), trained.by_hand(ROWS), rtol=1e-6)


def test_message_names_both_ends_and_the_order_to_paste(trained):
    swapped = ["fare", "age", "rooms", "tenure"]
    graph = ensemble(entry(trained.kind, trained.uri), prepare=[joined(swapped)])
    assert refusal(graph, trained.servable) == (
        "model 'clf' input 'X' takes 'age' as feature 1, but column 'features' of prepare step "
        "'features' has 'fare' there; in the order of the model's file: "
        "of: [age, fare, rooms, tenure]"
    )


def test_feature_that_is_missing_is_named_and_how_to_rename_a_column(trained):
    fields = {name: {"dtype": "float32"} for name in ("age", "fare", "rooms", "years")}
    steps = [joined(fields)]
    graph = ensemble(entry(trained.kind, trained.uri), prepare=steps, fields=fields)
    assert refusal(graph, trained.servable) == (
        "model 'clf' input 'X' takes 'tenure' as feature 4, but column 'features' of prepare step "
        "'features' has 'years' there; it lacks 'tenure'; in the order of the model's file: "
        "of: [age, fare, rooms, tenure]; a column that the model has under another name is renamed "
        "by a step such as {column: tenure, op: cast, of: years, dtype: float32}"
    )
    rename = {"column": "tenure", "op": "cast", "of": "years", "dtype": "float32"}
    steps = [rename, joined(NAMES)]
    launch(
        ensemble(entry(trained.kind, trained.uri), prepare=steps, fields=fields), trained.servable
    )


def test_too_few_features_are_refused_with_those_that_are_missing(trained):
    graph = ensemble(entry(trained.kind, trained.uri), prepare=[joined(["age", "tenure"])])
    problem = refusal(graph, trained.servable)
    assert "but column 'features' of prepare step 'features' is float64[2]" in problem
    assert "it lacks 'fare', 'rooms'; " in problem
    assert advised(problem) == list(NAMES)


def test_candidate_whose_file_has_another_order_is_rejected_by_the_gate(tmp_path, trained):
    ensemble_of_files = NamedEnsemble(tmp_path, trained.kind)
    made = Bench(ensemble_of_files, load=ensemble_of_files.managers.loader)
    try:
        made.ensemble.put("clf", 2, order=("fare", "age", "rooms", "tenure"))
        made.ensemble.put("clf", 3)
        (event,) = made.propose(made.ensemble.candidate(clf=2))
        assert event.outcome == "rejected"
        assert event.reason.startswith(
            "model 'clf' input 'X' takes 'fare' as feature 1, but column 'features' of prepare "
            "step 'features' has 'age' there; in the order of the model's file: "
            "of: [fare, age, rooms, tenure]"
        )
        assert made.manager.active() == made.ensemble.launch
        (event,) = made.propose(made.ensemble.candidate(clf=3))
        assert event.outcome == "accepted", event.reason
    finally:
        made.close()


class NamedEnsemble(Ensemble):
    """The ensemble of a gate, of models that name their features."""

    def __init__(self, folder, kind):
        self.kind = kind
        super().__init__(folder)

    def put(self, model, number, order=NAMES):
        self.kind.build(self.path(model, number), table(order, rows=100 + number))

    def spec(self):
        return {
            "name": "e",
            "record": {"fields": FIELDS},
            "prepare": [joined(NAMES)],
            "models": [
                entry(self.kind, self.uri(model, 1), name=model) for model in ("clf", "emb")
            ],
        }


# --- what else a graph can do to features


def named(*names, dims=True):
    """A model whose file has these names."""
    tensor = TensorSpec("X", "float64", (None, len(names)) if dims else None, tuple(names))
    return FakeServable(
        lambda inputs: {"predict": np.zeros(len(inputs["X"]))}, Signature((tensor,))
    )


def told(servable, *steps, column="features", **fields):
    """What a launch says: the problem, what cannot be compared, or nothing."""
    declared = {name: {"dtype": d, "shape": s} for name, (d, *s) in fields.items()}
    graph = ensemble(entry(KINDS[0], "m/1", column), prepare=steps, fields=declared)
    try:
        return "".join(launch(graph, servable).unknown)
    except ModelError as error:
        return "refused: " + "; ".join(error.problems)


NUMBER = ("float64",)


def test_order_is_seen_through_steps_after_the_concat():
    steps = [
        joined(["a", "b"], "raw"),
        {"column": "features", "op": "scale", "of": "raw", "min": 0, "max": 9},
    ]
    assert told(named("a", "b"), *steps, a=NUMBER, b=NUMBER) == ""
    problem = told(named("b", "a"), *steps, a=NUMBER, b=NUMBER)
    assert "takes 'b' as feature 1, but column 'features'" in problem
    assert "has 'a' there; in the order of the model's file: of: [b, a]" in problem


def test_scaled_column_goes_by_the_name_of_the_field_unless_the_model_knows_both():
    scale = {"column": "a_scaled", "op": "scale", "of": "a", "factor": 2}
    assert told(named("a", "b"), scale, joined(["a_scaled", "b"]), a=NUMBER, b=NUMBER) == ""
    steps = [scale, joined(["a_scaled", "a"])]
    assert told(named("a_scaled", "a"), *steps, a=NUMBER) == ""
    assert advised(told(named("a", "a_scaled"), *steps, a=NUMBER)) == ["a", "a_scaled"]


def test_values_of_a_vector_cannot_be_compared_and_check_says_so():
    assert told(named("age", "fare"), column="x", x=("float64", 2)) == (
        "model 'clf' input 'X': its file names its features 'age', 'fare'; whether they come in "
        "this order cannot be told, as column 'x' of the record has no names for its values"
    )
    some = told(named("age", "p", "q"), joined(["age", "x"]), age=NUMBER, x=("float64", 2))
    assert some.endswith("prepare step 'features' has no names for 2 of its values")


def test_named_features_beside_a_vector_are_compared_all_the_same():
    assert told(
        named("p", "q", "age"), joined(["age", "x"]), age=NUMBER, x=("float64", 2)
    ).startswith("refused: model 'clf' input 'X' takes 'p' as feature 1, but column 'features'")


def test_vector_whose_values_the_model_names_as_tables_do_is_compared():
    assert told(named("x_0", "x_1"), column="x", x=("float64", 2)) == ""
    problem = told(named("x_1", "x_0"), column="x", x=("float64", 2))
    assert "takes 'x_1' as feature 1, but column 'x' of the record has 'x_0' there" in problem
    assert advised(problem) == ["x_1", "x_0"]


def test_labels_of_a_one_hot_are_compared_where_the_model_names_them_so():
    hot = {"column": "hot", "op": "one_hot", "of": "sex", "labels": ["male", "female"]}
    steps, fields = [hot, joined(["age", "hot"])], {"age": NUMBER, "sex": ("string",)}
    assert told(named("age", "sex_male", "sex_female"), *steps, **fields) == ""
    problem = told(named("age", "sex_female", "sex_male"), *steps, **fields)
    assert "takes 'sex_female' as feature 2" in problem
    assert "has 'sex_male' there" in problem
    assert "no names for 2 of its values" in told(named("age", "m", "f"), *steps, **fields)


@pytest.mark.parametrize("names", [("Column_0", "Column_1"), ("f0", "f1"), ("0", "1")])
def test_names_that_a_framework_made_up_say_nothing(names):
    assert told(named(*names), joined(["b", "a"]), a=NUMBER, b=NUMBER) == ""
    assert told(named(*names), column="x", x=("float64", 2)) == ""


def test_made_up_names_count_where_the_columns_have_them_too():
    assert told(named("f0", "f1"), joined(["f0", "f1"]), f0=NUMBER, f1=NUMBER) == ""
    assert advised(told(named("f0", "f1"), joined(["f1", "f0"]), f0=NUMBER, f1=NUMBER)) == [
        "f0",
        "f1",
    ]


def test_names_that_no_column_can_have_are_compared_as_init_writes_them():
    servable = named("sepal length (cm)", "Petal Width")
    fields = {"sepal_length_cm": NUMBER, "petal_width": NUMBER}
    assert told(servable, joined(fields), **fields) == ""
    assert advised(told(servable, joined([*fields][::-1]), **fields)) == [*fields]


def test_more_features_than_the_model_has_are_refused_with_its_order():
    problem = told(named("b", "a"), joined(["a", "b", "c"]), a=NUMBER, b=NUMBER, c=NUMBER)
    assert "takes float64[2], but column 'features' of prepare step 'features' is" in problem
    assert advised(problem) == ["b", "a"]


def test_column_that_is_joined_twice_is_refused():
    problem = told(named("a", "b"), joined(["a", "a"]), a=NUMBER, b=NUMBER)
    assert "takes 'b' as feature 2, but column 'features'" in problem
    assert "has 'a' there; it lacks 'b'; " in problem


def test_long_lists_are_cut_but_not_the_order_to_paste():
    names = [f"n{i}" for i in range(40)]
    problem = told(named(*names), joined(["n1", "n0"]), n0=NUMBER, n1=NUMBER)
    assert "it lacks 'n2', 'n3', 'n4', 'n5', 'n6', 'n7' and 32 more; " in problem
    assert advised(problem) == names


def test_output_of_another_model_is_compared_by_its_column():
    first = {**entry(KINDS[0], "a/1", "x", name="first"), "outputs": {"predict": "p"}}
    second = entry(KINDS[0], "b/1", "p", name="second")
    graph = ensemble(first, second, fields={"x": {"dtype": "float64", "shape": [2]}})
    gives_two = FakeServable(lambda inputs: {"predict": np.zeros((len(inputs["X"]), 2))})

    def stacked(*names):
        servables = {"first": gives_two, "second": named(*names)}
        release = Release(1, tuple(ModelVersion(m.name, m.uri, m.name) for m in graph.models))
        manager = ReleaseManager(FakeLoader(lambda version: servables[version.model]))
        return rehearse(graph, release, manager).unknown

    assert stacked("p_0", "p_1") == []
    assert "column 'p' of model 'first' has no names for its values" in stacked("no", "yes")[0]
    with pytest.raises(ModelError, match="takes 'p_1' as feature 1, but column 'p' of model"):
        stacked("p_1", "p_0")
