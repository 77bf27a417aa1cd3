"""The stock chain: the same ensemble out of Beam's own parts, one model after the other.

Three `RunInference` steps follow each other. Each replaces its element by a `PredictionResult`, so
a `KeyedModelHandler` carries the id, the numbers and the answers so far in the key, as Beam's guide
to several models has it (https://beam.apache.org/documentation/ml/multi-model-pipelines/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from benchmarks.batch.stock import models as stock_models
from benchmarks.batch.stock.models import Array, Model


def first(example: Callable[[Array], Any]) -> Callable[[tuple[int, Array]], Any]:
    """Moves a record into the key: id, numbers, no answer yet."""
    return lambda record: ((*record, ()), example(record[1]))


def following(example: Callable[[Array], Any]) -> Callable[[tuple[Any, Any]], Any]:
    """Moves a model's answer into the key; the numbers go to the next model."""
    return lambda element: (answered(element), example(element[0][1]))


def answered(element: tuple[Any, Any]) -> tuple[int, Array, tuple[Array, ...]]:
    (record_id, x, answers), result = element
    return record_id, x, (*answers, np.asarray(result.inference))


def to_line(element: tuple[Any, Any]) -> bytes:
    record_id, _, answers = answered(element)
    return stock_models.to_line(record_id, answers)


def chain(records: Any, models: Mapping[str, Model]) -> Any:
    keyed, move = records, first
    for name, model in models.items():
        keyed = (
            keyed
            | f"To{name}" >> beam.Map(move(model.example))
            | name >> RunInference(KeyedModelHandler(model.handler))
        )
        move = following
    return keyed | "ToLine" >> beam.Map(to_line)


if __name__ == "__main__":
    stock_models.run("Runs the benchmark's ensemble as a chain of RunInference.", chain)
