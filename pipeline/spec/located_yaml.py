"""YAML or JSON text as plain data that knows the place of each value.

The result is what JSON can express: mappings with text keys, lists, text, numbers, booleans and
null. Tags beyond that are refused, so that reading a file never runs code. Differences from
PyYAML's SafeLoader: dates stay text, ``1e-3`` is a number (as in YAML 1.2 and JSON), a repeated key
is found, and JSON may be indented with tabs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeline.errors import SpecError
from pipeline.spec import plain_data
from pipeline.spec.plain_data import Path

_STANDARD = "tag:yaml.org,2002:"
_SCALARS = ("null", "bool", "int", "float", "str")
_UNREADABLE = {
    "str": "text with half a character in it",
    "int": "no integer",
    "float": "no number",
    "bool": "neither true nor false",
}
_MOST_VALUES = 1_000_000
_MOST_CHARACTERS = 1 << 20
"""The most characters of a file; PyYAML takes about 10 s for so many."""
_DEEPEST = 64


@dataclass(frozen=True)
class Problem:
    """Something wrong in a document.

    Attributes:
      at: the value or key whose line the message names.
      about: the subject of the message.
      message: what was found and what was expected.
    """

    at: Path
    about: Path
    message: str


@dataclass
class Document:
    """The content of a text.

    Attributes:
      data: the plain data; None for an empty text.
      problems: repeated keys, tags and the like; the data has stand-ins in their places.
    """

    root: yaml.Node | None
    data: Any = None
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column, from 1, of the key or entry at `path`; if missing, of its parent.

        An entry that comes from an alias has the place of its anchor.
        """
        mark, node = None if self.root is None else self.root.start_mark, self.root
        for part in path:
            entry = _entry(node, part)
            if entry is None:
                break
            node = entry[1]
            mark = entry[0].start_mark
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)

    def plain_text(self, path: Path) -> str | None:
        """The text of an unquoted single value in the file; None for anything else."""
        node = self.root
        for part in path:
            entry = _entry(node, part)
            node = entry[1] if entry else None
        return str(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else None

    def shown(self, path: Path) -> str:
        """The value at `path` as a message names it."""
        value, plain = plain_data.at(self.data, path), self.plain_text(path)
        shown = plain_data.shown(value)
        if isinstance(value, bool) and plain and plain.lower() != shown:
            return f"{plain}, which YAML reads as {shown}"
        return shown


def read(text: str, *, source: str) -> Document:
    """Reads YAML or JSON.

    Args:
      text: the file's content.
      source: the file's name in errors.

    Raises:
      SpecError: the text is neither, too long, or expands beyond reason.
    """
    if len(text) > _MOST_CHARACTERS:
        raise SpecError(
            f"{source}: holds {len(text):,} characters, expected at most {_MOST_CHARACTERS:,}"
        )
    loader = None
    try:
        loader = _Loader(_with_json_tabs_as_spaces(text))
        root = loader.get_single_node()
        reader = _Reader(loader)
        data = None if root is None else reader.value(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _not_yaml(source, mark, _reason(error)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        reason = f"character U+{ord(text[error.position]):04X} is not allowed"
        raise SpecError(f"{source}:{line}:{column}: not valid YAML: {reason}") from None
    except RecursionError:
        raise SpecError(f"{source}: values are nested too deeply") from None
    except (ValueError, OverflowError):  # PyYAML's scanner on escapes beyond Unicode
        mark = loader.get_mark() if loader else None
        raise _not_yaml(source, mark, "no such character") from None
    if root is not None and reader.sizes[id(root)] > _MOST_VALUES:
        raise SpecError(
            f"{source}: holds {reader.sizes[id(root)]} values once aliases are expanded, "
            f"expected at most {_MOST_VALUES}"
        )
    return Document(root, data, reader.problems)


class _Loader(yaml.SafeLoader):
    """Scanner, parser and composer; of the constructor only single values and merge keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own declaration
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.removeprefix(_STANDARD) in (*_SCALARS, "merge")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges what merge keys name into the mapping; of keys with one name the last one counts.

        PyYAML keeps every copy: merges of merges of merges would fill the memory.
        """
        super().flatten_mapping(node)
        entries = {
            key.value if isinstance(key, yaml.ScalarNode) else key: (key, value)
            for key, value in node.value
        }
        node.value = list(entries.values())


_Loader.add_implicit_resolver(
    f"{_STANDARD}float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


class _Reader:
    """Turns nodes into data. An aliased node is read once, so the work is linear in the text."""

    def __init__(self, loader: _Loader) -> None:
        self.problems: list[Problem] = []
        self.sizes: dict[int, int] = {}
        self._loader = loader
        self._values: dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        if id(node) in self._open:
            return self._stand_in(path, "refers to itself")
        if id(node) not in self._values:
            self._open.add(id(node))
            self._values[id(node)] = self._read(node, path)
            self._open.remove(id(node))
            self.sizes[id(node)] = 1 + sum(self.sizes.get(id(c), 1) for c in _children(node))
        return self._values[id(node)]

    def _read(self, node: yaml.Node, path: Path) -> Any:
        kind = node.tag.removeprefix(_STANDARD)
        if len(path) > _DEEPEST:
            return self._stand_in(path, f"is nested more than {_DEEPEST} levels deep")
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in (*_SCALARS, "merge"):
            return self._scalar(node, kind, path)
        tag = node.tag.replace(_STANDARD, "!!")
        return self._stand_in(path, f"has the tag {tag}, expected plain values without such tags")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._check_keys(node, path)
        self._loader.flatten_mapping(node)
        return {
            key.value: self.value(value, (*path, key.value))
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode)
        }

    def _check_keys(self, node: yaml.MappingNode, path: Path) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            kind = key.tag.removeprefix(_STANDARD)
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._add((*path, ""), path, f"a key in line {line} is not text")
                continue
            key.value = _join_surrogates(key.value, "replace")
            if key.value in lines:
                where = f"lines {lines[key.value]} and {line}"
                message = f"key {key.value!r} is given twice, in {where}"
                self._add((*path, key.value), path, message)
            elif kind == "null" and not key.value:
                self._add((*path, key.value), path, "a key is empty")
            elif kind not in ("str", "merge"):
                message = f"key {key.value} is not text; put it in quotes: {key.value!r}"
                self._add((*path, key.value), path, message)
            lines[key.value] = line

    def _scalar(self, node: yaml.ScalarNode, kind: str, path: Path) -> Any:
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return self._loader.bool_values[node.value.lower()]
            if kind == "float":
                return float(self._loader.construct_yaml_float(node))
            if kind == "int":
                number = int(self._loader.construct_yaml_int(node))
                if -(2**63) <= number < 2**64:
                    return number
                return self._stand_in(path, "is a number too large for 64 bits")
            return _join_surrogates(node.value, "strict")
        except (ValueError, LookupError, OverflowError):
            return self._stand_in(path, f"found {node.value!r}, which is {_UNREADABLE[kind]}")

    def _stand_in(self, path: Path, message: str) -> None:
        self._add(path, path, message)

    def _add(self, at: Path, about: Path, message: str) -> None:
        self.problems.append(Problem(at, about, message))


def _join_surrogates(text: str, errors: str) -> str:
    """JSON writes characters beyond U+FFFF as two escapes, which PyYAML leaves apart."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", errors)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _entry(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that marks the place of an entry, and its value; None if there is no entry."""
    if isinstance(node, yaml.MappingNode):
        # The last one counts: entries merged from elsewhere come first.
        found = (pair for pair in reversed(node.value) if pair[0].value == part)
        return next(found, None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _with_json_tabs_as_spaces(text: str) -> str:
    """JSON may be indented with tabs, YAML may not; text in quotes stays as it is."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return text
    return re.sub(r'"(?:[^"\\]|\\.)*"|\t', lambda m: " " if m[0] == "\t" else m[0], text)


def _not_yaml(source: str, mark: yaml.Mark | None, reason: str) -> SpecError:
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    return SpecError(f"{source}{place}: not valid YAML: {reason}")


def _reason(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words, without the names of its tokens."""
    problem = (error.problem or "cannot be read").replace("'<stream end>'", "the end of the file")
    if "'\\t'" in problem:
        return "found a tab where only spaces may stand; indent with spaces"
    if not error.context or not error.context_mark:
        return problem
    if error.context.startswith("while"):
        return f"{problem} ({error.context} that starts in line {error.context_mark.line + 1})"
    return f"{error.context}, {problem}"
