"""The house: which package may import which, what is pure, and how large a folder may be."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
BENCHMARKS = sorted({path.parent for path in (ROOT / "benchmarks").rglob("*.py")})
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# From the bottom up. Packages of one floor do not import each other.
FLOORS = (
    {"readable"},
    {"errors"},
    {"batch"},
    {"spec", "runner"},
    {"ops", "formats", "drawing", "backends"},
    {"serving", "parameters"},
    {"releases", "testing"},
    {"report", "connectors"},
    {"transforms", "launch"},
    {"jobs", "drafting"},
    {"commands"},
    {"__main__"},
)
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
WITH_BEAM = {"runner", "connectors", "transforms", "launch", "jobs"}

_NUMBERS = {"numpy", "pyarrow"}
# What a pure package may import beside Python's own library. Nothing there starts a thread.
PURE = {
    "readable": set(),
    "errors": set(),
    "batch": {*_NUMBERS, "orjson"},
    "spec": {"numpy", "pydantic", "pydantic_core", "yaml"},
    "parameters": set(),
    "ops": {"numpy", "PIL", "farmhash", "mmh3", "soundfile", "scipy", "tokenizers"},
    "formats": {
        *_NUMBERS,
        "orjson",
        "polars",
        "simdjson",
        "fastavro",
        "google",
        "google_crc32c",
        "zstandard",
        "cramjam",
    },
    "drawing": set(),
    "report": {"numpy"},
}
CONCURRENT = {"threading", "concurrent", "multiprocessing", "asyncio", "subprocess"}
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
    "catboost",
    "transformers",
}
ONLY_IN = {
    "polars": ("formats/json/tables.py",),
    "PIL": ("ops/images.py", "backends/transformers/tasks/pictures.py"),
    "scipy": ("ops/sounds.py", "backends/sklearn/sparse.py"),
    "soundfile": ("ops/sounds.py",),
    "farmhash": ("ops/hashes.py",),
    "mmh3": ("ops/hashes.py",),
    "tokenizers": ("ops/text.py",),
}


def name_of(path):
    return str(path.relative_to(PACKAGE))


def below_root(path):
    return str(path.relative_to(ROOT))


def package_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path, top_only=False):
    tree = ast.parse(path.read_text())
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.startswith("pipeline"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(path, top_only=False):
    return {name.split(".")[0] for name in imports(path, top_only)}


every_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@every_module
def test_module_imports_only_lower_floors_and_its_own_package(path):
    mine = package_of(path)
    if mine == "__init__":
        assert not {name for name in imports(path) if name.startswith("pipeline")}
        return
    for name in imports(path):
        if not name.startswith("pipeline."):
            continue
        theirs = name.split(".")[1]
        if theirs not in FLOOR:  # an attribute of the package itself, like its version
            continue
        assert theirs == mine or FLOOR[theirs] < FLOOR[mine], f"{mine} imports {theirs}"


@every_module
def test_beam_and_frameworks_stay_where_they_belong(path):
    assert "apache_beam" not in roots(path) or package_of(path) in WITH_BEAM
    assert not roots(path) & FRAMEWORKS or package_of(path) == "backends"
    assert not roots(path, top_only=True) & FRAMEWORKS


@every_module
def test_pure_packages_import_what_is_listed_and_start_nothing(path):
    allowed = PURE.get(package_of(path))
    if allowed is None:
        return
    foreign = roots(path) - set(sys.stdlib_module_names) - {"pipeline"}
    assert foreign <= allowed
    assert not roots(path) & CONCURRENT


@every_module
def test_packages_of_prepare_steps_are_imported_where_they_are_used(path):
    found = roots(path) & ONLY_IN.keys()
    assert all(name_of(path) in ONLY_IN[root] for root in found)
    assert not roots(path, top_only=True) & ONLY_IN.keys()


# Private names of Python, Beam, LightGBM and PyTorch, for which there is no public way.
FOREIGN = {
    *("_exit", "_get_component_coders", "_fitted_with_feature_names"),
    *("_C", "_jit_get_all_schemas"),
}


def private_reaches(path):
    """Names with an underscore that a module takes from others than itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        ):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant))


@pytest.mark.parametrize("path", TESTS, ids=below_root)
def test_tests_speak_to_public_names(path):
    found = {name for name in private_reaches(path) if re.match(r"_[A-Za-z]", str(name))}
    assert found <= FOREIGN


@every_module
def test_package_knows_neither_its_tests_nor_its_benchmarks(path):
    assert not roots(path) & {"tests", "benchmarks"}


@every_module
def test_loggers_are_made_where_their_lines_become_readable(path):
    made = "getLogger" in path.read_text()
    assert made == (name_of(path) in ("readable.py", "connectors/vm_sharing.py"))


def test_every_module_is_in_a_known_package():
    assert {package_of(path) for path in MODULES} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("folder", [*FOLDERS, *BENCHMARKS], ids=below_root)
def test_folder_is_small_and_no_two_of_its_modules_share_a_prefix(folder):
    stems = [p.stem for p in folder.glob("*.py") if p.stem not in ("__init__", "__main__")]
    assert len(stems) <= 20
    by_prefix = defaultdict(list)
    for stem in stems:
        by_prefix[stem.split("_")[0]].append(stem)
    shared = [found for found in by_prefix.values() if len(found) > 1]
    assert not shared, "a prefix is a folder that nobody built"


@pytest.mark.parametrize("connector", ["files", "pubsub", "bigquery"])
def test_connectors_do_not_know_each_other(connector):
    others = {"files", "pubsub", "bigquery"} - {connector}
    modules = (PACKAGE / "connectors" / connector).rglob("*.py")
    known = {".".join(name.split(".")[:3]) for path in modules for name in imports(path)}
    assert known
    assert not known & {f"pipeline.connectors.{other}" for other in others}


@pytest.mark.parametrize("folder", [*FOLDERS, *BENCHMARKS], ids=below_root)
def test_folder_says_what_it_is(folder):
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def related(a, b):
    """Whether one folder is in the other: a package may divide its work either way."""
    return f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")


def test_sub_packages_import_each_other_in_no_circle():
    below = defaultdict(set)
    for path in MODULES:
        mine = ".".join(path.parent.relative_to(ROOT).parts)
        for name in imports(path):
            target = ROOT.joinpath(*name.split(".")).with_suffix(".py")
            theirs = ".".join(target.parent.relative_to(ROOT).parts)
            if target.is_file() and not related(mine, theirs):
                below[mine].add(theirs)
    done = set()

    def visit(package, way):
        assert package not in way, " -> ".join([*way, package])
        if package not in done:
            for other in sorted(below[package]):
                visit(other, [*way, package])
            done.add(package)

    for package in sorted(below):
        visit(package, [])


def test_serving_and_releases_leave_beam_alone():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if package_of(path) in ("serving", "releases")
    ]
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names}]; "
    code += "print(*sorted(m for m in sys.modules if m.split('.')[0] == 'apache_beam'))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (shown.returncode, shown.stdout.strip()) == (0, ""), shown.stderr


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_have_60_lines_at_most(path):
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lines = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert not {name: count for name, count in lines.items() if count > 60}
