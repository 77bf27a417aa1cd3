"""The bare loop over rows of a table: what the work costs when nothing but the work is done.

One process, one thread, batches of the size that is fastest: orjson for lines, pyarrow for CSV and
Parquet, one matrix of numbers and of a 1 for each text, the two models called directly. No check of
any field, no dead letter, no release, no retry: a record that is not as expected ends it.

Tried, and slower or no faster: pyarrow's reader of JSON lines, one `orjson.loads` for a batch,
`np.array` over tuples, XGBoost's `DMatrix`, float32, dictionaries of Arrow for the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import threadpoolctl
import xgboost
from pyarrow import csv
from scipy.special import expit
from skops import io as skops_io

from benchmarks.batch import loops
from benchmarks.batch.table.columns import FEATURES, FLOATS, INTEGERS, LABELS, NUMBERS
from benchmarks.batch.workload import Format

JSON_ROWS, PARQUET_ROWS = 1024, 8192
CSV_BYTES = 1 << 20  # some 4,400 rows

Array = np.ndarray[Any, Any]
Predict = Callable[[Array], Array]

_CODES = {
    name: {label: code for code, label in enumerate(labels)} for name, labels in LABELS.items()
}
_LABELS = {name: pa.array(labels) for name, labels in LABELS.items()}
_numbers = itemgetter(*NUMBERS)
_CSV_TYPES = {
    "id": pa.string(),
    **dict.fromkeys(FLOATS, pa.float64()),
    **dict.fromkeys(INTEGERS, pa.int64()),
    **dict.fromkeys(LABELS, pa.string()),
}


@cache
def load(models: Path) -> Predict:
    """The ensemble as one function: float64[n, FEATURES] -> probabilities float64[n].

    Loaded once in a process, for peers whose processes take one task after the other. Each call of
    a model uses one thread.

    Args:
      models: the folder of the workload's models.
    """
    threadpoolctl.threadpool_limits(1, user_api="blas")
    booster = xgboost.Booster(model_file=models / "trees.ubj")
    booster.set_param({"nthread": 1})
    linear = skops_io.load(models / "linear.skops")

    def predict(features: Array) -> Array:
        numbers = features[:, : len(NUMBERS)]
        trees = booster.inplace_predict(numbers, validate_features=False)
        proba: Array = (trees + expit(linear.decision_function(features))) / 2
        return proba

    return predict


def features_of(numbers: Array, codes: Iterable[Array]) -> Array:
    """A matrix of the numbers of rows and, for each text, a 1 at its place.

    Args:
      numbers: float64[n, 30].
      codes: for each text its place among its labels, int[n].
    """
    features = np.zeros((len(numbers), FEATURES))
    features[:, : len(NUMBERS)] = numbers
    rows, first = np.arange(len(numbers)), len(NUMBERS)
    for code, labels in zip(codes, LABELS.values(), strict=True):
        features[rows, first + code] = 1
        first += len(labels)
    return features


def predict_batch(batch: pa.RecordBatch, predict: Predict) -> pa.RecordBatch:
    """Rows with the table's columns -> id, label, proba."""
    numbers = np.column_stack([batch[name].to_numpy() for name in NUMBERS])
    codes = (pc.index_in(batch[name], value_set=labels) for name, labels in _LABELS.items())
    proba = predict(features_of(numbers, map(np.asarray, codes)))
    return pa.RecordBatch.from_pydict({"id": batch["id"], "label": proba >= 0.5, "proba": proba})


def run_jsonl(inputs: Sequence[Path], output: Path, predict: Predict) -> None:
    with output.open("wb") as sink:
        for path in inputs:
            with path.open("rb") as source:
                while lines := list(islice(source, JSON_ROWS)):
                    records = [orjson.loads(line) for line in lines]
                    values = chain.from_iterable(map(_numbers, records))
                    numbers = np.fromiter(values, float, len(records) * len(NUMBERS))
                    codes = (
                        np.array([code[record[name]] for record in records])
                        for name, code in _CODES.items()
                    )
                    proba = predict(features_of(numbers.reshape(len(records), -1), codes))
                    ids = [record["id"] for record in records]
                    _write_lines(sink, ids, (proba >= 0.5).tolist(), proba.tolist())


def run_csv(inputs: Sequence[Path], output: Path, predict: Predict) -> None:
    read = csv.ReadOptions(use_threads=False, block_size=CSV_BYTES)
    convert = csv.ConvertOptions(column_types=_CSV_TYPES)
    with output.open("wb") as sink:
        for path in inputs:
            for batch in csv.open_csv(path, read, convert_options=convert):
                predicted = predict_batch(batch, predict)
                _write_lines(sink, *(column.to_pylist() for column in predicted.columns))


def _write_lines(
    sink: Any, ids: Sequence[str], labels: Sequence[bool], proba: Sequence[float]
) -> None:
    sink.writelines(
        orjson.dumps({"id": i, "label": label, "proba": p}, option=orjson.OPT_APPEND_NEWLINE)
        for i, label, p in zip(ids, labels, proba, strict=True)
    )


def run_parquet(inputs: Sequence[Path], output: Path, predict: Predict) -> None:
    output.mkdir()
    for path in inputs:
        batches = pq.ParquetFile(path).iter_batches(PARQUET_ROWS, use_threads=False)
        tables = [predict_batch(batch, predict) for batch in batches]
        pq.write_table(pa.Table.from_batches(tables), output / path.name, use_dictionary=False)


LOOPS: Mapping[Format, loops.Loop] = {
    "jsonl": run_jsonl,
    "csv": run_csv,
    "parquet": run_parquet,
}

if __name__ == "__main__":
    loops.main(load, LOOPS)
