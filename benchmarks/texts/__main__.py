"""The benchmark of texts: transformers over texts of 5 to 400 tokens, log-normal lengths.

    python -m benchmarks.texts          about 5 minutes; rewrites its part of the document
    python -m benchmarks.texts --quick  only that it runs and all give the same; without `encode`

This project's models, called with batches as a job calls them, against transformers' pipeline
object, sentence-transformers' `encode` and `generate`. Contenders take turns, and every other round
the other way round.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.support import command_line, machine, sections
from benchmarks.texts import environment, workload
from benchmarks.texts.contenders import (
    BATCH,
    NEW_TOKENS,
    Contender,
    Encode,
    Generate,
    Pipeline,
    Project,
    Took,
)

HEADER = (
    "model",
    "against",
    "texts",
    "texts/s",
    "theirs",
    "ratio",
    "lowest - highest",
    "CPU ratio",
)
_PACKAGES = ("numpy", "torch", "transformers", "tokenizers")
_TOLERANCE = 1e-4
_ALIKE = 0.98
"""Share of written texts that must be the same: rounding decides between tokens nearly tied."""


class WrongError(Exception):
    """Contenders gave different results."""


@dataclass(frozen=True)
class Subject:
    """A model, and who computes it.

    Attributes:
      model, against: as the table names them.
      texts: how many.
      open: (folder, texts, threads) -> this project, and the other.
    """

    model: str
    against: str
    texts: int
    open: Callable[[Path, Sequence[str], int], tuple[Contender, Contender]]


@dataclass(frozen=True)
class Round:
    """What this project took, and the other."""

    ours: Took
    theirs: Took


def main() -> int:
    options = _parse()
    measured_on = machine.describe(_PACKAGES)
    try:
        if not options.quick:
            environment.prepare()
        found = {
            subject: measure(subject, options.rounds, os.cpu_count() or 1)
            for subject in subjects(options.quick)
        }
    except (WrongError, environment.MissingError) as error:
        print(error, file=sys.stderr)
        return 1
    table = sections.table(HEADER, [row(subject, rounds) for subject, rounds in found.items()])
    print(f"{table}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, found, table, measured_on)
    return 0


def subjects(quick: bool) -> list[Subject]:
    """What is measured; in a quick run of each kind the smallest."""
    made = [_classifier("tiny", 32 if quick else 512)]
    if not quick:
        made += [_classifier("BERT base", 24), _embedder("tiny", 512), _embedder("BERT base", 24)]
    return [*made, _writer(small=quick, texts=16 if quick else 24)]


def _classifier(size: str, texts: int) -> Subject:
    def opened(folder: Path, rows: Sequence[str], threads: int) -> tuple[Contender, Contender]:
        place = workload.encoders(folder, size).classifier
        keys = {"task": "text-classification", "outputs": {"probs": "p"}}
        return Project(place, rows, threads, keys), Pipeline(place, rows, threads)

    return Subject(f"classifier, {size}", f"pipeline, batch_size {BATCH}", texts, opened)


def _embedder(size: str, texts: int) -> Subject:
    def opened(folder: Path, rows: Sequence[str], threads: int) -> tuple[Contender, Contender]:
        place = workload.encoders(folder, size).sentences
        keys = {"task": "sentence-embedding", "outputs": {"embedding": "e"}}
        return Project(place, rows, threads, keys), Encode(place, rows, threads)

    return Subject(f"embeddings, {size}", "encode", texts, opened)


def _writer(*, small: bool, texts: int) -> Subject:
    def opened(folder: Path, rows: Sequence[str], threads: int) -> tuple[Contender, Contender]:
        place = workload.writer(folder, small=small)
        keys = {"task": "text2text-generation", "outputs": {"text": "t"}}
        ours = Project(place, rows, threads, {**keys, "max_new_tokens": NEW_TOKENS})
        return ours, Generate(place, rows, threads)

    return Subject("T5 small, 20 tokens", f"generate, batches of {BATCH}", texts, opened)


def measure(subject: Subject, rounds: int, threads: int) -> list[Round]:
    """Runs both contenders in turn, after one run that does not count.

    Raises:
      WrongError: they give different results.
    """
    rows = workload.texts(subject.texts)
    with tempfile.TemporaryDirectory() as folder, _opened(subject, folder, rows, threads) as both:
        for contender in both:
            contender.run()
        _compare(subject, *both)
        made = []
        for number in range(rounds):
            order = both if number % 2 else both[::-1]
            took = {contender: contender.run() for contender in order}
            made.append(Round(took[both[0]], took[both[1]]))
            print(f"{subject.model}: {_ratio(made[-1]):.2f}", flush=True)
        return made


@contextmanager
def _opened(
    subject: Subject, folder: str, rows: Sequence[str], threads: int
) -> Iterator[tuple[Contender, Contender]]:
    both = subject.open(Path(folder), rows, threads)
    try:
        yield both
    finally:
        for contender in both:
            contender.close()


def _compare(subject: Subject, ours: Contender, theirs: Contender) -> None:
    if ours.found.dtype == object:
        agree = bool((ours.found == theirs.found).mean() >= _ALIKE)
    else:
        agree = bool(np.allclose(ours.found, theirs.found, atol=_TOLERANCE))
    if not agree:
        raise WrongError(f"{subject.model}: this project and {subject.against} give other results")


def _ratio(found: Round) -> float:
    return found.theirs.secs / found.ours.secs


def row(subject: Subject, rounds: Sequence[Round]) -> tuple[str, ...]:
    """The table's row of a subject."""
    ratios = [_ratio(each) for each in rounds]
    return (
        subject.model,
        subject.against,
        f"{subject.texts:,}",
        f"{subject.texts / median(each.ours.secs for each in rounds):,.0f}",
        f"{subject.texts / median(each.theirs.secs for each in rounds):,.0f}",
        f"{median(ratios):.2f}",
        f"{min(ratios):.2f} - {max(ratios):.2f}",
        f"{median(each.theirs.cpu_secs / each.ours.cpu_secs for each in rounds):.2f}",
    )


def publish(
    document: Path, found: dict[Subject, list[Round]], table: str, measured_on: str
) -> None:
    """Rewrites this benchmark's part of the document."""
    sections.rewrite(document, "texts", table, command_line.used(), measured_on)
    said = {
        subject: f"{subject.model} {median(map(_ratio, rounds)):.2f} x"
        for subject, rounds in found.items()
    }
    of_pipeline = [text for subject, text in said.items() if "pipeline" in subject.against]
    others = [
        f"{text} of `{subject.against.partition(',')[0]}`"
        for subject, text in said.items()
        if "pipeline" not in subject.against
    ]
    sections.summarise(
        document,
        "Transformers, texts of 5 to 400 tokens",
        f"of transformers' pipeline: {', '.join(of_pipeline)}",
        ", ".join(others),
    )


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures transformers over texts of many lengths.")
    parser.add_argument("--rounds", type=int, help="default 5")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


if __name__ == "__main__":
    sys.exit(main())
