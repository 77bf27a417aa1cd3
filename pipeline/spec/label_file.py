"""The labels in a file: text, of which a wrong guess would shift every label and raise nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_LINE_END = re.compile(r"\r\n|\n|\r")  # not what else `splitlines` cuts at, which is in no editor
_PROTOBUF = re.compile(r"\s*\w+\s*:?\s*\{.*")
_HEADERS = {"label", "labels", "class", "classes", "class_name", "category", "categories"}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

Labels = tuple[str | int, ...]

_EXPECTED = (
    "must hold one label a line, a JSON list of texts, or a JSON object of them by index "
    '({"0": ..., "1": ...})'
)


def labels_in(text: str, *kinds: type) -> Labels:
    """The labels in a file, the one of index 0 first.

    They are one a line; a JSON list; or a JSON object by index, as `id2label` has them, and as the
    class index of Keras does with a list of an identifier and the label for each.

    Args:
      text: the content of the file.
      *kinds: of the values in JSON, `str` or `int`.

    Raises:
      ValueError: it holds something else; says what, as in "holds a table".
    """
    labels = _in_json(text) if text.lstrip().startswith(("[", "{")) else _lines(text)
    found = {type(label) for label in labels}
    if len(found) != 1 or not found <= set(kinds):
        raise ValueError(_EXPECTED)
    return tuple(labels)


def _in_json(text: str) -> Sequence[Any]:
    try:
        found = json.loads(text, object_pairs_hook=list)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"begins like JSON and is none ({error}); it {_EXPECTED}") from error
    if text.lstrip().startswith("["):
        return list(found)
    by_index: dict[int, Any] = {}
    for key, value in found:
        if not (key.isascii() and key.isdecimal()) or str(int(key)) != key:
            raise ValueError(f"holds a JSON object with the key {key!r}; it {_EXPECTED}")
        if int(key) in by_index:
            raise ValueError(f"has two labels of index {key}")
        by_index[int(key)] = _label(value)
    if sorted(by_index) != list(range(len(by_index))):
        first = next(i for i in range(len(by_index)) if i not in by_index)
        raise ValueError(f"has {len(by_index)} labels, of which none has the index {first}")
    return [by_index[i] for i in range(len(by_index))]


def _label(value: Any) -> Any:
    """A label; of a pair, as Keras has it (``["n01440764", "tench"]``), the second."""
    is_pair = isinstance(value, list) and [type(part) for part in value] == [str, str]
    return value[1] if is_pair else value


def _lines(text: str) -> Sequence[str]:
    lines = _LINE_END.split(text)
    while lines and not lines[-1].strip():
        lines.pop()
    if any(map(_PROTOBUF.fullmatch, lines)):
        raise ValueError(f"looks like a Protocol Buffers text (.pbtxt); it {_EXPECTED}")
    if len(lines) > 1 and lines[0].strip(' "').lower() in _HEADERS:
        raise ValueError(f"begins with {lines[0]!r}, a header, not the label of index 0: remove it")
    for separator, name in _SEPARATORS.items():
        if _is_table(lines, separator):
            raise ValueError(
                f"looks like a table whose cells are separated by {name}; it {_EXPECTED}"
            )
    return lines


def _is_table(lines: Sequence[str], separator: str) -> bool:
    """Whether each line has as many separators, and they are no part of labels.

    A label may have a comma ("tench, Tinca tinca"), but hardly as many in every line, and behind
    a number in every one or all but the first, a header; or on one line all alone.
    """
    counts = {line.count(separator) for line in lines}
    if len(counts) != 1 or counts == {0}:
        return False
    if len(lines) == 1:
        return True
    first_cells = [line.partition(separator)[0].strip(' "') for line in lines[1:]]
    last_cells = [line.rpartition(separator)[2].strip(' "') for line in lines[1:]]
    return all(map(str.isdecimal, first_cells)) or all(map(str.isdecimal, last_cells))
