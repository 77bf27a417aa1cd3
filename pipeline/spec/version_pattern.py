"""Patterns under which a model's versions appear, such as ``gs://bucket/clf/*``.

A version is a file or folder whose path has as many parts as the pattern and matches it part by
part: ``*`` any text, ``?`` one character, ``[...]`` one of a set, never a ``/``. A name that starts
with a dot is matched only by a part that does so, too. Files below a version belong to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from pipeline.spec.uris import plain_path, split_scheme

_WILDCARD = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")


@dataclass(frozen=True)
class Match:
    """The version to which a file belongs.

    Attributes:
      uri: its version.
      relative: its path below the version; empty if the file itself is the version.
      name: what the wildcards stand for in the version's path: from the first to the last one of
        each part, the parts with ``/`` between them. Tells versions under one pattern apart.
    """

    uri: str
    relative: str
    name: str


@dataclass(frozen=True)
class _Part:
    """One part of a pattern: ``before`` + what ``wild`` matches + ``after``."""

    before: str
    wild: str
    after: str

    @classmethod
    def parse(cls, text: str) -> _Part:
        found = list(_WILDCARD.finditer(text))
        if not found:
            return cls(text, "", "")
        first, last = found[0].start(), found[-1].end()
        return cls(text[:first], text[first:last], text[last:])

    def matched(self, name: str) -> str | None:
        """What the wildcards stand for in `name`; empty without wildcards, None for no match."""
        if not self.wild:
            return "" if name == self.before else None
        if not name or len(name) < len(self.before) + len(self.after):
            return None
        if name.startswith(".") and not self.before:
            return None
        core = name[len(self.before) : len(name) - len(self.after)]
        fits = name.startswith(self.before) and name.endswith(self.after)
        return core if fits and fnmatchcase(core, self.wild) else None


def match(pattern: str, uri: str) -> Match | None:
    """The version to which the file at `uri` belongs; None if the pattern does not cover it."""
    parts, names = _parts(pattern), uri.split("/")
    if len(names) < len(parts) or not names[-1]:
        return None
    matched = [part.matched(name) for part, name in zip(parts, names, strict=False)]
    if any(text is None for text in matched):
        return None
    relative = "/".join(names[len(parts) :])
    return Match(
        uri="/".join(names[: len(parts)]),
        relative=relative,
        name="/".join(text for text in matched if text),
    )


def literal_prefix(pattern: str) -> str:
    """The start that everything under the pattern shares: up to its first wildcard."""
    first = _WILDCARD.search(pattern)
    return pattern if first is None else pattern[: first.start()]


def check(pattern: str) -> str:
    """The pattern, as a path or ``gs://`` URI, if versions can be looked for under it.

    Raises:
      ValueError: it matches nothing, or nothing that can be told apart.
    """
    pattern = plain_path(pattern)
    scheme, rest = split_scheme(pattern)
    if scheme not in ("", "gs://"):
        raise ValueError(f"found '{pattern}', expected a local path or gs://bucket/path")
    bucket, _, path = rest.partition("/") if scheme else ("local", "", pattern)
    if not bucket or not path or _WILDCARD.search(bucket):
        raise ValueError(f"found '{pattern}', expected a pattern inside one bucket: gs://bucket/*")
    if pattern.endswith("/"):
        if _WILDCARD.search(pattern):
            raise ValueError(f"'{pattern}' ends with a slash; '{pattern[:-1]}' matches folders")
        raise ValueError(f"'{pattern}' is a folder; '{pattern}*' matches the versions in it")
    if "**" in pattern:
        raise ValueError(f"found '**' in '{pattern}', expected one '*' for each level of folders")
    return pattern


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[_Part, ...]:
    return tuple(_Part.parse(text) for text in pattern.split("/"))
