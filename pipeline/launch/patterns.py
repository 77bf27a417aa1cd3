"""What lies under the watched patterns when a job is launched, and which rules that makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline.errors import ArtifactError, ArtifactNotFoundError, ModelError
from pipeline.releases.version_rule import RELEASES, VersionRule, why_time
from pipeline.releases.versions import Version, WatchTarget, counts, ordered, rule_for, versions
from pipeline.releases.watcher import Lister

Say = Callable[[str], None]
"""Is told what is being done, in a sentence for a person."""


@dataclass(frozen=True)
class Pattern:
    """A pattern, and what lies under it at the launch.

    Attributes:
      target: what is watched, with the rule that holds from now on.
      newest_first: the versions that count and fit the rule.
    """

    target: WatchTarget
    newest_first: tuple[Version, ...] = ()


def look_under(
    targets: Iterable[WatchTarget],
    lister: Lister,
    rules: Mapping[str, VersionRule],
    say: Say,
) -> list[Pattern]:
    """Looks under all patterns, and fixes the rules that can be fixed.

    Args:
      targets: the patterns.
      lister: lists what lies under them.
      rules: those that are fixed already; see Accepted. One of another pattern does not count.
      say: told what does not count, and why.

    Raises:
      ModelError: a storage does not answer, or refuses.
    """
    return [_looked(target, lister, rules, say) for target in targets]


def _looked(
    target: WatchTarget, lister: Lister, rules: Mapping[str, VersionRule], say: Say
) -> Pattern:
    known = rules.get(target.models[0] if target.models else RELEASES)
    if known is not None and known.pattern == target.pattern:
        target = replace(target, rule=known)
    try:
        found = versions(target, lister.list_files(target.pattern, target.rule))
    except ArtifactNotFoundError:
        return Pattern(target)  # the folder may come later
    except ArtifactError as error:
        about = f"model '{target.models[0]}'" if target.models else "--release_pattern"
        raise ModelError(f"{about}: {error}") from error
    counting = [version for version in found if counts(target, version)]
    rule = rule_for(target, counting)
    if rule is None:
        return Pattern(target)
    if target.rule is None:
        why = why_time(target.pattern, [version.uri for version in counting])
        decides = f"the number N in '{rule.form}'" if rule.form else "the time of modification"
        reason = f": {why}" if why else ""
        say(f"under {target.pattern} {decides} tells which version is newer{reason}")
    fitting, others = ordered(counting, rule)
    for version in others:
        say(f"passed over: {rule.misfit(version.uri)}")
    return Pattern(replace(target, rule=rule), tuple(reversed(fitting)))


def newest(patterns: Iterable[Pattern]) -> dict[str, str]:
    """Model -> URI of the newest version under its pattern, where there is one; not checked."""
    found: dict[str, str] = {}
    for pattern in patterns:
        if pattern.newest_first:
            found |= dict.fromkeys(pattern.target.models, pattern.newest_first[0].uri)
    return found


def rules_after(
    patterns: Iterable[Pattern], known: Mapping[str, VersionRule] | None = None
) -> dict[str, VersionRule]:
    """The rules that hold from now on, by model; see Accepted. `known` is those before."""
    rules = dict(known or {})
    for pattern in patterns:
        if pattern.target.rule is not None:
            rules |= dict.fromkeys(pattern.target.models or (RELEASES,), pattern.target.rule)
    return rules
