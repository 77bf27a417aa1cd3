"""How many of a batch job's records are dead letters, and how many may be."""

from __future__ import annotations


def share(dead_letters: int, records: int) -> str:
    """The share as people read it: ``1.2 %``, never 0 % of some nor 100 % of fewer than all.

    Args:
      dead_letters: how many.
      records: of how many, at least one.
    """
    percent = 100 * dead_letters / records
    return f"{min(percent, 99.9) if dead_letters < records else 100:.3g} %"


def share_problem(predictions: int, dead_letters: int, most_percent: float) -> str | None:
    """Why a finished batch job counts as failed; None where it does not.

    Args:
      predictions: records that got one.
      dead_letters: the others.
      most_percent: the greatest share of dead letters, 0 to 100. Even with 100, a job that has
        records needs a prediction.
    """
    records = predictions + dead_letters
    if dead_letters and not predictions:
        return f"no record got a prediction: all {records:,} are dead letters"
    if dead_letters * 100 > most_percent * records:
        return (
            f"{dead_letters:,} of {records:,} records are dead letters, "
            f"{share(dead_letters, records)}; --max_dead_letter_percent allows {most_percent:g} %"
        )
    return None
