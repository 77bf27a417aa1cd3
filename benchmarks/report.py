"""The table, as Markdown: for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from results import Result

_BEGIN, _END = "<!-- batch: begin -->", "<!-- batch: end -->"
_PACKAGES = ("apache-beam", "numpy", "orjson", "onnxruntime", "scikit-learn", "torch")
_HEADER = (
    "contender",
    "processes x threads",
    "records",
    "records/s",
    "lowest - highest",
    "of bare",
    "x stock",
    "start-up s",
    "peak MiB",
)
_NOTHING = "-"


def table(results: Sequence[Result], bare: Result | None, stock: Result | None) -> str:
    """A row for each contender.

    Args:
      results: what to show.
      bare: what the shares are of.
      stock: what the multiples are of.
    """
    rows = [_row(result, bare, stock) for result in results]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    rule = ["-" * widths[0], "-" * widths[1], *("-" * (width - 1) + ":" for width in widths[2:])]
    lines = []
    for row in (_HEADER, rule, *rows):
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("| " + " | ".join([*left, *right]) + " |")
    return "\n".join(lines)


def machine() -> str:
    """One line: cores, system, versions."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def rewrite(document: Path, text: str) -> None:
    """Replaces what stands between the two marks of a document.

    Raises:
      ValueError: it has not both marks.
    """
    before, begin, rest = document.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{document}: expected the marks {_BEGIN} and {_END}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _row(result: Result, bare: Result | None, stock: Result | None) -> tuple[str, ...]:
    rates = result.rates
    return (
        result.contender.title,
        result.contender.threads,
        " / ".join(f"{size:,}" for size in result.sizes),
        _NOTHING if result.rate is None else f"{result.rate:,.0f}",
        f"{rates[0]:,.0f} - {rates[-1]:,.0f}" if rates else _NOTHING,
        _ratio(result, bare, "{:.0%}"),
        _ratio(result, stock, "{:.1f}"),
        _NOTHING if result.start_up_secs is None else f"{result.start_up_secs:.1f}",
        f"{result.peak_bytes / 2**20:,.0f}",
    )


def _ratio(result: Result, other: Result | None, form: str) -> str:
    if other is None or result.rate is None or other.rate is None:
        return _NOTHING
    return form.format(result.rate / other.rate)
