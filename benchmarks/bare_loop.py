"""The bare loop: what the work costs when nothing but the work is done.

One process, one thread of Python, batches of 512: parse, stack, call the three models, average,
print. No check of any field, no dead letter, no release, no retry: a record that is not as expected
ends it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
import threadpoolctl
import torch
from skops import io as skops_io

BATCH_ROWS = 512
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY

Array = np.ndarray[Any, Any]


def load(models: Path, threads: int) -> Callable[[Array], Array]:
    """The ensemble as one function: ``x`` float32[n, 64] -> probabilities float64[n, 10].

    Args:
      models: the folder of the workload's models.
      threads: CPU threads that one call of a model may use, as this project grants its models.
    """
    threadpoolctl.threadpool_limits(threads, user_api="blas")
    regression = skops_io.load(models / "model.skops")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        models / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    torch.set_num_threads(threads)
    network = torch.jit.load(models / "model.pt").eval()

    def predict(x: Array) -> Array:
        with torch.inference_mode():
            of_torch = network(torch.from_numpy(x)).numpy()
        of_onnx = session.run(["proba"], {"x": x})[0]
        return (regression.predict_proba(x) + of_onnx + of_torch) / 3

    return predict


def run(input_path: Path, output_path: Path, predict: Callable[[Array], Array]) -> None:
    with input_path.open("rb") as source, output_path.open("wb") as sink:
        while lines := list(islice(source, BATCH_ROWS)):
            records = [orjson.loads(line) for line in lines]
            proba = predict(np.array([record["x"] for record in records], dtype=np.float32))
            rows = zip(records, proba.argmax(axis=1).tolist(), proba, strict=True)
            for record, label, row in rows:
                line = {"id": record["id"], "label": label, "proba": row}
                sink.write(orjson.dumps(line, option=_LINE))


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the benchmark's ensemble in a bare loop.")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    run(options.input, options.output, load(options.models, options.threads))


if __name__ == "__main__":
    main()
