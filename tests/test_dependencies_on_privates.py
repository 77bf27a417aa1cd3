"""docs/dependencies-on-privates.md: what it lists is there, and what the code touches is listed."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies-on-privates.md"
QUOTED = re.compile(r"`([^`]+)`")
PUBLIC = {"_exit", "_fields"}  # of os, and of named tuples: documented


def rows(heading):
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return cells[2:]


NAMES = {QUOTED.findall(row[0])[0]: QUOTED.findall(row[1]) for row in rows("Names")}


def module_of(name):
    """The file of the innermost module in a dotted name, found without importing anything, and the
    names behind it."""
    first, *rest = name.split(".")
    file = Path(find_spec(first).origin)
    while rest and file.name == "__init__.py":
        inside = file.parent / rest[0]
        candidates = (inside / "__init__.py", inside.with_suffix(".py"))
        if not (found := next(filter(Path.is_file, candidates), None)):
            break
        file, rest = found, rest[1:]
    return file, rest


def names_in(node):
    """All that is imported, defined, read or written in a piece of code."""
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(attr=name) | ast.alias(asname=str(name)) | ast.alias(name=name):
                yield name


@pytest.mark.parametrize("name", NAMES)
def test_listed_name_exists(name):
    file, rest = module_of(name)
    if not rest:
        return  # a module
    scope = ast.parse(file.read_text())
    for part in rest[:-1]:
        inner = [n for n in ast.walk(scope) if isinstance(n, ast.ClassDef) and n.name == part]
        assert inner, f"{file} has no class {part}"
        scope = inner[0]
    assert rest[-1] in names_in(scope)


@pytest.mark.parametrize("row", rows("Names") + rows("Behaviour"), ids=lambda row: row[0])
def test_files_of_a_row_exist(row):
    paths = [text for text in QUOTED.findall(" ".join(row[1:])) if re.search(r"^\w[\w-]*/", text)]
    assert paths or "requirements" in row[1]
    for path in paths:
        assert (ROOT / path).exists(), path


def privates(path):
    """The names with an underscore that a module takes from others: attributes and imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls" | "other")):
                pass
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                pass
            case ast.Attribute(attr=name) if re.match("_[a-zA-Z]", name):
                yield name
            case ast.ImportFrom(names=aliases):
                yield from (a.name for a in aliases if re.match("_[a-zA-Z]", a.name))


def test_private_that_is_touched_is_listed():
    for path in (ROOT / "pipeline").rglob("*.py"):
        here = str(path.relative_to(ROOT))
        listed = {name.rpartition(".")[2] for name, places in NAMES.items() if here in places}
        assert set(privates(path)) - PUBLIC <= listed, here


def test_modules_that_are_replaced_are_listed():
    replaced = re.compile(r"sys\.modules\[\w+\] =")
    for path in (ROOT / "pipeline").rglob("*.py"):
        if replaced.search(path.read_text()):
            here = str(path.relative_to(ROOT))
            assert any(here in places for places in NAMES.values()), here
