"""Rows of a table: an id, 24 floats, 6 integers and 3 texts, and two models that read them.

A record has an id, such as `c-00000017`, floats with 4 decimals, integers from 0 to 999, and texts
of which each field has 4 to 14. Records come as JSON lines, one key for each column, as CSV with a
header, or as Parquet (double, int64, string), in files of 200,000. The models are a booster of
XGBoost, 100 trees of depth 6 over the 30 numbers, and a scikit-learn pipeline of a StandardScaler
and a LogisticRegression over these and the texts, one-hot.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.batch.table.columns import FEATURES, FLOATS, INTEGERS, LABELS, NUMBERS
from benchmarks.batch.workload import Format, Workload

_TREES = 100
_TRAINED_ON = 20_000

Array = np.ndarray[Any, Any]


class Table(Workload):
    """Its models: `trees.ubj`, `linear.skops`."""

    name = "table"
    forms = ("jsonl", "csv", "parquet")
    part_rows = 200_000
    title, noun = "Table", "row of a table"
    batch_section, stages_section = "table", "table-stages"
    spec_source = Path(__file__).with_name("ensemble.yaml")

    def write_models(self, folder: Path) -> None:
        import xgboost
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from skops import io as skops_io

        table = _columns(0, _TRAINED_ON)
        numbers = np.column_stack([table[name].to_numpy() for name in NUMBERS])
        codes = [
            np.searchsorted(labels, table[name].to_numpy(zero_copy_only=False).astype(str))
            for name, labels in LABELS.items()
        ]
        hot = [np.eye(len(LABELS[name]))[code] for name, code in zip(LABELS, codes, strict=True)]
        features = np.hstack([numbers, *hot])
        assert features.shape == (_TRAINED_ON, FEATURES)
        rng = np.random.default_rng(4)
        scaled = (features - features.mean(axis=0)) / features.std(axis=0)
        score = scaled @ rng.normal(size=FEATURES) * 0.3 + scaled[:, 0] * scaled[:, 1]
        classes = (score + rng.logistic(size=_TRAINED_ON) > 0).astype(int)
        booster = xgboost.train(
            {"objective": "binary:logistic", "max_depth": 6, "nthread": 1},
            xgboost.DMatrix(numbers, classes, feature_names=list(NUMBERS)),
            num_boost_round=_TREES,
        )
        booster.save_model(folder / "trees.ubj")
        linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, classes)
        skops_io.dump(linear, folder / "linear.skops")

    def write_part(self, form: Format, first: int, rows: int, path: Path) -> None:
        _WRITE[form](path, _columns(first, rows))


def _columns(first: int, rows: int) -> pa.Table:
    """Some records of a part; the same whatever their number."""
    floats, integers, texts = (np.random.default_rng([3, first, kind]) for kind in range(3))
    numbers = [*floats.normal(size=(rows, len(FLOATS))).round(4).T]
    numbers += [*integers.integers(0, 1_000, size=(rows, len(INTEGERS))).T]
    codes = (texts.random(size=(rows, len(LABELS))) * [len(each) for each in LABELS.values()]).T
    return pa.table(
        {
            "id": [f"c-{number:08d}" for number in range(first, first + rows)],
            **dict(zip(NUMBERS, map(np.ascontiguousarray, numbers), strict=True)),
            **{
                name: np.array(labels)[code.astype(int)].tolist()
                for (name, labels), code in zip(LABELS.items(), codes, strict=True)
            },
        }
    )


def _write_jsonl(path: Path, table: pa.Table) -> None:
    # Numbers as orjson writes them, in one call; a dict for each line would take twice as long.
    texts = [orjson.dumps(column.to_pylist())[1:-1].split(b",") for column in table.itercolumns()]
    line = b"{%b}\n" % b",".join(b'"%b":%%b' % name.encode() for name in table.column_names)
    path.write_bytes(b"".join(map(line.__mod__, zip(*texts, strict=True))))


def _write_csv(path: Path, table: pa.Table) -> None:
    csv.write_csv(table, path, csv.WriteOptions(quoting_style="none"))


def _write_parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path)


_WRITE: dict[Format, Callable[[Path, pa.Table], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
