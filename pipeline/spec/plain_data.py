"""Finds values in plain data (what JSON can express), and names them in messages.

All functions accept data of an unexpected form: for what is missing they return None, nothing or an
empty list.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from pipeline.batch.names import doubled

Path = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""


def check_keys_once(text: str) -> None:
    """Makes sure that a text, which is JSON, does not say one thing in two ways.

    Raises:
      ValueError: an object has a key more than once, of which readers take the first or the last.
    """
    try:
        json.loads(text, object_pairs_hook=_with_keys_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _with_keys_once(pairs: list[tuple[str, Any]]) -> None:
    if twice := doubled(key for key, _ in pairs):
        raise ValueError(f"an object has the key {shown(next(iter(twice)))} more than once")


def has(data: Any, part: str | int) -> bool:
    """Whether a list has that position or a mapping that key."""
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def child(data: Any, part: str | int) -> Any:
    """One entry of a list or mapping."""
    return data[part] if has(data, part) else None


def at(data: Any, path: Path) -> Any:
    """The value at the end of `path`."""
    for part in path:
        data = child(data, part)
    return data


def entries(data: Any) -> list[Any]:
    """The entries of a list."""
    return data if isinstance(data, list) else []


def items(data: Any) -> list[tuple[str, Any]]:
    """The keys and values of a mapping."""
    return list(data.items()) if isinstance(data, dict) else []


def replaced(data: Any, path: Path, value: Any) -> Any:
    """A copy of `data` with `value` at `path`, whose parents must be there."""
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = replaced(child(data, path[0]), path[1:], value)
    return copy


def shown(value: Any) -> str:
    """A value as a message names it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
        case list():
            return "a list" if value else "an empty list"
        case dict():
            keys = [*list(value)[:5], "..."] if len(value) > 5 else list(value)
            return f"{{{', '.join(keys)}}}" if value else "an empty mapping"
        case _:
            return str(value)


def nearest(word: Any, choices: Iterable[str]) -> str | None:
    """The choice that `word` is, or is a misspelling of."""
    if not isinstance(word, str):
        return None
    return next(iter(difflib.get_close_matches(word.lower(), list(choices), n=1)), None)


def did_you_mean(word: Any, choices: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing if no choice is similar."""
    match = nearest(word, choices)
    return f"; did you mean '{match}'?" if match else ""
