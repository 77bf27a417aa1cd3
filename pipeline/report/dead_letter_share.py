"""The share of a batch job's records that are dead letters, and how large it may be."""

from __future__ import annotations


def percentage(dead_letters: int, records: int) -> str:
    """The share of dead letters as text: ``1.2 %``; 0 % only of none, 100 % only of all.

    Args:
      dead_letters: their number.
      records: the number of all records, at least one.
    """
    percent = 100 * dead_letters / records
    return f"{min(percent, 99.9) if dead_letters < records else 100:.3g} %"


def share_problem(predictions: int, dead_letters: int, most_percent: float) -> str | None:
    """Why a finished batch job counts as failed; None if it does not.

    Args:
      predictions: the number of records with a prediction.
      dead_letters: the number of the others.
      most_percent: the greatest share of dead letters, 0 to 100. Even at 100, a job that has
        records needs a prediction.
    """
    records = predictions + dead_letters
    if dead_letters and not predictions:
        return f"no record got a prediction: all {records:,} are dead letters"
    if dead_letters * 100 > most_percent * records:
        found = f"{dead_letters:,} of {records:,} records are dead letters"
        return (
            f"{found}, {percentage(dead_letters, records)}; "
            f"--max_dead_letter_percent allows {most_percent:g} %"
        )
    return None
