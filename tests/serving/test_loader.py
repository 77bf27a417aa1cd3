"""What a model is granted when it is loaded: its device and its threads."""

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from pipeline.backends.base import LoadContext
from pipeline.batch.release import ModelVersion
from pipeline.errors import DeviceError
from pipeline.serving.cores import usable_cores
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.merging import MergingServable
from pipeline.testing import FakeServable
from tests.backends.cases import CASES
from tests.support import models
from tests.support.estimators import TellsItsJobs
from tests.support.specs import model_spec

CASE = next(case for case in CASES if case.framework == "onnx")


@pytest.fixture
def load(tmp_path):
    """Loads an ONNX model as a FrameworkLoader made with these settings does."""
    path = CASE.build(tmp_path)

    def loaded(device, intra_op_threads=1, **settings):
        spec = CASE.spec()
        loader = FrameworkLoader(
            (spec,), ArtifactCache(tmp_path / "cache", None), device, intra_op_threads, **settings
        )
        return loader(ModelVersion(spec.name, str(path), digest_of(path)))

    return loaded


@pytest.fixture
def sessions(monkeypatch):
    """The options of the ONNX sessions that are made."""
    seen = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, file, options, **more):
            seen.append(options)
            super().__init__(file, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return seen


def test_models_of_a_gpu_job_are_checked_on_the_cpu_of_the_machine_that_launches_it(load):
    with pytest.raises(DeviceError):
        load("gpu")
    assert load("gpu", cpu_only=True).device == "cpu"


@pytest.mark.parametrize(("asked", "granted"), [(1, 1), (0, usable_cores())])
def test_a_call_gets_its_threads_or_one_for_each_core_of_this_machine(
    load, sessions, asked, granted
):
    load("cpu", asked)
    (options,) = sessions
    assert options.intra_op_num_threads == granted


def test_calls_are_merged_where_threads_share_a_model(load):
    assert isinstance(load("cpu", shared=True), MergingServable)
    assert not isinstance(load("cpu"), MergingServable)


def test_model_whose_calls_take_one_thread_computes_as_many_calls_as_threads_are_granted(tmp_path):
    path = models.save_estimator(TellsItsJobs(n_jobs=-1), tmp_path / "model.joblib")
    outputs = {"predict": "p"}
    spec = model_spec(framework="sklearn", inputs={"X": "x"}, outputs=outputs, trusted=True)
    cache = ArtifactCache(tmp_path / "cache", None)
    loader = FrameworkLoader((spec,), cache, "cpu", intra_op_threads=4, shared=True)
    loaded = loader(ModelVersion(spec.name, str(path), digest_of(path)))
    assert loaded.concurrency == 4
    assert loaded.predict({"X": np.eye(4)})["predict"].tolist() == [1] * 4


def test_shared_model_is_granted_all_cores_and_its_framework_is_started_elsewhere(
    tmp_path, monkeypatch
):
    asked = []
    spec = CASE.spec(model_sharing="vm")
    loader = FrameworkLoader(
        (
            spec,
            model_spec(
                name="other", framework="sklearn", inputs={"X": "x"}, outputs={"predict": "p"}
            ),
        ),
        ArtifactCache(tmp_path / "cache", None),
        "cpu",
        intra_op_threads=1,
        sharing=lambda version, opening: asked.append(opening) or FakeServable(dict),
    )
    path = CASE.build(tmp_path)
    loader(ModelVersion(spec.name, str(path), digest_of(path)))
    (opening,) = asked
    assert opening.context == LoadContext("cpu", usable_cores(), shared=True)
    started = []
    monkeypatch.setattr("pipeline.serving.loader.start", started.extend)
    loader.start_frameworks()
    assert started == ["sklearn"]


@pytest.mark.parametrize(("granted", "threads"), [(1, 1), (3, 3), (0, usable_cores())])
def test_arrow_reads_a_block_with_as_many_threads_as_a_model_may_use(tmp_path, granted, threads):
    before = pa.cpu_count()
    try:
        FrameworkLoader((), ArtifactCache(tmp_path, None), "cpu", granted).start_frameworks()
        assert pa.cpu_count() == threads
    finally:
        pa.set_cpu_count(before)
