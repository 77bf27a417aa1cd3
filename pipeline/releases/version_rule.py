"""Which of two versions of a model is newer: one rule for a whole pattern.

*Numbers* decide if all names under the pattern have them in the same place
(:mod:`pipeline.batch.version_number`), otherwise the *time* does. The first accepted release fixes
the rule for watch mode, the gate and the commands alike: from then on a name that does not fit is
passed over and never changes the rule.

A version that a message names need not lie under a pattern. Then the time of the proposals decides,
unless both names have their numbers in the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.batch.version_number import Numbers, numbered
from pipeline.spec.uris import split_scheme
from pipeline.spec.version_pattern import match

RELEASES = ""
"""Key of the rule for manifests of whole releases; other keys are names of models."""


@dataclass(frozen=True)
class VersionRule:
    """The order of the versions under one pattern.

    Attributes:
      pattern: see :mod:`pipeline.spec.version_pattern`.
      around: the text around the numbers of every name; None if the time decides.
    """

    pattern: str
    around: tuple[str, ...] | None

    @property
    def form(self) -> str:
        """The form of names that fit, for people: "vN"; empty if every name fits."""
        return "N".join(self.around or ())

    def covers(self, uri: str) -> bool:
        """Whether a URI lies under the pattern: a version, or a file of one."""
        return match(self.pattern, uri) is not None

    def numbers(self, uri: str) -> Numbers | None:
        """The numbers of a version; None if the time decides or its name does not fit."""
        found = match(self.pattern, uri)
        name = numbered(found.name) if found and self.around is not None else None
        return name.numbers if name and name.around == self.around else None

    def fits(self, uri: str) -> bool:
        """Whether a version under the pattern can be compared with the others."""
        return self.around is None or self.numbers(uri) is not None

    def misfit(self, uri: str) -> str:
        """Why a version that does not fit is passed over."""
        return (
            f"{uri} does not fit: versions under {self.pattern} are told apart by the number N in "
            f"'{self.form}'"
        )

    def as_json(self) -> dict[str, Any]:
        """The rule as it is kept with a release."""
        return {"pattern": self.pattern, "around": self.around and list(self.around)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> VersionRule:
        """The rule from the result of `as_json`."""
        around = data["around"]
        return cls(data["pattern"], None if around is None else tuple(map(str, around)))


def rule_of(pattern: str, uris: Iterable[str]) -> VersionRule | None:
    """The rule of the versions that lie under the pattern; None if there are none."""
    names = _names(pattern, uris)
    if not names:
        return None
    found = [numbered(name) for name in names]
    arounds = {one.around if one else None for one in found}
    return VersionRule(pattern, arounds.pop() if len(arounds) == 1 else None)


def why_time(pattern: str, uris: Iterable[str]) -> str | None:
    """Why the time decides although there are numbers, in words; None if there is no reason."""
    examples: dict[tuple[str, ...] | None, str] = {}
    for name in _names(pattern, uris):
        found = numbered(name)
        examples.setdefault(found.around if found else None, name)
    if len(examples) < 2:
        return None
    without = examples.pop(None, None)
    first, *others = examples.values()
    if without is not None:
        return f"'{without}' has no number where '{first}' has one"
    return f"'{first}' and '{others[0]}' do not have their numbers in the same place"


def is_older(
    uri: str,
    sequence_us: int,
    than_uri: str,
    than_sequence_us: int,
    rule: VersionRule | None = None,
) -> bool:
    """Whether the version proposed as `uri` comes before the one proposed as `than_uri`.

    If numbers do not decide or are equal, the time of the proposals does.

    Args:
      uri: a version of a model.
      sequence_us: the time at which it was proposed; see Candidate.
      than_uri: a version of the same model.
      than_sequence_us: the time at which that was proposed.
      rule: the rule of the pattern under which the model's versions appear, if there is one. It
        decides for what lies under the pattern; elsewhere the two names are compared directly.
    """
    by_number = _has_lower_number(uri, than_uri, rule)
    return sequence_us < than_sequence_us if by_number is None else by_number


# Where very many candidates wait, each is compared with the newest again and again.
@lru_cache(maxsize=4096)
def _has_lower_number(uri: str, than_uri: str, rule: VersionRule | None) -> bool | None:
    """Whether the number in a name is the lower one; None if numbers do not decide."""
    if rule is not None and (rule.covers(uri) or rule.covers(than_uri)):
        mine, other = rule.numbers(uri), rule.numbers(than_uri)
    else:
        mine, other = _in_same_place(uri, than_uri)
    return mine < other if mine and other and mine != other else None


def _names(pattern: str, uris: Iterable[str]) -> list[str]:
    found = (match(pattern, uri) for uri in sorted(uris))
    return [one.name for one in found if one is not None]


def _in_same_place(uri: str, other: str) -> tuple[Numbers | None, Numbers | None]:
    """The numbers of two URIs that differ in one part of their paths, and there in numbers only."""
    parts, others = _path(uri), _path(other)
    differing = [pair for pair in zip(parts, others, strict=False) if pair[0] != pair[1]]
    if len(parts) != len(others) or len(differing) != 1 or parts[:1] != others[:1]:
        return None, None
    mine, theirs = (numbered(name) for name in differing[0])
    if mine is None or theirs is None or mine.around != theirs.around:
        return None, None
    return mine.numbers, theirs.numbers


def _path(uri: str) -> list[str]:
    """The parts of a URI; the first is what lies outside of any path: scheme and bucket."""
    scheme, path = split_scheme(uri)
    parts = path.rstrip("/").split("/")
    return [scheme + parts[0], *parts[1:]] if scheme else ["", *parts]
