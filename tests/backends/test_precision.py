"""`precision: half`: half the memory, nearly the same numbers, float32 columns on any device."""

import numpy as np
import pytest
import torch

from pipeline.backends.torch import formats as torch_formats
from pipeline.backends.torch import runtime as torch_runtime
from pipeline.errors import LoadError, RowsError
from tests.support import models
from tests.support.specs import load, model_spec

ROWS = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
LINEAR = {"module": "torch.nn.Linear", "module_args": {"in_features": 4, "out_features": 3}}
TORCH = {"framework": "torch", "inputs": {"input": "c"}, "outputs": {"output_0": "y"}}


def both(path, **entry):
    """The model in full, and halved."""
    return (load(path, model_spec(precision=p, **entry)) for p in ("full", "half"))


def agree(whole, halved):
    """Close, and yet not the same: the other precision was at work."""
    assert halved.dtype == np.float32
    np.testing.assert_allclose(halved, whole, rtol=0.02, atol=0.02)
    assert not np.array_equal(halved, whole)


@pytest.mark.parametrize(
    ("build", "extra"), [(models.torchscript, {}), (models.torch_state_dict, LINEAR)]
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_torch_network_is_halved(build, extra, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_formats, "half_precision", lambda device: dtype)
    whole, halved = both(build(tmp_path), **TORCH, **extra)
    assert halved.size_bytes == whole.size_bytes / 2
    for given in (ROWS, ROWS.astype("float64")):
        found = halved.predict({"input": given})["output_0"]
        agree(whole.predict({"input": ROWS})["output_0"], found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_beyond_the_range_of_half_precision_are_told(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_formats, "half_precision", lambda device: dtype)
    _, halved = both(models.torchscript(tmp_path), **TORCH)
    rows, beyond = ROWS.astype("float64"), 2 * torch.finfo(dtype).max
    rows[1, 2], rows[5, 0] = beyond, -beyond
    with pytest.raises(RowsError) as caught:
        halved.predict({"input": rows})
    name = str(dtype).removeprefix("torch.")
    assert caught.value.messages == {
        1: f"found {beyond} in input 'input', which {name} cannot hold",
        5: f"found {-beyond} in input 'input', which {name} cannot hold",
    }


def test_gpu_has_float16_and_cpu_bfloat16():
    assert torch_runtime.half_precision("cuda:0") == torch.float16
    assert torch_runtime.half_precision("cpu") == torch.bfloat16


def test_exported_program_is_refused(tmp_path):
    with pytest.raises(LoadError, match=r"precision is fixed in its code.*`precision: half`"):
        load(models.torch_export(tmp_path), model_spec(precision="half", **TORCH))


def test_texts_are_embedded_by_a_halved_transformer(tmp_path):
    entry = {"framework": "transformers", "task": "feature-extraction"}
    names = {"inputs": {"text": "c"}, "outputs": {"embedding": "e"}}
    whole, halved = both(models.bert_embedder(tmp_path), **entry, **names)
    assert halved.size_bytes < 0.6 * whole.size_bytes
    texts = {"text": np.array(["good film", "bad"], dtype=object)}
    found, expected = (one.predict(texts)["embedding"] for one in (halved, whole))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert not np.array_equal(found, expected)


def test_images_are_classified_by_a_halved_transformer(tmp_path):
    entry = {"framework": "transformers", "task": "image-classification"}
    names = {"inputs": {"image": "c"}, "outputs": {"probs": "p"}}
    whole, halved = both(models.vit_classifier(tmp_path), **entry, **names)
    images = {"image": np.random.default_rng(1).integers(0, 256, (3, 10, 12, 3), dtype="uint8")}
    agree(whole.predict(images)["probs"], halved.predict(images)["probs"])
