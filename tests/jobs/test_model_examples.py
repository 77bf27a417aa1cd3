"""The example of each framework runs as its docstring, and so docs/ensemble-file.md, shows it."""

import inspect
import textwrap
from typing import get_args

import pytest
import yaml

from pipeline.backends.registry import FRAMEWORKS
from pipeline.spec import model as model_spec
from tests.support import models

EXAMPLES = {
    kind.model_fields["framework"].annotation.__args__[0]: textwrap.dedent(
        inspect.getdoc(kind).partition("Example::\n")[2]
    )
    for kind in get_args(model_spec.ModelSpec)
    if "Example::" in (kind.__doc__ or "")
}
MATRIX = ("features", {"dtype": "float32", "shape": [4]}, [0.5, -1.0, 2.0, 0.25])
OWN = """
import numpy as np

class Prices:
    def load(self, path):
        self.per_metre = np.loadtxt(path / "per_metre.txt")

    def predict(self, columns):
        return {"price": columns["area"] * self.per_metre}
"""


def write_prices(folder, monkeypatch, job):
    folder.mkdir(parents=True)
    (folder / "per_metre.txt").write_text("3000")
    package = job.folder / "my_steps"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "prices.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(job.folder))


RUNS = {
    "sklearn": (MATRIX, lambda path, *_: models.sklearn_skops(path.parent)),
    "onnx": (MATRIX, lambda path, *_: models.onnx_file(path.parent)),
    "torch": (MATRIX, lambda path, *_: models.torchscript(path.parent)),
    "tensorflow": (MATRIX, lambda path, *_: models.saved_model(path)),
    "xgboost": (MATRIX, lambda path, *_: models.xgboost_regressor(path)),
    "lightgbm": (MATRIX, lambda path, *_: models.lightgbm_text(path.parent)),
    "catboost": (MATRIX, lambda path, *_: models.catboost_cbm(path.parent)),
    "transformers": (
        ("review", {"dtype": "string"}, "very good film" * 10),
        lambda path, *_: models.bert_embedder(path),
    ),
    "python": (("area", {"dtype": "float32"}, 80), write_prices),
}


@pytest.mark.parametrize("framework", RUNS)
def test_example_of_the_docstring_predicts(framework, job, monkeypatch, capsys):
    (entry,) = yaml.safe_load(EXAMPLES[framework])
    (column, field, value), build = RUNS[framework]
    build(job.folder / entry.get("path", entry["uri"]), monkeypatch, job)
    job.spec["record"] = {"id": "id", "fields": {column: field}}
    job.spec |= {"models": [entry], "combine": [], "output": []}
    job.write_input({"id": "a", column: value}, {"id": "b", column: value})
    assert job.run() == 0
    assert job.dead_letters() == []
    (output,) = entry["outputs"].values()
    first, second = (prediction["predictions"][output] for prediction in job.predictions())
    assert first == second
    if framework == "transformers":
        told = "warning: model 'embedder' read the beginning only of 2 texts or sounds"
        assert told in capsys.readouterr().out
    if framework == "python":
        assert first == 240_000


def test_every_framework_has_an_example_that_runs_here():
    assert EXAMPLES.keys() == RUNS.keys() == set(FRAMEWORKS)
