"""A process's end of a shared model, and the host, which here is in the same process."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.backends.base import LoadContext
from pipeline.batch.batch import Batch
from pipeline.batch.release import ModelVersion
from pipeline.errors import InferenceError, LoadError, ProcessLostError
from pipeline.serving import opening
from pipeline.serving.opening import Opening
from pipeline.serving.shared.arena import ArenaPool
from pipeline.serving.shared.host import ModelHost
from pipeline.serving.shared.servable import SharedServable
from pipeline.serving.step.model_step import ModelStep
from pipeline.testing import FakeServable
from tests.backends.cases import CASES
from tests.support.sharing import version_of
from tests.support.specs import model_spec

ONNX = next(case for case in CASES if case.framework == "onnx")
NEVER_SECS = 3600.0


class Link:
    """Its hosts end as often as they are told to."""

    def __init__(self):
        self.arenas = ArenaPool()
        self.hosts = 0
        self.ends = 0
        self._host = None

    def host(self):
        if self._host is None:
            self.hosts += 1
            self._host = _Mortal(self)
        return self._host

    def lost(self, host):
        if self._host is host:
            self._host = None


class _Mortal(ModelHost):
    def __init__(self, link):
        super().__init__(NEVER_SECS)
        self._link = link

    def predict(self, *args):
        if self._link.ends:
            self._link.ends -= 1
            raise EOFError
        return super().predict(*args)


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def opened(link, tmp_path):
    path = ONNX.build(tmp_path)
    ask = Opening(path, ONNX.spec(), LoadContext(shared=True))
    return SharedServable(link, version_of(ONNX.spec(), path), ask)


def test_what_the_model_is_prepared_for_is_known_to_those_who_call(link, monkeypatch, tmp_path):
    class OnGpu:
        def load(self, *arguments):
            servable = FakeServable(lambda inputs: {"y": inputs["x"]})
            servable.device = "cuda:0"
            return servable

    monkeypatch.setattr(opening.registry, "backend", lambda framework: OnGpu())
    path = ONNX.build(tmp_path)
    ask = Opening(path, ONNX.spec(), LoadContext(shared=True, call_rows=8))
    monkeypatch.setattr("pipeline.serving.shared.host.start", lambda frameworks: None)
    shared = SharedServable(link, version_of(ONNX.spec(), path), ask)
    assert shared.prepared_rows == 8
    assert shared.warm_up_rows == (1, 2, 3, 4, 6, 8)


def test_call_is_repeated_when_the_host_ended_and_the_next_one_opens_the_model(opened, link):
    rows = ONNX.rows(5)
    before = opened.predict(rows)["y"]
    link.ends = 1
    np.testing.assert_array_equal(opened.predict(rows)["y"], before)
    assert link.hosts == 2


def test_hosts_that_end_again_and_again_blame_no_row(opened, link):
    link.ends = 1_000_000
    with pytest.raises(ProcessLostError, match=r"is gone: ended during a call \(EOFError\)"):
        opened.predict(ONNX.rows(5))
    x = ONNX.rows(5)["x"]
    batch = Batch(ids=tuple(range(5)), payloads=(b"",) * 5, columns={"pixels": x})
    with pytest.raises(ProcessLostError):
        ModelStep(ONNX.spec()).run(batch, opened)


def test_files_that_are_gone_when_another_host_needs_them_blame_no_row(opened, link, tmp_path):
    for file in tmp_path.rglob("*.onnx"):
        file.unlink()
    link.ends = 1
    with pytest.raises(ProcessLostError, match="is gone"):
        opened.predict(ONNX.rows(5))


def test_error_of_a_framework_arrives_without_the_framework(opened):
    with pytest.raises(InferenceError, match=r"InvalidArgument: .*dimensions") as raised:
        opened.predict({"x": np.ones((2, 5), "float32")})
    assert type(raised.value) is InferenceError


def test_host_that_cannot_be_started_is_told_at_load(link, tmp_path):
    def fails():
        raise RuntimeError("no process left")

    link.host = fails
    path = ONNX.build(tmp_path)
    with pytest.raises(LoadError, match=r"shared models .* cannot be started: no process left"):
        SharedServable(
            link, version_of(ONNX.spec(), path), Opening(path, ONNX.spec(), LoadContext())
        )


def test_version_that_was_closed_is_opened_again_by_the_next_call_of_another_user(opened, link):
    host = link.host()
    opened.close()
    assert host.versions() == frozenset()
    assert opened.predict(ONNX.rows(1))["y"].shape == (1, 3)


def test_model_may_return_what_it_was_given(link):
    outputs = {"more": "m", "same": "s"}
    spec = model_spec(
        framework="python", uri="tests.support.steps:Echo", inputs={"x": "x"}, outputs=outputs
    )
    version = ModelVersion("model", spec.artifact_uri, "0")
    echo = SharedServable(link, version, Opening(Path(), spec, LoadContext()))
    x = np.arange(1000.0)
    found = echo.predict({"x": x})
    np.testing.assert_array_equal(found["more"], x + 1)
    np.testing.assert_array_equal(found["same"], x)


def test_lists_of_different_length_come_back_from_the_host(link, tmp_path):
    (tmp_path / "some").write_text("file")
    names = {"boxes": "boxes", "names": "names"}
    entry = model_spec(
        framework="python", uri="tests.support.steps:Finds", inputs={"x": "n"}, outputs=names
    )
    ask = Opening(tmp_path, entry, LoadContext(shared=True))
    shared = SharedServable(link, version_of(entry, tmp_path), ask)
    found = shared.predict({"x": np.array([2, 0, 1])})
    assert [row.shape for row in found["boxes"].rows] == [(2, 4), (0, 4), (1, 4)]
    assert [row.tolist() for row in found["names"].rows] == [
        ["thing 0", "thing 1"],
        [],
        ["thing 0"],
    ]
