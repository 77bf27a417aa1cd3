"""What the two stock pipelines share: Beam's handlers for the three models, and their two ends.

JSON is read and written with orjson; the runner is the one that this project uses. Thread pools are
left to the frameworks, which take one thread for each core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import orjson
import torch
from apache_beam.coders import BytesCoder
from apache_beam.ml.inference.base import ModelHandler
from apache_beam.ml.inference.onnx_inference import OnnxModelHandlerNumpy
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from benchmarks.batch import jobs
from benchmarks.batch.stock.sklearn_handler import SklearnModelHandlerNumpy

BATCH_ROWS = 512  # as in the bare loop over lines

Array = np.ndarray[Any, Any]


class Model(NamedTuple):
    """A model of the ensemble.

    Attributes:
      handler: runs it.
      example: from a record's numbers to what the handler takes.
    """

    handler: ModelHandler[Any, Any, Any]
    example: Callable[[Array], Any]


def models(folder: Path) -> Mapping[str, Model]:
    """The three models, by name."""
    batching = {"min_batch_size": BATCH_ROWS, "max_batch_size": BATCH_ROWS}
    regression = SklearnModelHandlerNumpy(
        str(folder / "model.pickle"), inference_fn=_predict_proba, **batching
    )
    onnx = OnnxModelHandlerNumpy(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"], **batching
    )
    network = PytorchModelHandlerTensor(
        torch_script_model_path=str(folder / "model.pt"), **batching
    )
    return {
        "Regression": Model(regression, np.asarray),
        "Onnx": Model(onnx, np.asarray),
        "Torch": Model(network, torch.from_numpy),
    }


def _predict_proba(model: Any, batch: Sequence[Array], inference_args: Any = None) -> Array:
    proba: Array = model.predict_proba(np.stack(batch))  # the handler would call `predict`
    return proba


def parse(line: bytes) -> tuple[int, Array]:
    record = orjson.loads(line)
    return record["id"], np.array(record["x"], dtype=np.float32)


def to_line(record_id: int, answers: Sequence[Array]) -> bytes:
    proba = np.mean(answers, axis=0)
    return orjson.dumps({"id": record_id, "label": int(proba.argmax()), "proba": proba.tolist()})


def run(description: str, ensemble: Callable[[Any, Mapping[str, Model]], Any]) -> None:
    """Runs an ensemble by the command line's folders.

    Args:
      description: for --help.
      ensemble: from records, id and numbers, and the models to lines.
    """
    parser = argparse.ArgumentParser(description=description)
    jobs.add_options(parser)
    options = parser.parse_args()

    def job(inputs: str, output: str) -> None:
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            lines = pipeline | beam.io.ReadFromText(f"{inputs}/*", coder=BytesCoder())
            _ = ensemble(
                lines | "Parse" >> beam.Map(parse), models(options.models)
            ) | beam.io.WriteToText(output, file_name_suffix=".jsonl", coder=BytesCoder())

    jobs.run(job, options)
