"""The problems of an ensemble file, in sentences for its author.

pydantic decides what is valid; its errors are turned into one message for each mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from pipeline.spec import plain_data
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.located_yaml import Document, Problem
from pipeline.spec.model import ColumnInput
from pipeline.spec.plain_data import Path, did_you_mean, nearest
from pipeline.spec.record import CsvSpec, FieldSpec, RecordSpec
from pipeline.spec.record.keys import PathKey
from pipeline.spec.stand_ins import TAGGED, StandIns, input_class
from pipeline.spec.strict_model import Name, StrictModel

_NAME_PATTERN = TypeAdapter(Name).json_schema()["pattern"]
_A_NAME = "a name of letters, digits, '_', '.' and '-' that starts with a letter or '_'"
_NAMES = {"name", "column", "of", "scores", "output", "outputs"}
"""Keys that stand before names rather than any text."""
_AN_AXIS = "a length of at least 0, or null for the axis that varies"
_KINDS = {
    "string_type": "text",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def validate(document: Document) -> tuple[EnsembleSpec | None, list[Problem]]:
    """The ensemble that a document holds, or the problems that it has."""
    stand_ins = StandIns(document)
    problems = [*stand_ins.problems, *_repeated_names(document.data)]
    try:
        # As JSON, because strict Python input would refuse lists where the spec has tuples.
        spec = EnsembleSpec.model_validate_json(json.dumps(stand_ins.data), strict=True)
    except ValidationError as error:
        return None, [*problems, *_Explanation(document, stand_ins).problems(error)]
    return (None if problems else spec), problems


def label(path: Path, data: Any) -> str:
    """The name of a place in messages: ``models[1] 'mlp'.inputs.x``; "" for the whole file."""
    text = ""
    for part in path:
        data = plain_data.child(data, part)
        if isinstance(part, int):
            name = data.get("name", data.get("column")) if isinstance(data, dict) else None
            text += f"[{part}]" + (f" {name!r}" if isinstance(name, str) else "")
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


class _Explanation:
    """Turns pydantic's errors into problems."""

    def __init__(self, document: Document, stand_ins: StandIns) -> None:
        self._document = document
        self._data = document.data
        self._foreign = stand_ins.foreign
        self._checked = stand_ins.data

    def problems(self, error: ValidationError) -> list[Problem]:
        found: list[Problem] = []
        mismatches: dict[Path, list[str]] = {}
        for detail in error.errors(include_url=False):
            path = self._path(detail["loc"])
            if not self._counts(path, detail):
                continue
            if detail["type"] in _KINDS:
                mismatches.setdefault(path, []).append(_KINDS[detail["type"]])
            else:
                found.append(self._problem(path, detail))
        for path, kinds in mismatches.items():
            # Another form of the same value got further, so its message is nearer to the mistake.
            if not any(other.at[: len(path)] == path for other in found) and not any(
                other[: len(path)] == path for other in mismatches if other != path
            ):
                found.append(self._mismatch(path, kinds))
        return found

    def _path(self, loc: Sequence[int | str]) -> Path:
        """Pydantic's location without the names of union members that it contains."""
        parts = list(loc)
        if len(parts) > 2 and parts[0] in TAGGED:
            del parts[2]
        path: Path = ()
        data = self._checked
        for part in parts:
            if plain_data.has(data, part):
                path, data = (*path, part), plain_data.child(data, part)
        return path

    def _counts(self, path: Path, detail: Any) -> bool:
        loc, kind = detail["loc"], detail["type"]
        if kind == "too_short" and plain_data.at(self._checked, path):
            return False  # the entries are there, they are only invalid themselves
        if len(loc) > 5 and loc[0] == "models" and loc[3] == "inputs":
            form = input_class(plain_data.at(self._checked, path[:4])) or ColumnInput
            if form.__name__ not in str(loc[5]):
                return False
        if kind == "missing" and self._is_misspelt(path, str(loc[-1])):
            return False  # said of the key that stands in its place
        key = loc[-1] if kind == "missing" else path[2] if len(path) > 2 else None
        return key not in self._foreign.get(path[:2], ())

    def _is_misspelt(self, path: Path, key: str) -> bool:
        keys = self._class(path).model_fields
        present = plain_data.items(plain_data.at(self._checked, path))
        return any(nearest(other, keys) == key for other, _ in present if other not in keys)

    def _problem(self, path: Path, detail: Any) -> Problem:
        kind, context = detail["type"], detail.get("ctx", {})
        if kind == "extra_forbidden":
            keys = list(self._class(path[:-1]).model_fields)
            hint = did_you_mean(path[-1], keys) or f"; the keys are {', '.join(keys)}"
            return Problem(path, path[:-1], f"unknown key {path[-1]!r}{hint}")
        if kind == "missing":
            key = str(detail["loc"][-1])
            field = self._class(path).model_fields[key]
            purpose = _first_sentence(field.description or "")
            choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            expected = f"; expected one of {', '.join(choices)}" if choices else ""
            return Problem(path, path, f"key '{key}' is missing ({purpose}){expected}")
        if detail["loc"][-1] == "[key]":
            return Problem(path, path[:-1], f"found the key {path[-1]!r}, expected {_A_NAME}")
        if kind == "value_error":
            return Problem(path, path, str(context["error"]))
        return self._expected(path, self._expectation(path, detail))

    def _expectation(self, path: Path, detail: Any) -> str:
        context = detail.get("ctx", {})
        if _is_axis(path):
            return _AN_AXIS
        match detail["type"]:
            case "literal_error":
                choices = re.findall(r"'([^']*)'", context["expected"])
                return f"one of {', '.join(choices)}" + did_you_mean(self._value(path), choices)
            case "greater_than_equal":
                return f"at least {context['ge']}"
            case "too_short":
                return "at least one entry"
            case "string_too_short":
                return "text that is not empty"
            case "string_pattern_mismatch" if context["pattern"] == _NAME_PATTERN:
                return _A_NAME
            case "string_pattern_mismatch":
                purpose = self._class(path[:-1]).model_fields[str(path[-1])].description
                return _first_sentence(purpose or context["pattern"])
            case _:
                return str(detail["msg"]).replace("Input should be ", "")

    def _mismatch(self, path: Path, kinds: list[str]) -> Problem:
        if _is_axis(path):
            return self._expected(path, _AN_AXIS)
        value, plain = self._value(path), self._document.plain_text(path)
        is_name = not _NAMES.isdisjoint(path)
        hint = ""
        if "text" in kinds and plain and isinstance(value, bool if is_name else bool | int | float):
            hint = f"; if text is meant, put it in quotes: '{plain}'"
        expected = ["a name" if is_name and kind == "text" else kind for kind in kinds]
        return self._expected(path, " or ".join(dict.fromkeys(expected)) + hint)

    def _expected(self, path: Path, expected: str) -> Problem:
        return Problem(path, path, f"found {self._document.shown(path)}, expected {expected}")

    def _value(self, path: Path) -> Any:
        return plain_data.at(self._data, path)

    def _class(self, path: Path) -> type[StrictModel]:
        """The class that the mapping at `path` is checked against."""
        entry = plain_data.at(self._checked, path)
        match path:
            case ("record",):
                return RecordSpec
            case ("record", "csv"):
                return CsvSpec
            case ("record", "fields", _):
                return FieldSpec
            case ("record", "id") | ("pass_through", int()):
                return PathKey
            case ("prepare" | "models" | "combine" as section, int()):
                tag, classes = TAGGED[section]
                return classes[entry[tag]]
            case ("models", int(), "inputs", _):
                return input_class(entry) or ColumnInput
            case _:
                return EnsembleSpec


def _repeated_names(data: Any) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for i, model in enumerate(plain_data.entries(plain_data.child(data, "models"))):
        name = plain_data.child(model, "name")
        if isinstance(name, str) and first.setdefault(name, i) != i:
            message = f"{name!r} is already the name of models[{first[name]}]"
            problems.append(Problem(("models", i, "name"), ("models", i, "name"), message))
    return problems


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")


def _is_axis(path: Path) -> bool:
    return path[-2:-1] == ("shape",) and isinstance(path[-1], int)
