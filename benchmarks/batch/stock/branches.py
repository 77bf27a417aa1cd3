"""The stock branches: the same ensemble out of Beam's own parts, the models side by side.

Each model has a branch of its own from the records; `CoGroupByKey` brings the answers to a record
together again, as Beam's guide to ensembles has it
(https://beam.apache.org/documentation/ml/multi-model-pipelines/). It holds all of them until the
last record is read, and puts each through a shuffle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from benchmarks.batch.stock import models as stock_models
from benchmarks.batch.stock.models import Array, Model


def keyed(example: Callable[[Array], Any]) -> Callable[[tuple[int, Array]], tuple[int, Any]]:
    return lambda record: (record[0], example(record[1]))


def answer(element: tuple[int, Any]) -> tuple[int, Array]:
    record_id, result = element
    return record_id, np.asarray(result.inference)


def to_line(element: tuple[int, Mapping[str, list[Array]]]) -> bytes:
    record_id, answers = element
    return stock_models.to_line(record_id, [of_model[0] for of_model in answers.values()])


def branches(records: Any, models: Mapping[str, Model]) -> Any:
    answers = {
        name: records
        | f"To{name}" >> beam.Map(keyed(model.example))
        | name >> RunInference(KeyedModelHandler(model.handler))
        | f"Of{name}" >> beam.Map(answer)
        for name, model in models.items()
    }
    return answers | beam.CoGroupByKey() | "ToLine" >> beam.Map(to_line)


if __name__ == "__main__":
    stock_models.run("Runs the benchmark's ensemble as branches of RunInference.", branches)
