"""The last step of a batch job on a service: it fails the job that has too many dead letters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam

from pipeline.errors import OutputError
from pipeline.report.dead_letter_share import share_problem
from pipeline.runner.beam_types import PTransform

OutcomeCounts = tuple[int, int]
"""How many predictions, how many dead letters."""


class CheckShare(PTransform):
    """PCollection[OutcomeCounts] -> raises OutputError in the end, where `share_problem` says so.

    Args:
      most_percent: see `share_problem`.
      after: see `transforms.waiting`; complete when all outputs are: a job that fails by its
        share has written them, so that its dead letters can be read.
    """

    def __init__(self, most_percent: float, after: Iterable[Any]) -> None:
        super().__init__()
        self._most_percent = most_percent
        self._after = list(after)

    def expand(self, outcomes: Any) -> Any:
        """Builds the steps."""
        return (
            outcomes
            | "Sum" >> beam.CombineGlobally(_total)
            | "Check" >> beam.Map(_check, self._most_percent, *self._after)
        )


def _total(outcomes: Iterable[OutcomeCounts]) -> OutcomeCounts:
    predictions = dead_letters = 0
    for some_predictions, some_dead_letters in outcomes:
        predictions += some_predictions
        dead_letters += some_dead_letters
    return predictions, dead_letters


def _check(outcome: OutcomeCounts, most_percent: float, _after: Any = None) -> None:
    if problem := share_problem(*outcome, most_percent):
        raise OutputError(problem)
