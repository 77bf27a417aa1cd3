"""The models of a process: each version loaded once, whoever asks and however often."""

import pickle
import threading

import numpy as np
import pytest

from pipeline.core.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager
from pipeline.testing import FakeLoader, FakeServable

A1, A2, B1 = (
    ModelVersion(*v) for v in (("a", "a/1", "a1"), ("a", "a/2", "a2"), ("b", "b/1", "b1"))
)


def make(version):
    return FakeServable(lambda inputs: {"y": np.zeros(1)})


def test_changing_one_model_of_a_release_loads_only_that_one():
    loader = FakeLoader(make)
    manager = ReleaseManager(loader)
    manager.ensure(Release(1, (A1, B1)))
    manager.ensure(Release(2, (A2, B1)))
    manager.ensure(Release(1, (A1, B1)))
    assert loader.loads == [A1, B1, A2]


def test_threads_that_ask_at_once_share_one_load():
    loader = FakeLoader(make)
    loader.gate.clear()
    manager = ReleaseManager(loader)
    release = Release(1, (A1,))
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(manager.servable(release, "a")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    loader.gate.set()
    for thread in threads:
        thread.join()
    assert loader.loads == [A1]
    assert len(set(map(id, got))) == 1


def test_failed_load_is_reported_to_every_waiter_and_tried_again_later():
    loader = FakeLoader(make)
    loader.fail.add("a1")
    manager = ReleaseManager(loader)
    with pytest.raises(LoadError, match="told to fail on a/1"):
        manager.ensure(Release(1, (A1,)))
    loader.fail.clear()
    manager.ensure(Release(1, (A1,)))
    assert loader.loads == [A1, A1]


def test_close_closes_the_servables():
    manager = ReleaseManager(FakeLoader(make))
    servable = manager.servable(Release(1, (A1,)), "a")
    manager.close()
    assert servable.closed


def load_nothing(version):
    raise LoadError("nothing here")


def test_handle_finds_the_same_manager_after_pickling_and_none_after_close():
    handle = ManagerHandle("job", load_nothing)
    manager = handle.get()
    assert pickle.loads(pickle.dumps(handle)).get() is manager
    handle.close()
    assert handle.get() is not manager
    handle.close()
