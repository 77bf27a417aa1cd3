import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.backends import registry
from pipeline.errors import LoadError, SpecError
from tests.support import models
from tests.support.specs import load, model_spec

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("xgboost", "lightgbm", "catboost", "transformers")

LOADS_ONE_AFTER_THE_OTHER = """
import sys
from pathlib import Path
from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from tests.support.specs import model_spec

def load(framework, path, tensor, output):
    spec = model_spec(framework=framework, inputs={tensor: "c"}, outputs={output: "d"})
    registry.backend(framework).load(Path(path), spec, LoadContext("cpu"))
    loaded = {name.partition(".")[0] for name in sys.modules}
    print(framework, *sorted(loaded & {"onnxruntime", "sklearn", "torch", "tensorflow", "keras"}))

print("registry", *sorted({"onnxruntime", "sklearn", "torch", "tensorflow"} & set(sys.modules)))
load("onnx", sys.argv[1], "x", "y")
load("sklearn", sys.argv[2], "X", "predict")
load("torch", sys.argv[3], "input", "output_0")
"""


def test_an_ensemble_imports_only_the_frameworks_of_its_models(tmp_path):
    paths = [
        models.onnx_file(tmp_path / "onnx"),
        models.sklearn_skops(tmp_path / "sklearn"),
        models.torchscript(tmp_path / "torch"),
    ]
    command = [sys.executable, "-W", "ignore", "-c", LOADS_ONE_AFTER_THE_OTHER, *map(str, paths)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines() == [
        "registry",
        "onnx onnxruntime",
        "sklearn onnxruntime sklearn",
        "torch onnxruntime sklearn torch",
    ], finished.stderr


def test_unknown_framework_is_refused_with_those_that_exist():
    with pytest.raises(SpecError, match="'mxnet'; it is one of sklearn, onnx, torch, tensorflow"):
        registry.backend("mxnet")


@pytest.mark.parametrize("framework", ["remote", "vertex", "OpenAI"])
def test_models_behind_a_service_are_refused_with_the_way_to_call_them(framework):
    with pytest.raises(SpecError, match=r"behind a service are not called from here.*RunInference"):
        registry.backend(framework)


@pytest.mark.parametrize(
    ("framework", "module", "package"),
    [
        ("sklearn", "sklearn", "scikit-learn"),
        ("sklearn", "skops", "skops"),
        ("onnx", "onnxruntime", "onnxruntime"),
        ("torch", "torch", "torch"),
        ("tensorflow", "tensorflow", "tensorflow"),
        ("xgboost", "xgboost", "xgboost"),
        ("lightgbm", "lightgbm", "lightgbm"),
        ("catboost", "catboost", "catboost"),
        ("transformers", "transformers", "transformers"),
    ],
)
def test_missing_package_is_named(framework, module, package, tmp_path, monkeypatch):
    path = models.sklearn_skops(tmp_path) if framework == "sklearn" else tmp_path
    task = {"task": "text-classification"} if framework == "transformers" else {}
    spec = model_spec(framework=framework, inputs={"x": "c"}, outputs={"predict": "d"}, **task)
    monkeypatch.setitem(sys.modules, module, None)  # Python's own way to make an import fail
    advice = f"package '{package}' is needed .* pip install {package}"
    if framework in EXTRAS:
        advice += rf" \(into an image: docker build --build-arg EXTRAS={framework}\)"
    with pytest.raises(LoadError, match=f"{advice}$"):
        load(path, spec)


def test_extras_of_the_package_are_what_the_tests_run_with():
    pinned = (ROOT / "requirements-dev.in").read_text().splitlines()
    for framework in EXTRAS:
        first, *more = PROJECT["optional-dependencies"][framework]
        assert first.startswith(f"{framework}==")
        assert {first, *more} <= {*pinned}
