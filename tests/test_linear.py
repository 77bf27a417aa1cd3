"""No loop over names looks through a list of them for each: tables have thousands of columns."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pipeline"
_LOOPS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp, ast.For)
_NO_LISTS = {"quantities"}  # a module with a function `count`
_SHORT = {"formats/looks.py"}  # looks for signs, each in a line


def searches(tree):
    """Calls of `index` or `count` for the variable of a loop around them."""
    for loop in ast.walk(tree):
        if not isinstance(loop, _LOOPS):
            continue
        ways = [loop] if isinstance(loop, ast.For) else loop.generators
        names = {n.id for way in ways for n in ast.walk(way.target) if isinstance(n, ast.Name)}
        for call in ast.walk(loop):
            match call:
                case ast.Call(ast.Attribute(of, "index" | "count"), [ast.Name(name)]):
                    if name in names and ast.unparse(of) not in _NO_LISTS:
                        yield ast.unparse(call)


def test_no_loop_looks_for_each_of_many_in_a_list():
    found = {
        f"{path.relative_to(PACKAGE)}: {search}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in _SHORT
        for search in searches(ast.parse(path.read_text()))
    }
    assert not found
