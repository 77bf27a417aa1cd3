"""The bare loop: what the work costs when nothing but the work is done.

One process, one thread of Python, batches of the size that is fastest: parse, stack, call the three
models, average, print. Parquet is read and written by pyarrow. No check of any field, no dead
letter, no release, no retry: a record that is not as expected ends it. Several at once share
nothing but the machine: how much faster they are than one says how much faster anything could be
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import threadpoolctl
import torch
from skops import io as skops_io

from benchmarks.batch import loops
from benchmarks.batch.arrow_lists import list_array, matrix

JSON_ROWS, PARQUET_ROWS = 512, 4096  # 1,024 and 4,096 lines, or 512 and 1,024 rows, are slower
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY

Array = np.ndarray[Any, Any]
Predict = Callable[[Array], Array]


@cache
def load(models: Path) -> Predict:
    """The ensemble as one function: ``x`` float32[n, 64] -> probabilities float64[n, 10].

    Loaded once in a process, for peers whose processes take one task after the other. Each call of
    a model uses one thread: models this small lose more by a second one than they gain.

    Args:
      models: the folder of the workload's models.
    """
    threadpoolctl.threadpool_limits(1, user_api="blas")
    regression = skops_io.load(models / "model.skops")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        models / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    torch.set_num_threads(1)
    jit: Any = torch.jit
    network = jit.load(models / "model.pt").eval()

    def predict(x: Array) -> Array:
        with torch.inference_mode():
            of_torch = network(torch.from_numpy(x)).numpy()
        of_onnx = session.run(["proba"], {"x": x})[0]
        total: Array = regression.predict_proba(x) + of_onnx + of_torch
        return total / 3

    return predict


def run_jsonl(inputs: Sequence[Path], output: Path, predict: Predict) -> None:
    with output.open("wb") as sink:
        for path in inputs:
            with path.open("rb") as source:
                while lines := list(islice(source, JSON_ROWS)):
                    sink.writelines(_lines(lines, predict))


def _lines(lines: Sequence[bytes], predict: Predict) -> Iterator[bytes]:
    records = [orjson.loads(line) for line in lines]
    proba = predict(np.array([record["x"] for record in records], dtype=np.float32))
    rows = zip(records, proba.argmax(axis=1).tolist(), proba, strict=True)
    for record, label, row in rows:
        yield orjson.dumps({"id": record["id"], "label": label, "proba": row}, option=_LINE)


def run_parquet(inputs: Sequence[Path], output: Path, predict: Predict) -> None:
    output.mkdir()
    for path in inputs:
        batches = pq.ParquetFile(path).iter_batches(PARQUET_ROWS, use_threads=False)
        tables = [predict_batch(batch, predict) for batch in batches]
        pq.write_table(pa.Table.from_batches(tables), output / path.name, use_dictionary=False)


def predict_batch(batch: pa.RecordBatch, predict: Predict) -> pa.RecordBatch:
    """Records with ``id`` and ``x`` -> id, label, proba."""
    proba = predict(matrix(batch["x"]))
    return pa.RecordBatch.from_pydict(
        {"id": batch["id"], "label": proba.argmax(axis=1), "proba": list_array(proba)}
    )


if __name__ == "__main__":
    loops.main(load, {"jsonl": run_jsonl, "parquet": run_parquet})
