"""The stock chain: the same ensemble out of Beam's own parts, one element a record.

Three `RunInference` steps follow each other. Each replaces its element by a `PredictionResult`, so
a `KeyedModelHandler` carries the id and the answers so far in the key, as Beam's guide to several
models in one pipeline has it (https://beam.apache.org/documentation/ml/multi-model-pipelines/).
JSON is read and written with orjson; the runner is the one that this project uses. Thread pools are
left to the frameworks, which take one thread for each core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import orjson
import torch
from apache_beam.coders import BytesCoder
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.ml.inference.onnx_inference import OnnxModelHandlerNumpy
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from sklearn_handler import SklearnModelHandlerNumpy

BATCH_ROWS = 512  # as in the bare loop

Array = np.ndarray[Any, Any]
Key = tuple[int, tuple[Array, ...]]
"""A record's id, and the probabilities that the models so far gave it."""


def parse(line: bytes) -> tuple[Key, Array]:
    record = orjson.loads(line)
    return (record["id"], ()), np.array(record["x"], dtype=np.float32)


def next_model(element: tuple[Key, Any]) -> tuple[Key, Any]:
    """Moves a model's answer into the key; its example goes to the next model."""
    (record_id, answers), result = element
    return (record_id, (*answers, np.asarray(result.inference))), result.example


def to_tensor(element: tuple[Key, Array]) -> tuple[Key, torch.Tensor]:
    key, example = element
    return key, torch.from_numpy(example)


def to_line(element: tuple[Key, Any]) -> bytes:
    (record_id, answers), _ = next_model(element)
    proba = np.mean(answers, axis=0)
    return orjson.dumps({"id": record_id, "label": int(proba.argmax()), "proba": proba.tolist()})


def predict_proba(model: Any, batch: Sequence[Array], inference_args: Any = None) -> Array:
    return model.predict_proba(np.stack(batch))  # the handler itself would call `predict`


def build(pipeline: beam.Pipeline, models: Path, input_path: Path, output_prefix: Path) -> None:
    batching = {"min_batch_size": BATCH_ROWS, "max_batch_size": BATCH_ROWS}
    regression = SklearnModelHandlerNumpy(
        str(models / "model.pickle"), inference_fn=predict_proba, **batching
    )
    onnx = OnnxModelHandlerNumpy(
        str(models / "model.onnx"), providers=["CPUExecutionProvider"], **batching
    )
    network = PytorchModelHandlerTensor(
        torch_script_model_path=str(models / "model.pt"), **batching
    )
    _ = (
        pipeline
        | beam.io.ReadFromText(str(input_path), coder=BytesCoder())
        | "Parse" >> beam.Map(parse)
        | "Regression" >> RunInference(KeyedModelHandler(regression))
        | "ToOnnx" >> beam.Map(next_model)
        | "Onnx" >> RunInference(KeyedModelHandler(onnx))
        | "ToTorch" >> beam.Map(lambda element: to_tensor(next_model(element)))
        | "Torch" >> RunInference(KeyedModelHandler(network))
        | "ToLine" >> beam.Map(to_line)
        | beam.io.WriteToText(str(output_prefix), file_name_suffix=".jsonl", coder=BytesCoder())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the benchmark's ensemble on RunInference.")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="prefix of the files")
    options = parser.parse_args()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        build(pipeline, options.models, options.input, options.output)


if __name__ == "__main__":
    main()
