"""Ensembles to draw."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from pipeline.drawing.drawing import Drawing, draw
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve

Entry = dict[str, Any]
"""A model in an ensemble file."""


def model(name: str, reads: Sequence[str], writes: Sequence[str], framework: str = "onnx") -> Entry:
    return {
        "name": name,
        "framework": framework,
        "uri": f"models/{name}/3",
        "inputs": {f"in{i}": column for i, column in enumerate(reads)},
        "outputs": {f"out{i}": column for i, column in enumerate(writes)},
    }


def drawing(
    models: Sequence[Entry],
    *,
    fields: Sequence[str] = ("x",),
    types: Any = None,
    versions: Any = None,
    **keys: Any,
) -> Drawing:
    spec = {
        "name": "e",
        "record": {"fields": {name: {"dtype": "float32", "shape": [4]} for name in fields}},
        "models": models,
        **keys,
    }
    return draw(resolve(EnsembleSpec.model_validate(spec)), types, versions)


def any_drawing(seed: int) -> Drawing:
    """An ensemble of 1 to 12 models, each reading what is there already."""
    pick = random.Random(seed)
    columns = [f"f{i}" for i in range(pick.randint(1, 5))]
    fields = tuple(columns)
    models: list[Entry] = []
    for i in range(pick.randint(1, 12)):
        reads = pick.sample(columns, pick.randint(1, min(3, len(columns))))
        writes = [f"m{i}_{j}" for j in range(pick.randint(1, 3))]
        models.append(model(f"model{i}", reads, writes))
        columns += writes
    made = [c for c in columns if c not in fields]
    combine = [
        {"column": f"c{i}", "op": "concat", "of": pick.sample(made, min(2, len(made)))}
        for i in range(pick.randint(0, 3))
    ]
    output = pick.sample(made, pick.randint(1, len(made)))
    return drawing(models, fields=fields, combine=combine, output=output)
