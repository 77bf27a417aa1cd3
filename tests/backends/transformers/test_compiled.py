"""`compile: true`: a program gives what the model gives, and is all that serves."""

import gc
import shutil
import weakref

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import models
from tests.support.specs import load, model_spec

TEXTS = np.array(["good " * n for n in (1, 5, 0, 20, 3)], dtype=object)


def spec(**keys):
    entry = {"task": "text-classification", "inputs": {"text": "t"}, "outputs": {"logits": "l"}}
    return model_spec(framework="transformers", **{**entry, "compile": True, **keys})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return models.bert_classifier(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def compiled(folder):
    return load(folder, spec())


def logits(servable, texts=TEXTS):
    return servable.predict({"text": texts})["logits"]


def other_version(folder, place):
    from safetensors.torch import load_file, save_file

    file = shutil.copytree(folder, place) / "model.safetensors"
    save_file({k: v * 0.5 for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    return place


@pytest.fixture
def forward(monkeypatch):
    """Puts something before the model's own call."""
    from transformers import BertForSequenceClassification

    kept = BertForSequenceClassification.forward

    def put(before):
        def called(self, **arguments):
            return before(kept(self, **arguments))

        monkeypatch.setattr(BertForSequenceClassification, "forward", called)

    return put


def test_rows_alone_and_in_company_get_what_the_model_gives(folder, compiled):
    expected = logits(load(folder, spec(compile=False)))
    np.testing.assert_allclose(logits(compiled), expected, atol=1e-5)
    for row, one in enumerate(expected):
        np.testing.assert_allclose(logits(compiled, TEXTS[row : row + 1]), [one], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_program_serves_and_nothing_is_compiled_meanwhile(compiled, rows):
    import torch
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    with torch.profiler.profile() as profile:
        logits(compiled, TEXTS[:rows])
    assert any(event.name.startswith("Torch-Compiled") for event in profile.events())
    assert counters["stats"]["unique_graphs"] == before


def test_next_version_has_its_own_program_and_one_that_leaves_is_freed(folder, compiled, tmp_path):
    before, place = logits(compiled), other_version(folder, tmp_path / "2")
    expected = logits(load(place, spec(compile=False)))
    following = load(place, spec())
    assert np.abs(logits(following) - before).max() > 0.01
    np.testing.assert_allclose(logits(following), expected, atol=1e-5)
    np.testing.assert_array_equal(logits(compiled), before)
    gone = weakref.ref(following)
    del following
    gc.collect()
    assert gone() is None
    np.testing.assert_array_equal(logits(compiled), before)


@pytest.mark.long
def test_program_that_computes_something_else_is_refused(folder, forward):
    import torch

    def wrong(output):
        return {"logits": output.logits + int(torch.compiler.is_compiling())}

    forward(wrong)
    with pytest.raises(LoadError, match=r"other results once compiled: .* in 'logits', expected"):
        load(folder, spec())


def test_model_that_cannot_be_compiled_is_refused_with_the_way_out(folder, forward):
    def breaks(output):
        return output if output.logits.sum().item() < 1e9 else None

    forward(breaks)
    with pytest.raises(LoadError, match=r"cannot be compiled .*; expected no `compile: true`"):
        load(folder, spec())


def test_without_a_compiler_it_is_refused_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(LoadError, match=r"'no-such-compiler' is missing here; install it"):
        load(folder, spec())


@pytest.mark.parametrize("task", ["text-generation", "automatic-speech-recognition"])
def test_tasks_that_write_do_not_know_the_key(task):
    with pytest.raises(ValueError, match=f"'compile' has no use with `task: {task}`"):
        spec(task=task)
