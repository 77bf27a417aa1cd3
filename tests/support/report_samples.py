"""Statistics and pages of a small run, made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import yaml

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.release import ModelVersion, Release
from pipeline.drawing.drawing import draw
from pipeline.report.page.facts import EngineNotes, RunFacts
from pipeline.report.page.page import render
from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import LoadedModel, RunStatistics
from pipeline.report.statistics.watched_columns import watched_columns
from pipeline.spec import text as spec_text
from pipeline.spec.graph import resolve

STARTED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
STARTED_US = int(STARTED.timestamp() * 1e6)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;</pre></style>\u202e\x00"

SPEC = {
    "name": "two",
    "record": {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [4]}}},
    "models": [
        {
            "name": name,
            "framework": "onnx",
            "uri": f"models/{name}/1",
            "inputs": {"x": "x"},
            "outputs": {"p": f"{name}_p", "word": f"{name}_word"},
        }
        for name in ("left", "right")
    ],
    "combine": [
        {"column": "p", "op": "mean", "of": ["left_p", "right_p"]},
        {"column": "label", "op": "argmax", "of": "p"},
    ],
    "output": ["label", "p"],
}
GRAPH = resolve(spec_text.parse(yaml.safe_dump(SPEC), source="e.yaml"))
RELEASES = [
    Release(n, tuple(ModelVersion(m, f"models/{m}/{n}", "d" * 64) for m in ("left", "right")))
    for n in (1, 2)
]
FACTS = RunFacts(
    GRAPH,
    draw(GRAPH),
    RELEASES[0],
    STARTED,
    streaming=False,
    engine=EngineNotes("every minute", ""),
    given=(("ensemble_spec", "e.yaml"), ("input_query", HOSTILE)),
    defaults=(("device", "auto"), ("input_topic", "")),
)


def batch(
    rows: int,
    release: Release,
    after_secs: float,
    *,
    dead: Sequence[Reject] = (),
    words: Sequence[str] = ("yes", "no"),
    streaming: bool = False,
) -> RunStatistics:
    """Statistics of one batch, finished so long after the start."""
    rng = np.random.default_rng(int(after_secs * 10))
    now_us = STARTED_US + int(after_secs * 1e6)
    columns: dict[str, np.ndarray] = {}
    for model in ("left", "right"):
        columns[f"{model}_p"] = rng.dirichlet([1, 1, 1], rows).astype(np.float32)
        columns[f"{model}_word"] = rng.choice(words, rows).astype(object)
    columns["p"] = (columns["left_p"] + columns["right_p"]) / 2
    columns["label"] = columns["p"].argmax(1)
    made = Batch(
        ids=tuple(range(rows)),
        payloads=(b"x",) * rows,
        columns=columns,
        release=release,
        rejects=tuple(dead),
        origins=tuple(Origin(now_us - 1000 * (i + 1), {}) for i in range(rows))
        if streaming
        else None,
    )
    return run_statistics.from_batch(made, watched_columns(GRAPH), now_us)


def run(*parts: RunStatistics) -> RunStatistics:
    loaded = frozenset(LoadedModel(v, "cuda:0", 3 << 20) for v in RELEASES[0].versions)
    begun = RunStatistics(began_us=STARTED_US, models=loaded)
    return run_statistics.merged([begun, *parts])


def page(statistics: RunStatistics, **facts: Any) -> str:
    written = STARTED + timedelta(minutes=5)
    return render(statistics, dataclasses.replace(FACTS, **facts), written)
