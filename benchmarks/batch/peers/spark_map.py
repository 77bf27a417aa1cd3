"""Spark: `mapInPandas` or `mapInArrow` over tables of records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from benchmarks.batch import jobs
from benchmarks.batch.arrow_lists import list_array, matrix
from benchmarks.batch.vectors.bare_loop import load
from benchmarks.support.repository import ROOT

BATCH_ROWS = 10_000
_RECORD = "id long, x array<float>"
_PREDICTION = "id long, label long, proba array<double>"


def in_arrow(models: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    predict = load(models)
    for batch in batches:
        proba = predict(matrix(batch["x"]))
        yield pa.RecordBatch.from_pydict(
            {"id": batch["id"], "label": proba.argmax(axis=1), "proba": list_array(proba)}
        )


def in_pandas(models: Path, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    predict = load(models)
    for frame in frames:
        proba = predict(np.stack(frame["x"].to_numpy()))
        yield pd.DataFrame({"id": frame["id"], "label": proba.argmax(axis=1), "proba": list(proba)})


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the benchmark's ensemble on Spark.")
    jobs.add_options(parser)
    parser.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl")
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
        reader = spark.read.schema(_RECORD)
        records = (reader.json if options.format == "jsonl" else reader.parquet)(inputs)
        if options.map == "arrow":
            predictions = records.mapInArrow(lambda batches: in_arrow(models, batches), _PREDICTION)
        else:
            predictions = records.mapInPandas(lambda frames: in_pandas(models, frames), _PREDICTION)
        writer = predictions.write
        (writer.json if options.format == "jsonl" else writer.parquet)(output)

    jobs.run(job, options)
    spark.stop()


if __name__ == "__main__":
    main()
