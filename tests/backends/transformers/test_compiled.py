"""`compile: true`: a program gives what the model gives, and is all that serves."""

import gc
import json
import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.backends.torch.device import Cpu
from pipeline.backends.transformers import backend
from pipeline.backends.transformers.tasks.pictures import Pictures
from pipeline.batch.release import ModelVersion
from pipeline.errors import LoadError
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.loader import FrameworkLoader
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


def test_program_is_made_for_the_threads_of_the_calls_that_it_serves(folder, forward, monkeypatch):
    import torch

    without = []

    def seen(output):
        if not torch.compiler.is_compiling():
            without.append(True)
        return output

    forward(seen)
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(2,)) as lane:

        class Lane(Cpu):
            def run(self, call):
                return lane.submit(super().run, call).result()

        monkeypatch.setattr(backend, "choose_device", lambda name: Lane())
        servable = load(folder, spec())
        without.clear()
        logits(servable)
    assert not without


def test_program_that_is_not_taken_is_refused(folder, monkeypatch):
    monkeypatch.setattr("torch._dynamo.run", lambda forward: forward)
    with pytest.raises(LoadError, match=r"does not take its program .*; expected no `compile"):
        load(folder, spec())


def unsized(folder):
    """Makes a model of pictures whose processor leaves sizes as they are; its configuration."""
    file = models.vit_classifier(folder) / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_resize": False}))
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    ("named", "size"), [(None, (224, 224)), (48, (48, 48)), ([32, 64], (32, 64))]
)
def test_pictures_for_compiling_have_the_size_of_the_model(tmp_path, named, size):
    unsized(tmp_path)
    shapes = [
        tuple(one["pixel_values"].shape)
        for one in Pictures(tmp_path).examples(SimpleNamespace(image_size=named))
    ]
    assert shapes == [(2, 3, *size), (1, 3, *size)]


@pytest.mark.long
def test_model_of_pictures_that_its_processor_does_not_resize_is_compiled(tmp_path):
    size = unsized(tmp_path)["image_size"]
    keys = {"task": "image-classification", "inputs": {"image": "i"}}
    pictures = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype="uint8")
    found, expected = (
        load(tmp_path, spec(**keys, compile=compiled)).predict({"image": pictures})["logits"]
        for compiled in (True, False)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_programs_are_kept_where_no_other_user_writes(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("CXX", "no-such-compiler")
    version = ModelVersion("m", str(folder), digest_of(folder))
    loader = FrameworkLoader((spec(name="m"),), ArtifactCache(tmp_path, None), "cpu", 1)
    with pytest.raises(LoadError, match="no-such-compiler"):
        loader(version)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(own_folder("programs"))


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
