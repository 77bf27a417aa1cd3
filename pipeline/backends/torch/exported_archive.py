"""What is in a ``.pt2`` archive that could run code, found before PyTorch reads it.

`torch.export.load` unpickles objects where the archive says so, evaluates its expressions as
Python (sympy's `sympify` does), resolves the targets of its nodes in the module `torch`, writes
their names into the source of a function, and loads compiled libraries. So an archive is a program
in Python unless it is looked at first. A plain one, as `torch.export.save` writes it for networks
of tensors, is recognised by what it has: known members, weights without pickles, operators of known
namespaces, names that are names, and expressions of symbols, numbers and PyTorch's own functions.

Format: https://docs.pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.backends.torch.operators import only_computes
from pipeline.errors import UntrustedArtifactError
from pipeline.spec.plain_data import shown

# PyTorch finds members whatever their case.
_MEMBER = re.compile(
    r"archive_(format|version)|byteorder|version|\.data/\w+|models/[\w.-]+\.json"
    r"|data/(weights|constants|sample_inputs)/[\w.-]+|extra/.*"
    r"|serialized_exported_program\.json"
    r"|serialized_(state_dict|constants)\.(pt|json)|serialized_example_inputs\.pt|extra_files/.*",
    re.IGNORECASE,
)
_PROGRAM = re.compile(r"models/[^/]+\.json|serialized_exported_program\.json", re.IGNORECASE)
_CONFIG = re.compile(r"data/(weights|constants)/.*_config\.json", re.IGNORECASE)
# The first format has its pickles under the name .json, too.
_PICKLE = re.compile(
    r"data/.*\.pt|serialized_(state_dict|constants|example_inputs)\..*", re.IGNORECASE
)
_PAYLOAD = re.compile(r"(weight|tensor)_\d+")

_CONTROL_FLOW = (
    "cond|while_loop|scan|map_impl|associative_scan|wrap_with_set_grad_enabled|wrap_with_autocast"
)
_TARGET = re.compile(
    rf"torch\.ops\.higher_order\.({_CONTROL_FLOW})"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|pos|abs|index|eq|ne|lt|le|gt|ge"
    r"|and_|or_|not_|xor|lshift|rshift)"
    r"|math\.(ceil|floor|trunc|sqrt|pow|log2|exp|log)|torch\.(_?sym_\w+)"
)
_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)(\.\w+)?", re.ASCII)
_FREE = {"metadata", "as_string", "as_strings", "in_spec", "out_spec"}
"""Keys of texts that are kept or compared, never evaluated."""
_PLAIN = re.compile(r"[\w.<=>+-]*", re.ASCII)
_NAME = re.compile(r"\w*", re.ASCII)
_NAMES = {"name", "as_name", "user_input_name", "forward_arg_names"}
"""Keys of texts that become names in the source of a function."""

_EXPRESSION_CALLS = frozenset(
    (
        *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Abs", "sqrt", "Max"),
        *("Min", "FloorDiv", "CleanDiv", "CeilDiv", "Mod", "PythonMod", "ModularIndexing"),
        *("ceiling", "floor", "Where", "Piecewise", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And"),
        *("Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan"),
        *("GreaterThan", "Or", "Not", "Identity", "LShift", "RShift", "PowByNatural"),
        *("FloatPow", "ToFloat", "FloatTrueDiv"),
        *("IntTrueDiv", "TruncToInt", "TruncToFloat", "FloorToInt", "CeilToInt"),
        *("RoundToInt", "RoundDecimal", "IsNonOverlappingAndDenseIndicator"),
    )
)
_GUARD_CALLS = frozenset(("len", "size", "stride", "storage_offset", "max", "min", "abs", "int"))
_EXPRESSION_NODES = (
    ast.Expression,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.Call,
    ast.keyword,
    ast.Tuple,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
_GUARD_NODES = (*_EXPRESSION_NODES, ast.Subscript, ast.Attribute)


def check_plain(path: Path) -> None:
    """Makes sure that loading an archive runs no code that it brings.

    Raises:
      UntrustedArtifactError: it might; says what it has.
      zipfile.BadZipFile: it is damaged.
    """
    for problem in _problems(path):
        raise UntrustedArtifactError(
            f"{path} has {problem}, which can run code when it is loaded; export a network of "
            "tensors with torch.export.save, save TorchScript instead, or set `trusted: true` on "
            "the model if the file is your own"
        )


def _problems(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            yield "something before its archive"
    with zipfile.ZipFile(path) as archive:
        if archive.comment:
            yield "a comment"
        names = archive.namelist()
        if len({name.lower() for name in names}) != len(names):
            yield "a member twice"
        root = _root(names)
        for name in names:
            member = name.removeprefix(root)
            if not name.startswith(root) or not _MEMBER.fullmatch(member) or ".." in member:
                yield f"the member {shown(name)}"
            elif _PROGRAM.fullmatch(member):
                yield from _problems_of_program(json.loads(archive.read(name)))
            elif _CONFIG.fullmatch(member):
                yield from _problems_of_config(json.loads(archive.read(name)), member)
            elif _PICKLE.fullmatch(member):
                yield from _problems_of_pickle(archive.read(name), member)


def _root(names: list[str]) -> str:
    """The folder that all members lie in; none in the first format."""
    first = names[0].partition("/")[0] if names else ""
    return "" if "serialized_exported_program.json" in names else f"{first}/"


def _problems_of_pickle(data: bytes, member: str) -> Iterator[str]:
    """PyTorch falls back to an unpickler that runs code where the safe one fails."""
    import torch

    if not data:
        return
    try:
        torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:
        yield f"objects that are no tensors in {member} ({own_words(error)})"


def _problems_of_config(config: Mapping[str, Any], member: str) -> Iterator[str]:
    for name, payload in config["config"].items():
        if payload.get("use_pickle") or not _PAYLOAD.fullmatch(payload["path_name"]):
            yield f"the pickled object {shown(name)} in {member}"


def _problems_of_program(value: Any, key: str = "") -> Iterator[str]:
    """The texts of a program, and the key of each: what PyTorch does with one hangs on its key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if key not in _FREE and not _is_plain_key(key, name):
                yield f"the key {shown(name)}"
            # What is below a free key is free as well.
            yield from _problems_of_program(inner, key if key in _FREE else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _problems_of_program(inner, key)
    elif isinstance(value, str) and not _is_plain(key, value):
        yield f"the {key} {shown(value)}"


def _is_plain_key(key: str, name: str) -> bool:
    """Of an axis that is a multiple of another one, the name is an expression."""
    return _PLAIN.fullmatch(name) is not None or (
        key == "range_constraints" and _is_expression(name, _EXPRESSION_NODES, _EXPRESSION_CALLS)
    )


def _is_plain(key: str, text: str) -> bool:
    if key in ("target", "as_operator"):
        operator = _OPERATOR.fullmatch(text)
        known = (operator and only_computes(operator[1], operator[2])) or _TARGET.fullmatch(text)
        return known is not None and not _has_dunder(text)
    if key == "expr_str":
        return _is_expression(text, _EXPRESSION_NODES, _EXPRESSION_CALLS)
    if key == "guards_code":
        return _is_expression(text, _GUARD_NODES, _GUARD_CALLS)
    if key in ("in_spec", "out_spec"):
        return "__enum__" not in text and "fqn" not in text
    if key in _FREE:
        return True
    return (_NAME if key in _NAMES else _PLAIN).fullmatch(text) is not None


def _has_dunder(target: str) -> bool:
    """Operators such as ``aten.__and__.Tensor`` are some; attributes of Python objects are not."""
    parts = [part for part in target.split(".") if part.startswith("__")]
    return bool(set(parts) - {f"__{name}__" for name in ("and", "or", "xor", "lshift", "rshift")})


def _is_expression(text: str, nodes: tuple[type[ast.AST], ...], calls: frozenset[str]) -> bool:
    """Whether a text computes numbers from names, with known functions only."""
    try:
        found = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in found:
        if not isinstance(node, nodes):
            return False
        name = getattr(node, "id", getattr(node, "attr", ""))
        if name.startswith("_"):
            return False
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called not in calls:
                return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            if not (isinstance(node.value, str) and re.fullmatch(r"[\w.]+", node.value)):
                return False
            if node.value.startswith("_"):
                return False
    return True
