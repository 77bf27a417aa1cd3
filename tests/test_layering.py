"""Imports go down only, Beam stays in the Beam layers, frameworks in their own backend."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYER = {
    "errors": 0,
    "core": 1,
    "backends": 2,
    "page": 2,
    "runner": 2,
    "serving": 3,
    "testing": 4,
    "transforms": 4,
    "refresh": 4,
    "connectors": 4,
    "parameters": 4,
    "settings": 4,
    "dataflow_workers": 5,
    "tables": 5,
    "options": 6,
    "launch_outputs": 7,
    "launch_checks": 8,
    "launch_release": 7,
    "launch_patterns": 6,
    "launch_versions": 7,
    "launch_files": 7,
    "launch_tables": 7,
    "launch_hub": 7,
    "launch_steps": 7,
    "launch": 9,
    "build_report": 10,
    "build": 11,
    "build_stream": 12,
    "local_runner": 11,
    "progress": 6,
    "report": 10,
    "run_stream": 13,
    "run": 14,
    "commands": 15,
    "exit_status": 1,
    "__main__": 16,
}
WITH_BEAM = {
    *("runner", "transforms", "refresh", "connectors", "options", "dataflow_workers", "tables"),
    *(
        "launch",
        "launch_checks",
        "launch_release",
        "build",
        "build_report",
        "build_stream",
        "local_runner",
        "run",
        "run_stream",
        "commands",
    ),
}
FRAMEWORKS = {
    "tensorflow",
    "tensorflow_hub",
    "keras",
    "torch",
    "onnxruntime",
    "onnx",
    "sklearn",
    "skops",
    "joblib",
    "xgboost",
    "lightgbm",
    "transformers",
}
ONLY_IN = {"PIL": "core/prepare_image.py", "tokenizers": "core/prepare_text.py"}
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))


def layer_of(path):
    parts = path.relative_to(ROOT / "pipeline").parts
    return parts[0].removesuffix(".py")


def imports(path, top_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "pipeline":
                yield from (f"pipeline.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_imports_only_its_own_layer_and_lower_ones(path):
    mine = layer_of(path)
    for name in imports(path):
        if not name.startswith("pipeline.") or mine == "__init__":
            continue
        theirs = name.split(".")[1]
        assert theirs == mine or LAYER[theirs] < LAYER[mine], f"{mine} imports {theirs}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_beam_and_frameworks_stay_where_they_belong(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "apache_beam" not in roots or layer_of(path) in WITH_BEAM
    assert not roots & FRAMEWORKS or layer_of(path) == "backends"
    assert not {name.split(".")[0] for name in imports(path, top_only=True)} & FRAMEWORKS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_of_prepare_steps_are_imported_where_they_are_used(path):
    name = str(path.relative_to(ROOT / "pipeline"))
    roots = {imported.split(".")[0] for imported in imports(path)}
    assert all(ONLY_IN[root] == name for root in roots & ONLY_IN.keys())
    at_top = {imported.split(".")[0] for imported in imports(path, top_only=True)}
    assert not at_top & ONLY_IN.keys()


def test_every_module_is_in_a_known_layer():
    assert {layer_of(path) for path in MODULES} - {"__init__"} <= set(LAYER)
