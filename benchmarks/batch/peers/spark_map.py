"""Spark: `mapInPandas` or `mapInArrow` over tables of records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from benchmarks.batch import jobs
from benchmarks.batch.table.columns import FLOATS, INTEGERS, LABELS
from benchmarks.support.repository import ROOT

BATCH_ROWS = 10_000
_RECORDS = {
    "vectors": "id long, x array<float>",
    "table": ", ".join(
        [
            "id string",
            *(f"{name} double" for name in FLOATS),
            *(f"{name} long" for name in INTEGERS),
            *(f"{name} string" for name in LABELS),
        ]
    ),
}
_PREDICTIONS = {
    "vectors": "id long, label long, proba array<double>",
    "table": "id string, label boolean, proba double",
}


def _bare_loop(workload: str) -> Any:
    """Its module; that of another workload would import other frameworks."""
    return import_module(f"benchmarks.batch.{workload}.bare_loop")


def in_arrow(
    workload: str, models: Path, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    loop = _bare_loop(workload)
    predict = loop.load(models)
    for batch in batches:
        yield loop.predict_batch(batch, predict)


def in_pandas(models: Path, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Of vectors."""
    predict = _bare_loop("vectors").load(models)
    for frame in frames:
        proba = predict(np.stack(frame["x"].to_numpy()))
        yield pd.DataFrame({"id": frame["id"], "label": proba.argmax(axis=1), "proba": list(proba)})


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the benchmark's ensemble on Spark.")
    jobs.add_options(parser)
    parser.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="jsonl")
    parser.add_argument("--workload", choices=_RECORDS, default="vectors")
    parser.add_argument("--map", choices=("pandas", "arrow"), default="arrow")
    options = parser.parse_args()
    # The workers have this interpreter and find these modules.
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    spark = (
        SparkSession.builder.master(f"local[{os.cpu_count()}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH_ROWS)
        .getOrCreate()
    )
    models = options.models.resolve()

    def job(inputs: str, output: str) -> None:
        reader = spark.read.schema(_RECORDS[options.workload])
        if options.format == "csv":
            records = reader.csv(inputs, header=True)
        else:
            records = (reader.json if options.format == "jsonl" else reader.parquet)(inputs)
        schema = _PREDICTIONS[options.workload]
        if options.map == "arrow":
            answer = partial(in_arrow, options.workload, models)
            predictions = records.mapInArrow(answer, schema)
        else:
            predictions = records.mapInPandas(partial(in_pandas, models), schema)
        writer = predictions.write
        (writer.parquet if options.format == "parquet" else writer.json)(output)

    jobs.run(job, options)
    spark.stop()


if __name__ == "__main__":
    main()
