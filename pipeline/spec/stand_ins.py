"""Stand-ins for mistakes in an ensemble file that would hide other mistakes.

A misspelt framework leaves open which keys its model may have, and a constant that numpy cannot
hold says so in numpy's words. Such places are reported here and replaced by something valid, so
that pydantic can check all the rest.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from pipeline.batch.tensors import DTYPES
from pipeline.spec import plain_data
from pipeline.spec.combine import CombineStep
from pipeline.spec.located_yaml import Document, Problem
from pipeline.spec.model import ColumnInput, ConstantInput, ModelSpec
from pipeline.spec.no_frameworks import hint
from pipeline.spec.plain_data import Path, did_you_mean, nearest
from pipeline.spec.prepare import PrepareStep
from pipeline.spec.strict_model import StrictModel

Classes = dict[str, type[StrictModel]]


def _by_tag(union: Any, tag: str) -> Classes:
    return {
        value: kind
        for kind in get_args(union)
        for value in get_args(kind.model_fields[tag].annotation)
    }


TAGGED: dict[str, tuple[str, Classes]] = {
    "prepare": ("op", _by_tag(PrepareStep, "op")),
    "models": ("framework", _by_tag(ModelSpec, "framework")),
    "combine": ("op", _by_tag(CombineStep, "op")),
}
"""Section -> the key that tells the kind of its entries, and the class of each kind."""

_INPUT_FORMS = "a column name, {column, pad_value} or {value, dtype}"


class StandIns:
    """The data of a document, in a form that pydantic can check.

    Attributes:
      data: a copy with the stand-ins in place.
      problems: what was replaced.
      foreign: path of an entry of unknown kind -> keys that only some kinds have, so that nothing
        can be said of them.
    """

    def __init__(self, document: Document) -> None:
        self.data = document.data
        self.problems: list[Problem] = []
        self.foreign: dict[Path, set[str]] = {}
        self._document = document
        for section, (tag, classes) in TAGGED.items():
            for i, entry in enumerate(plain_data.entries(plain_data.child(self.data, section))):
                if isinstance(entry, dict) and not _is_known(entry.get(tag), classes):
                    self._know_kind((section, i), entry, tag, classes)
        for i, model in enumerate(plain_data.entries(plain_data.child(self.data, "models"))):
            for tensor, binding in plain_data.items(plain_data.child(model, "inputs")):
                self._check_binding(("models", i, "inputs", tensor), binding)

    def _know_kind(self, path: Path, entry: dict[str, Any], tag: str, classes: Classes) -> None:
        misspelt = [key for key in entry if nearest(key, _all_keys(classes)) == tag]
        word = entry.get(tag, entry[misspelt[0]] if misspelt else None)
        expected = f"expected one of {', '.join(classes)}"
        if tag in entry:
            found = self._document.shown((*path, tag))
            advice = hint(word) if tag == "framework" else ""
            advice = advice or did_you_mean(word, classes)
            self._add((*path, tag), f"found {found}, {expected}{advice}")
        elif not misspelt:
            self._add(path, f"key '{tag}' is missing, {expected}")
        kind = nearest(word, classes)
        if kind is None:
            kind = max(classes, key=lambda k: len(classes[k].model_fields.keys() & entry.keys()))
            self.foreign[path] = _foreign_keys(classes)
        self.data = plain_data.replaced(self.data, path, {**entry, tag: kind})

    def _check_binding(self, path: Path, binding: Any) -> None:
        if isinstance(binding, list):
            return  # of columns: the model's entry knows whether it takes one
        form = input_class(binding)
        if form is None:
            plain = self._document.plain_text(path)
            quote = f"; to name a column, put it in quotes: '{plain}'" if _is_word(binding) else ""
            found = self._document.shown(path)
            self._add(path, f"found {found}, expected {_INPUT_FORMS}{quote}")
        elif form is ConstantInput and binding.keys() == {"value", "dtype"}:
            if binding["dtype"] not in DTYPES or _holds(binding["value"], binding["dtype"]):
                return
            found = self._document.shown((*path, "value"))
            message = f"found {found}, expected a value that {binding['dtype']} can hold"
            self._add((*path, "value"), message)
        else:
            return
        self.data = plain_data.replaced(self.data, path, "stand_in")

    def _add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, path, message))


def input_class(binding: Any) -> type[ColumnInput] | type[ConstantInput] | None:
    """The form of a model input, by its keys; None if they do not decide."""
    if isinstance(binding, str):
        return ColumnInput
    column, constant = (_likeness(binding, form) for form in (ColumnInput, ConstantInput))
    if column == constant:
        return None
    return ColumnInput if column > constant else ConstantInput


def _likeness(binding: Any, form: type[StrictModel]) -> tuple[int, int]:
    keys = [key for key, _ in plain_data.items(binding)]
    known = form.model_fields
    return sum(key in known for key in keys), sum(nearest(key, known) is not None for key in keys)


def _is_known(tag: Any, classes: Classes) -> bool:
    return isinstance(tag, str) and tag in classes


def _is_word(value: Any) -> bool:
    """Whether YAML turned a word that could be a name into another value: on, no, yes..."""
    return isinstance(value, bool)


def _holds(value: Any, dtype: Any) -> bool:
    try:
        with np.errstate(all="ignore"):
            ConstantInput.model_construct(value=value, dtype=dtype).array()
    except ValueError:
        return False
    return True


def _all_keys(classes: Classes) -> list[str]:
    return list(dict.fromkeys(key for kind in classes.values() for key in kind.model_fields))


def _foreign_keys(classes: Classes) -> set[str]:
    """Keys that some of the classes lack, or that differ in meaning between them."""
    fields = [kind.model_fields for kind in classes.values()]
    return {
        key
        for key in _all_keys(classes)
        if any(key not in f or f[key].annotation != fields[0][key].annotation for f in fields)
    }
