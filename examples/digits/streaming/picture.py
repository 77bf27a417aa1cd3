"""The run as a picture: throughput, latency and accuracy over time, the swaps marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streaming.history import History, MarkKind, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

# Everything is told apart twice, by colour and by form.
_RELEASES = ((ORANGE, "//"), (SKY, ""), (GREEN, ".."), (PURPLE, "xx"))
_MARKS: dict[MarkKind, tuple[str, str, str]] = {
    "told": ("v", BLACK, ":"),
    "accepted": ("o", BLUE, ""),
    "rejected": ("X", VERMILION, "--"),
    "rolled back": ("<", PURPLE, ""),
    "activated": ("^", GREEN, "-"),
    "failed": ("X", VERMILION, "--"),
}
_LANES: dict[MarkKind, int] = {
    "told": 2,
    "accepted": 1,
    "rejected": 1,
    "rolled back": 1,
    "activated": 0,
    "failed": 0,
}
_LANE_NAMES = ("serving", "verdict", "demo")
_BIN_SECS = 1.0


def draw(history: History, title: str, path: Path) -> None:
    """Draws the picture as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    style: dict[Any, Any] = {"font.size": 10, "hatch.linewidth": 0.6, "axes.spines.top": False}
    with plt.rc_context({**style, "axes.spines.right": False}):
        figure, axes = plt.subplots(
            4,
            figsize=(11, 8.2),
            sharex=True,
            height_ratios=(1.1, 2, 2, 1.6),
            layout="constrained",
        )
        figure.suptitle(title, fontsize=12)
        end = max(np.floor(history.fed_secs / _BIN_SECS), 1) * _BIN_SECS
        _draw_lanes(axes[0], history)
        _draw_throughput(axes[1], history, end)
        _draw_latency(axes[2], history, end)
        _draw_accuracy(axes[3], history, end)
        for axis in axes:
            _draw_lines(axis, history)
            axis.set_xlim(0, end)
        axes[-1].locator_params(axis="x", integer=True)
        axes[-1].set_xlabel("time since the feeding began (s)")
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _draw_lanes(axis: Axes, history: History) -> None:
    """What was done and what became of it, in words."""
    for mark in history.marks:
        shape, colour, _ = _MARKS[mark.kind]
        place = (max(mark.at, 0.0), _LANES[mark.kind])  # the first release serves from before
        axis.plot(*place, shape, color=colour, markersize=8, zorder=4, clip_on=False)
        axis.annotate(
            mark.label,
            place,
            xytext=(8, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            zorder=3,
        )
    axis.set_ylim(-0.6, 2.6)
    axis.set_yticks(range(len(_LANE_NAMES)), _LANE_NAMES)
    axis.tick_params(length=0, pad=12)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_lines(axis: Axes, history: History) -> None:
    for mark in history.marks:
        _, colour, line = _MARKS[mark.kind]
        if line and mark.at > 0:
            axis.axvline(mark.at, color=colour, linestyle=line, linewidth=1.2, zorder=2)


def _draw_throughput(axis: Axes, history: History, end: float) -> None:
    """Stacked bars, a colour and a hatch for each release."""
    edges = np.arange(0, end + _BIN_SECS / 2, _BIN_SECS)
    bottom = np.zeros(len(edges) - 1)
    kinds: list[tuple[str, Sequence[float], str, str]] = [
        (
            f"generation {generation} (forest {models['forest']})",
            [p.at for p in history.predictions if p.generation == generation],
            *_RELEASES[(generation - 1) % len(_RELEASES)],
        )
        for generation, models in sorted(history.releases.items())
    ]
    kinds.append(("dead letters", history.dead_letters, BLACK, ""))
    for label, times, colour, hatch in kinds:
        height = np.histogram(times, edges)[0] / _BIN_SECS
        axis.bar(
            edges[:-1],
            height,
            width=_BIN_SECS,
            bottom=bottom,
            align="edge",
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=label,
        )
        bottom += height
    axis.set_ylabel("throughput\n(records/s)")
    axis.set_ylim(0, bottom.max() * 1.35)
    _legend(axis)


def _draw_latency(axis: Axes, history: History, end: float) -> None:
    fed = history.fed()
    for label, share, colour, line, marker in (
        ("p99", 99, VERMILION, "--", "s"),
        ("p50", 50, BLUE, "-", "o"),
    ):
        times, values = _per_bin(
            fed, end, lambda some, share=share: np.percentile([p.latency_ms for p in some], share)
        )
        axis.plot(times, values, line, color=colour, marker=marker, markersize=4, label=label)
    axis.set_ylabel("latency (ms)")
    axis.set_ylim(0, axis.get_ylim()[1] * 1.25)
    _legend(axis)


def _draw_accuracy(axis: Axes, history: History, end: float) -> None:
    for label, name, colour, line, marker in (
        ("ensemble", "ensemble_right", BLACK, "-", "o"),
        ("forest alone", "forest_right", GREEN, "--", "D"),
    ):
        times, values = _per_bin(
            history.predictions,
            end,
            lambda some, name=name: 100 * np.mean([getattr(p, name) for p in some]),
        )
        axis.plot(times, values, line, color=colour, marker=marker, markersize=4, label=label)
    axis.set_ylabel("right digits (%)")
    low, _ = axis.get_ylim()
    axis.set_ylim(min(low, 70), 102)
    _legend(axis, location="lower right")


def _per_bin(
    predictions: Sequence[Prediction],
    end: float,
    value: Callable[[list[Prediction]], Any],
) -> tuple[list[float], list[float]]:
    """A value for each second in which something came out, at the middle of that second."""
    bins: dict[int, list[Prediction]] = {}
    for prediction in predictions:
        if 0 <= prediction.at < end:
            bins.setdefault(int(prediction.at / _BIN_SECS), []).append(prediction)
    times = [(number + 0.5) * _BIN_SECS for number in sorted(bins)]
    return times, [float(value(bins[number])) for number in sorted(bins)]


def _legend(axis: Axes, location: str = "upper right") -> None:
    axis.legend(loc=location, ncols=4, fontsize=9, framealpha=1, borderpad=0.3)
