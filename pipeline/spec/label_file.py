"""The labels in a file: text, of which a wrong guess would shift every label and raise nothing."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

_LINE_END = re.compile(r"\r\n|\n|\r")  # not what else `splitlines` cuts at, which is in no editor
_PROTOBUF = re.compile(r"\s*\w+\s*:?\s*\{.*")
_HEADERS = {"label", "labels", "class", "classes", "class_name", "category", "categories"}
_HEADERS |= {"index", "id", "ids", "name", "names", "class_id", "label_id"}
_COMMENT = re.compile(r"(#|//)\s+\w.*")
_BRACKETED = re.compile(r"\[[^\[\],\"']*\][ \t]*[\r\n]+[^\s\]]")
"""A label in brackets on the first line, such as the [PAD] of a vocabulary, and one more."""
_PYTHON = re.compile(r"\s*\{?\s*\d+\s*:\s*['\"]")
_YAML = re.compile(r"(names|labels|classes)\s*:(\s*[\[{#].*|\s*)")
_NUMBERED = (
    re.compile(r"\s*(?P<number>\d+)(?:\s*[:.)]\s*|\s+)(?P<label>\S.*)"),
    re.compile(r"\s*(?P<label>\S.*?)\s+(?P<number>\d+)\s*"),
)
_FEWEST_NUMBERED = 3
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

FILE = (
    "Instead of `labels`: a text file with one label a line (`???` where an index has none; empty "
    "lines only at the end), a JSON list, or an object of labels by index, or of indices by label "
    "(`id2label`, `label2id`, a whole `config.json`); relative to the ensemble file."
)
"""What the key `file` of a step names."""

Labels = tuple[str | int, ...]

_AS_JSON = "as a JSON list, which is taken as it is"

_EXPECTED = (
    "must hold one label a line, a JSON list of texts, or a JSON object of them by index "
    '({"0": ..., "1": ...})'
)


def labels_in(text: str, *kinds: type) -> Labels:
    """The labels in a file, the one of index 0 first.

    They are one a line; a JSON list; or an object by index, as `id2label` has them, and as the
    class index of Keras does with a list of an identifier and the label for each. Such an object
    may be in JSON or as Python prints it, may hold the index of each label instead (`label2id`),
    or be a `config.json` of transformers, which has one.

    Args:
      text: the content of the file.
      *kinds: of the values in JSON, `str` or `int`.

    Raises:
      ValueError: it holds something else; says what, as in "holds a table".
    """
    labels = _labels(text)
    found = {type(label) for label in labels}
    if len(found) != 1 or not found <= set(kinds):
        raise ValueError(_EXPECTED)
    return tuple(labels)


def _labels(text: str) -> Sequence[Any]:
    begin = text.lstrip()
    if _PYTHON.match(text):
        return _by_index(_in_python(text))
    if begin.startswith("[") and not _BRACKETED.match(begin):
        return list(_in_json(text))
    if begin.startswith("{"):
        return _by_index(_in_json(text))
    return _lines(text)


def _in_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=list)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"begins like JSON and is none ({error}); it {_EXPECTED}") from error


def _in_python(text: str) -> Sequence[tuple[str, Any]]:
    """Index and label of each entry of a dict, as Python prints it, with or without braces."""
    bare = text.strip()
    try:
        tree = ast.parse(bare if bare.startswith("{") else f"{{{bare}}}", mode="eval").body
        if not isinstance(tree, ast.Dict):
            raise ValueError("no dict")
        pairs = zip(tree.keys, tree.values, strict=True)
        return [(str(ast.literal_eval(k)), ast.literal_eval(v)) for k, v in pairs if k is not None]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"looks like Python or YAML and is no dict; it {_EXPECTED}") from error


def _by_index(found: Sequence[tuple[str, Any]]) -> Sequence[Any]:
    """The labels of an object, in the order of their index."""
    inside = [value for key, value in found if key == "id2label"]
    if inside and isinstance(inside[0], list):
        return _by_index(inside[0])
    if found and all(type(value) is int and not key.isdecimal() for key, value in found):
        found = [(str(index), label) for label, index in found]
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
        raise ValueError(
            f"begins with {lines[0]!r}, which looks like a header, not like the label of index 0: "
            f"remove it; if it is that label, write all of them {_AS_JSON}"
        )
    if any(map(_YAML.fullmatch, lines)):
        raise ValueError(f"looks like YAML; it {_EXPECTED}")
    if len(lines) > 1 and _COMMENT.fullmatch(lines[0]):
        raise ValueError(
            f"begins with {lines[0]!r}, which looks like a comment, and would be index 0: remove "
            f"it; if it is a label, write all of them {_AS_JSON}"
        )
    if (
        gap := next((i for i, line in enumerate(lines) if not line.strip(" \t")), None)
    ) is not None:
        raise ValueError(
            f"has an empty line, line {gap + 1}, which would be the label of index {gap}: remove "
            f"it; if that index has no label, write ??? there, or all of them {_AS_JSON}"
        )
    _check_numbers(lines)
    for separator, name in _SEPARATORS.items():
        if _is_table(lines, separator):
            raise ValueError(
                f"looks like a table whose cells are separated by {name}; it {_EXPECTED}"
            )
    return lines


def _check_numbers(lines: Sequence[str]) -> None:
    """Makes sure that lines which begin, or end, with a number have the one of their place.

    Raises:
      ValueError: the file says another index than the place in it, as that of COCO, which leaves
        out ten of 90, and lists that count from 1.
    """
    for numbered in _NUMBERED:
        found = [match for match in map(numbered.fullmatch, lines) if match]
        numbers = [int(match["number"]) for match in found]
        whole = len(found) == len(lines) >= _FEWEST_NUMBERED
        # "1 star", "2 stars", "3 stars": where labels come again, numbers are a part of them.
        if not whole or any(len(set(of)) < len(lines) for of in (numbers, _names(found))):
            continue
        if (place := next((i for i, n in enumerate(numbers) if i != n), None)) is not None:
            raise ValueError(
                f"numbers its labels, and the one of index {place}, on line {place + 1}, has "
                f"another number ({lines[place]!r}); write the labels without numbers, one a line, "
                "the one of index 0 first, with a line such as ??? for each index that has none; "
                f"if the numbers are a part of the labels, write these {_AS_JSON}"
            )


def _names(found: Sequence[re.Match[str]]) -> list[str]:
    return [match["label"].strip() for match in found]


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
