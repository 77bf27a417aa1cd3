"""A model that loads leaves the interpreter to the batches beside it."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.backends.base import LoadContext
from pipeline.errors import LoadError
from pipeline.serving import interpreter, opening
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support import models

ROOT = Path(__file__).parents[2]


@pytest.fixture
def usual():
    return sys.getswitchinterval()


def test_collector_rests_while_frameworks_are_imported_and_goes_on_behind(monkeypatch):
    seen = []

    class Backend:
        def start(self):
            seen.append(gc.isenabled())
            raise LoadError("not installed")

    monkeypatch.setattr(opening.registry, "backend", lambda framework: Backend())
    opening.start(["onnx", "torch"])
    assert seen == [False, False]
    assert gc.isenabled()


def test_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with interpreter.importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_threads_take_turns_more_often_around_a_load_and_as_usual_behind(usual):
    def fail():
        with interpreter.shared():
            assert sys.getswitchinterval() < usual
            raise ValueError("told to fail")

    with pytest.raises(ValueError, match="told to fail"):
        fail()
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_loads_that_overlap_return_to_the_usual_turns_when_the_last_ends(usual):
    both_in, first_out = threading.Barrier(2), threading.Event()
    between = []

    def first():
        with interpreter.shared():
            both_in.wait()
        first_out.set()

    def second():
        with interpreter.shared():
            both_in.wait()
            first_out.wait()
            between.append(sys.getswitchinterval())

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert between[0] < usual
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_turns_that_are_shorter_already_stay(usual):
    sys.setswitchinterval(0.0001)
    try:
        with interpreter.shared():
            assert sys.getswitchinterval() == pytest.approx(0.0001, rel=0.1)
    finally:
        sys.setswitchinterval(usual)


SETTLED = """
import gc, sys
from pathlib import Path
from tests.serving.test_interpreter import factory

looks = []
make = factory(Path(sys.argv[1]))
assert "onnxruntime" not in sys.modules
make()
assert "onnxruntime" in sys.modules
frozen = gc.get_freeze_count()
assert frozen > 10_000, frozen
seen = len(gc.get_objects())
assert seen < frozen / 10, (seen, frozen)
make()
assert gc.get_freeze_count() <= frozen, "what came later, models among it, must stay in sight"

from pipeline.batch.block import Block
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.spec.record import RecordSpec

record = RecordSpec.model_validate({"fields": {"x": {"dtype": "float32", "shape": [2]}}})
block = Block((b'{"x": [1.5, 2.5]}',) * 4096, "a.jsonl")
gc.callbacks.append(lambda phase, info: looks.append(info))
assert len(JsonDecoder(record).decode(block)) == 4096
assert looks == [], looks
"""


def factory(folder):
    """Makes managers of an ensemble with one ONNX model."""
    spec = EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [
                {
                    "name": "net",
                    "framework": "onnx",
                    "uri": str(folder),
                    "inputs": {"x": "x"},
                    "outputs": {"y": "y"},
                }
            ],
        }
    )
    graph = resolve(spec)
    loader = FrameworkLoader(spec.models, ArtifactCache(folder, None), "cpu", 1)
    return ManagerFactory(graph, loader)


def test_modules_are_out_of_the_collectors_sight_and_what_comes_later_is_not(tmp_path):
    """A process of its own: it can be done only once in each."""
    command = [sys.executable, "-c", SETTLED, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_manager_is_made_although_a_framework_is_missing(tmp_path, monkeypatch):
    """The load of its model says so, with the model's name."""
    models.onnx_file(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    make = factory(tmp_path)
    make().close()
    from pipeline.backends.registry import backend
    from pipeline.errors import LoadError

    (spec,) = make.graph.spec.models
    with pytest.raises(LoadError, match="'onnxruntime' is needed"):
        backend("onnx").load(tmp_path, spec, LoadContext("cpu", 1))
