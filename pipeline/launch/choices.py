"""The versions among which a launch chooses, for each pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.batch.release import ModelVersion
from pipeline.errors import ModelError
from pipeline.launch.patterns import Pattern
from pipeline.releases.candidate import Candidate
from pipeline.releases.proposal import Proposal, Refusal, proposal_of, release_of
from pipeline.releases.state import GateState
from pipeline.releases.versions import candidate_of

LAUNCH = "the launch of the job"


@dataclass(frozen=True)
class Choice:
    """What a pattern's models may start with.

    Attributes:
      uris: model -> URI.
      candidate: as watch mode would propose it; None for what needs no proposal.
      updated_us: when it was written; 0 where that does not matter.
    """

    uris: Mapping[str, str]
    candidate: Candidate | None = None
    updated_us: int = 0


def choices_of(pattern: Pattern, uris: Mapping[str, str], state: GateState | None) -> list[Choice]:
    """What the models of a pattern may start with, best first.

    Args:
      pattern: what lies under it.
      uris: model -> what it starts with where nothing else passes.
      state: what the gate remembers; None where that is nothing.
    """
    target, options = pattern.target, []
    for version in pattern.newest_first:
        assert target.rule is not None, "there are versions"
        candidate = candidate_of(target, version, pattern.newest_first[::-1], target.rule)
        if state is None or not isinstance(proposal_of(state, candidate), Refusal):
            of = dict.fromkeys(target.models, version.uri)
            options.append(Choice(of, candidate, version.updated_us))
    last = Choice({model: uris[model] for model in target.models})
    if state is not None or last.uris not in [option.uris for option in options]:
        options.append(last)
    return options


def check_not_undone(state: GateState, model: str, version: ModelVersion) -> None:
    """Makes sure that nobody rolled back from a version.

    Raises:
      ModelError: somebody did.
    """
    proposal = Proposal(Candidate("launch", LAUNCH, 0), wanted={model: version.uri})
    refusal = release_of(state, proposal, {model: version})
    if isinstance(refusal, Refusal):
        raise ModelError(refusal.reason)
