r"""Reads what the ensemble wrote for the held-out digits and says how good it is.

    python examples/digits/evaluate.py --predictions 'build/digits/out/predictions-*' \
        --dead_letters 'build/digits/out/dead-letters-*'

prints the accuracy of each model and of the ensemble, three predictions, and the dead letters
grouped by reason. It needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import glob
import gzip
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]
WIDTH = min(shutil.get_terminal_size(fallback=(100, 24)).columns, 100)


def read(pattern: str) -> tuple[list[Path], list[Line]]:
    """The files that match, and the JSON objects on their lines."""
    paths = [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207  # may be absolute
    lines: list[Line] = []
    for path in paths:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        lines += [json.loads(line) for line in content.splitlines()]
    return paths, lines


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints aligned columns, numbers to the right; the last column wraps at the width."""
    numeric = [isinstance(cell, int | float) for cell in rows[0]]
    cells = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        *aligned, last = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        ]
        start = "  " + "  ".join([*aligned, ""])
        wrapped = textwrap.fill(
            last.rstrip(), WIDTH, initial_indent=start, subsequent_indent=" " * len(start)
        )
        print(wrapped or start.rstrip())


def model_names(predictions: Sequence[Line]) -> list[str]:
    """The models whose own label is among the outputs, as ``<model>_label``."""
    outputs = predictions[0]["predictions"]
    return [name.removesuffix("_label") for name in outputs if name.endswith("_label")]


def show_accuracy(predictions: Sequence[Line]) -> None:
    """The share of right digits: of each model alone, and of the ensemble."""
    columns = {name: f"{name}_label" for name in model_names(predictions)} | {"ensemble": "label"}
    heading(f"Accuracy on {len(predictions)} held-out digits")
    rows = []
    for name, column in columns.items():
        right = sum(p["predictions"][column] == p["pass_through"]["digit"] for p in predictions)
        rows.append((name, right, round(100 * right / len(predictions), 1)))
    table(("model", "right", "accuracy %"), rows)


def remark(prediction: Line) -> str:
    """What to notice about a prediction."""
    outputs = prediction["predictions"]
    if outputs["label"] != prediction["pass_through"]["digit"]:
        return "wrong"
    if any(outputs[f"{name}_label"] != outputs["label"] for name in model_names([prediction])):
        return "disputed"
    return "unanimous"


def three_samples(predictions: Sequence[Line]) -> list[Line]:
    """The first prediction of each remark, filled up with the first others."""
    ordered = sorted(predictions, key=lambda prediction: str(prediction["id"]))
    first: dict[str, Line] = {}
    for prediction in ordered:
        first.setdefault(remark(prediction), prediction)
    chosen = list(first.values())
    chosen += [prediction for prediction in ordered if prediction not in chosen][: 3 - len(chosen)]
    return sorted(chosen, key=lambda prediction: str(prediction["id"]))


def show_samples(predictions: Sequence[Line]) -> None:
    """Three predictions, one a line, and the release that made them."""
    names = model_names(predictions)
    samples = three_samples(predictions)
    heading(f"{len(samples)} of the {len(predictions)} predictions")
    rows = []
    for sample in samples:
        outputs = sample["predictions"]
        labels = [outputs[f"{name}_label"] for name in names]
        confidence = round(outputs["confidence"], 3)
        digit = sample["pass_through"]["digit"]
        rows.append((sample["id"], digit, outputs["label"], confidence, *labels, remark(sample)))
    table(("id", "digit", "label", "confidence", *names, "remark"), rows)
    release = samples[0]["release"]
    versions = ", ".join(f"{name} {version}" for name, version in release["models"].items())
    print(f"  served by release {release['id']}, generation {release['generation']}: {versions}")


def show_dead_letters(dead_letters: Sequence[Line]) -> None:
    """How many records failed for each reason, most frequent first, and one message of each."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for letter in dead_letters:
        place = letter["stage"] + (f" {letter['model']}" if letter["model"] else "")
        groups.setdefault((letter["error_type"], place), []).append(letter)
    heading(f"{len(dead_letters)} dead letters, by reason")
    table(
        ("count", "reason", "stage", "for example"),
        [
            (len(letters), *reason, letters[0]["error_message"])
            for reason, letters in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        ],
    )


def show_files(found: dict[str, tuple[str, list[Path], list[Line]]]) -> None:
    """Where it all lies."""
    heading("Files")
    for kind, (pattern, paths, lines) in found.items():
        files = f"{len(paths)} file" + ("" if len(paths) == 1 else "s")
        print(f"  {kind:13} {len(lines):5} in {files:8}  {pattern}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Says how good the digits ensemble is.")
    parser.add_argument("--predictions", default="build/digits/out/predictions-*")
    parser.add_argument("--dead_letters", default="build/digits/out/dead-letters-*")
    options = parser.parse_args()

    paths, predictions = read(options.predictions)
    dead_paths, dead_letters = read(options.dead_letters)
    if predictions:
        show_accuracy(predictions)
        show_samples(predictions)
    if dead_letters:
        show_dead_letters(dead_letters)
    show_files(
        {
            "predictions": (options.predictions, paths, predictions),
            "dead letters": (options.dead_letters, dead_paths, dead_letters),
        }
    )
    if not predictions:
        sys.exit(f"No predictions found in {options.predictions}.")


if __name__ == "__main__":
    main()
