"""The digits example as a user runs it: its scripts in processes of their own."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import main
from pipeline.commands import command_line
from pipeline.spec.ensemble import EnsembleSpec
from tests.support.digits import trained_digits

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
FRAMEWORKS = {"numpy", "sklearn", "skops", "onnx", "onnxruntime", "torch", "tensorflow", "keras"}


def run_script(name: str, *arguments: object, python_options: tuple[str, ...] = ()):
    command = [sys.executable, *python_options, DIGITS / name, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return trained_digits(tmp_path_factory)


@pytest.fixture(scope="session")
def spec(trained):
    return EnsembleSpec.model_validate(yaml.safe_load((trained[0] / "ensemble.yaml").read_text()))


@pytest.fixture(scope="session")
def lines(tmp_path_factory):
    """Every line of the records, as bytes, and what the script said about them."""
    output_dir = tmp_path_factory.mktemp("records")
    result = run_script("make_records.py", "--output_dir", output_dir)
    assert result.returncode == 0, result.stderr
    records = output_dir / "records"
    content = (records / "held-out-000.jsonl").read_bytes()
    content += gzip.decompress((records / "held-out-001.jsonl.gz").read_bytes())
    return content.removesuffix(b"\n").split(b"\n"), result.stdout


def usable(line: bytes) -> bool:
    try:
        with np.errstate(over="ignore"):
            pixels = np.array(json.loads(line.decode())["pixels"], dtype=np.float32)
    except (ValueError, TypeError, KeyError):
        return False
    return pixels.shape == (64,) and bool(np.isfinite(pixels).all())


@pytest.fixture(scope="session")
def held_out(lines):
    records = [json.loads(line) for line in lines[0] if usable(line)]
    return (
        np.array([record["pixels"] for record in records], dtype=np.float32),
        np.array([record["digit"] for record in records]),
    )


def files_with_times(folder: Path):
    return {path: path.stat().st_mtime_ns for path in (folder / "models").rglob("*")}


def test_training_prints_one_line_a_model_with_its_time_and_accuracy(trained):
    printed = [line.split() for line in trained[1].splitlines()]

    assert [words[0] for words in printed] == ["forest", "mlp", "convnet", "dense"]
    for words in printed:
        assert float(words[words.index("s") - 1]) > 0
        assert float(words[words.index("accuracy") + 1]) > 0.9
        assert Path(words[-1]).exists()


def test_second_training_imports_no_framework_and_changes_nothing(trained):
    before = files_with_times(trained[0])

    again = run_script("train.py", "--output_dir", trained[0], python_options=("-X", "importtime"))

    imported = {line.rsplit("|")[-1].strip().split(".")[0] for line in again.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & FRAMEWORKS
    assert again.stdout.count("kept") == 4
    assert files_with_times(trained[0]) == before


def test_model_below_the_asked_accuracy_is_refused_and_the_old_one_stays(trained):
    before = files_with_times(trained[0])

    result = run_script("train.py", "--output_dir", trained[0], "--force", "--min_accuracy", 1)

    assert result.returncode == 1
    assert "forest: 0.9" in result.stderr
    assert "expected more than 1.0" in result.stderr
    assert "Traceback" not in result.stderr
    assert files_with_times(trained[0]) == before
    names = {"ensemble.yaml", "ensemble-streaming.yaml", "models"}
    assert {path.name for path in trained[0].iterdir()} == names


def predict_sklearn(model, path, pixels):
    from skops.io import get_untrusted_types, load

    file = path / "model.skops"
    estimator = load(file, trusted=get_untrusted_types(file=file))
    return {name: getattr(estimator, name)(pixels) for name in model.outputs}


def predict_onnx(model, path, pixels):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (x,) = session.get_inputs()
    assert (x.name, x.type, x.shape) == (*model.inputs, "tensor(float)", ["batch", 64])
    assert [output.name for output in session.get_outputs()] == list(model.outputs)
    (probs,) = session.run(list(model.outputs), {x.name: pixels})
    return dict.fromkeys(model.outputs, probs)


def predict_torch(model, path, pixels):
    import torch

    module = torch.jit.load(str(path))
    arguments = [argument.name for argument in module.forward.schema.arguments]
    assert arguments == ["self", *model.inputs]
    return {"output_0": module(torch.from_numpy(pixels)).detach().numpy()}


def predict_tensorflow(model, path, pixels):
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures[model.signature]
    (name,) = model.inputs
    _, keywords = signature.structured_input_signature
    assert keywords == {name: tf.TensorSpec([None, 64], tf.float32, name=name)}
    outputs = signature(**{name: tf.constant(pixels)})
    return {key: tensor.numpy() for key, tensor in outputs.items()}


PREDICT = {
    "sklearn": predict_sklearn,
    "onnx": predict_onnx,
    "torch": predict_torch,
    "tensorflow": predict_tensorflow,
}


@pytest.mark.parametrize("name", ["forest", "mlp", "convnet", "dense"])
def test_artifact_has_the_tensors_of_the_ensemble_file_and_knows_its_digits(
    name, trained, spec, held_out
):
    model = spec.model(name)
    pixels, digits = held_out

    outputs = PREDICT[model.framework](model, trained[0] / model.uri, pixels)

    assert list(outputs) == list(model.outputs)
    (probabilities,) = outputs.values()
    assert probabilities.shape == (len(digits), 10)
    assert probabilities.dtype == (np.float64 if name == "forest" else np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == digits).mean() > 0.9


def test_records_hold_every_held_out_digit_once_and_nine_broken_lines(lines):
    all_lines, printed = lines
    good = [json.loads(line) for line in all_lines if usable(line)]

    assert len({record["id"] for record in good}) == len(good) == 500
    assert {record["digit"] for record in good} == set(range(10))
    assert all(0 <= pixel <= 1 for record in good for pixel in record["pixels"])
    assert len(all_lines) - len(good) == 9
    assert "500 good and 9 broken" in printed
    assert b"" in all_lines[1:-1]  # at the end it would be no line at all


def test_records_are_the_same_bytes_in_every_run(tmp_path):
    made = []
    for run in ("one", "two"):
        assert run_script("make_records.py", "--output_dir", tmp_path / run).returncode == 0
        made.append([p.read_bytes() for p in sorted((tmp_path / run / "records").iterdir())])

    assert made[0] == made[1]


def prediction(number: int, digit: int, label: int, mlp_label: int):
    return {
        "id": f"digit-{number:04d}",
        "predictions": {
            "label": label,
            "confidence": 0.81234,
            "proba": [0.1] * 10,
            "forest_label": label,
            "mlp_label": mlp_label,
        },
        "pass_through": {"digit": digit},
        "release": {"id": "0a1b", "generation": 1, "models": {"forest": "1", "mlp": "2"}},
    }


def dead_letter(error_type: str, message: str, model: str | None = None):
    return {
        "payload": "?",
        "payload_encoding": "utf-8",
        "id": None,
        "stage": "inference" if model else "decode",
        "model": model,
        "error_type": error_type,
        "error_message": message,
        "release": None,
        "time": "2026-01-01T00:00:00.000Z",
    }


def write_lines(path: Path, *objects) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in objects))


def evaluate(folder: Path):
    return run_script(
        "evaluate.py",
        "--predictions",
        folder / "predictions-*",
        "--dead_letters",
        folder / "dead-letters-*",
    )


def test_evaluation_shows_accuracy_samples_and_dead_letters(tmp_path):
    shards = [prediction(1, 7, 7, 7), prediction(2, 3, 3, 3)], [prediction(3, 5, 5, 6)]
    write_lines(tmp_path / "predictions-00000-of-00002.jsonl", *shards[0])
    write_lines(tmp_path / "predictions-00001-of-00002.jsonl", *shards[1], prediction(4, 1, 2, 1))
    write_lines(
        tmp_path / "dead-letters-00000-of-00001.jsonl",
        dead_letter("model_error", "division by zero", model="mlp"),
        dead_letter("wrong_shape", "`pixels`: found 63 values, expected 64"),
        dead_letter("wrong_shape", "`pixels`: found 1 value, expected 64"),
    )

    result = evaluate(tmp_path)

    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f"""
Accuracy on 4 held-out digits
  model     right  accuracy %
  forest        3        75.0
  mlp           3        75.0
  ensemble      3        75.0

3 of the 4 predictions
  id          digit  label  confidence  forest  mlp  remark
  digit-0001      7      7       0.812       7    7  unanimous
  digit-0003      5      5       0.812       5    6  disputed
  digit-0004      1      2       0.812       2    1  wrong
  served by release 0a1b, generation 1: forest 1, mlp 2

3 dead letters, by reason
  count  reason       stage          for example
      2  wrong_shape  decode         `pixels`: found 63 values, expected 64
      1  model_error  inference mlp  division by zero

Files
  predictions       4 in 2 files   {tmp_path}/predictions-*
  dead letters      3 in 1 file    {tmp_path}/dead-letters-*
"""
    )


def test_evaluation_without_predictions_still_shows_why_records_failed(tmp_path):
    write_lines(tmp_path / "dead-letters-0", dead_letter("not_json", "found `x`, expected JSON"))

    result = evaluate(tmp_path)

    assert result.returncode == 1
    assert "not_json" in result.stdout
    assert f"No predictions found in {tmp_path}/predictions-*" in result.stderr


def test_evaluation_wraps_long_messages_within_a_hundred_columns(tmp_path):
    write_lines(tmp_path / "predictions-0", prediction(1, 7, 7, 7))
    write_lines(tmp_path / "dead-letters-0", dead_letter("not_json", "found more " * 40))

    printed = evaluate(tmp_path).stdout.partition("by reason")[2].partition("Files")[0]

    assert printed.split().count("found") == 40
    assert max(map(len, printed.splitlines())) <= 100


def test_init_writes_an_ensemble_file_for_the_trained_models_that_is_right(trained, tmp_path):
    output_dir = trained[0]
    run_script("make_records.py", "--output_dir", output_dir)
    spec = output_dir / "made-by-init.yaml"
    words = ["--records", output_dir / "records", "--output", spec, "--trusted"]
    assert run_command("init", output_dir / "models", *words) == 0
    assert run_command("check", spec) == 0
    spec.write_text(spec.read_text().replace("# pass_through: [digit]", "pass_through: [digit]"))
    records = output_dir / "records/held-out-000.jsonl"
    arguments = [f"--ensemble_spec={spec}", f"--input_file_pattern={records}"]
    assert main.main([*arguments, f"--output_path={tmp_path}/p"]) == 0
    lines = (tmp_path / "p-00000-of-00001.jsonl").read_text().splitlines()
    made = [json.loads(line) for line in lines]
    right = [m["predictions"]["label"] == m["pass_through"]["digit"] for m in made]
    assert len(right) > 200
    assert np.mean(right) > 0.95


def run_command(*words):
    return command_line.main([str(word) for word in words])
