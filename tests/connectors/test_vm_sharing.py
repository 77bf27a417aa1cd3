"""One copy of a model for several real processes: what they see, and what becomes of the copy."""

import os
import re
import signal
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.managers import BaseManager
from unittest import mock

import numpy as np
import pytest

from pipeline.batch.batch import Batch
from pipeline.connectors.vm_sharing import key_in
from pipeline.errors import LoadError, OutOfMemoryError
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.shared.arena import Address, Arena
from pipeline.serving.shared.host import started
from pipeline.serving.step.model_step import ModelStep
from tests.backends.cases import CASES
from tests.support import sharing
from tests.support.sharing import (
    close_all,
    close_model,
    has_imported,
    open_model,
    predict,
    watched_spec,
)
from tests.support.waiting import wait_until

ONNX = next(case for case in CASES if case.framework == "onnx")
ROW = {"x": np.ones((1, 4), "float32")}


@pytest.fixture(scope="module")
def processes():
    """The living processes of a job, for all tests, since each imports Beam."""
    started = []
    yield started
    for client in started:
        client.stop()


@pytest.fixture
def clients(processes):
    """Two processes of one job."""
    processes[:] = [client for client in processes if client.process.is_alive()]
    while len(processes) < 2:
        processes.append(sharing.Client())
    return processes[:2]


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    """Makes the loader of a model: that of one job."""
    job_key = uuid.uuid4().hex
    folder = tmp_path_factory.mktemp("cache")
    return lambda spec: sharing.loader_of(spec, folder, job_key)


@pytest.fixture
def watched(clients, loader, versions):
    """The two processes, with the first version of the watched model open."""
    for client in clients:
        client.ask(open_model, loader(watched_spec()), versions[0])
    yield clients
    for client in clients:
        if client.process.is_alive():
            client.ask(close_all)


@pytest.fixture
def versions(tmp_path):
    """Two versions of the watched model."""
    for name in ("1", "2"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "weights").write_text(name)
    return [sharing.version_of(watched_spec(), tmp_path / "models" / name) for name in ("1", "2")]


@pytest.fixture
def events(tmp_path):
    """What became of the versions so far: (event, version, process)."""

    def read():
        lines = (tmp_path / "models" / "events").read_text().splitlines()
        return [(event, name, int(pid)) for event, name, pid in map(str.split, lines)]

    return read


def happened(events):
    return [(event, name) for event, name, _ in events()]


def test_framework_model_predicts_as_unshared_and_is_in_no_process_that_uses_it(
    clients, loader, tmp_path
):
    version = sharing.version_of(ONNX.spec(), ONNX.build(tmp_path / "onnx"))
    unshared = ONNX.load(tmp_path / "onnx")
    for client in clients:
        signature = client.ask(open_model, loader(ONNX.spec(model_sharing="vm")), version)
        assert signature == unshared.signature
        for rows in (1, 700):
            inputs = ONNX.rows(rows, seed=rows)
            found = client.ask(predict, version, inputs)
            np.testing.assert_array_equal(found["y"], unshared.predict(inputs)["y"])
        assert not client.ask(has_imported, "onnxruntime")


def test_processes_that_load_at_the_same_time_have_one_copy(clients, loader, versions, events):
    for client in clients:
        client.begin(open_model, loader(watched_spec()), versions[0])
    for client in clients:
        client.end()
    pids = {client.ask(predict, versions[0], ROW)["y"][0, 0] for client in clients}
    ((event, name, pid),) = events()
    assert (event, name, {pid}) == ("loaded", "1", pids)
    assert pid not in {client.process.pid for client in clients}


def _call_until_three_meet(servables, version, met):
    """Two threads call until a call was computed with more rows than theirs, here or elsewhere."""

    def call_on():
        while not met.exists():
            if servables[version].predict(ROW)["y"][0, 1] > 2:
                met.touch()

    with ThreadPoolExecutor(2) as pool:
        for call in [pool.submit(call_on) for _ in range(2)]:
            call.result(timeout=30)


def test_calls_of_processes_are_computed_together(watched, versions, tmp_path):
    for client in watched:
        client.begin(_call_until_three_meet, versions[0], tmp_path / "met")
    for client in watched:
        client.end()


def test_old_version_is_freed_when_the_last_process_has_closed_it(
    watched, loader, versions, events
):
    first, second = watched
    for client in watched:
        client.ask(open_model, loader(watched_spec()), versions[1])
    first.ask(close_model, versions[0])
    assert second.ask(predict, versions[0], ROW)["y"][0, 1] == 1
    assert happened(events) == [("loaded", "1"), ("loaded", "2")]
    second.ask(close_model, versions[0])
    assert happened(events) == [("loaded", "1"), ("loaded", "2"), ("closed", "1")]
    assert first.ask(predict, versions[1], ROW)["y"][0, 1] == 1


def _parent_first(clients, events):
    parent = sharing.parent_of(events()[-1][2])
    return sorted(clients, key=lambda client: client.process.pid != parent)


def test_killed_process_keeps_no_version(watched, versions, events):
    stays, killed = _parent_first(watched, events)
    stays.ask(close_model, versions[0])
    assert happened(events) == [("loaded", "1")]
    killed.kill()
    wait_until(lambda: ("closed", "1") in happened(events))


def test_next_call_after_the_end_of_the_host_is_computed_by_another_one(watched, versions, events):
    for client in watched:
        client.ask(predict, versions[0], ROW)
    host = events()[0][2]
    os.kill(host, signal.SIGKILL)
    after = {client.ask(predict, versions[0], ROW)["y"][0, 0] for client in watched}
    assert [event for event, _ in happened(events)] == ["loaded", "loaded"]
    assert after == {events()[1][2]} != {host}


def test_host_ends_with_its_parent_and_the_others_go_on(watched, versions, events):
    parent, other = _parent_first(watched, events)
    other.ask(predict, versions[0], ROW)
    host = events()[0][2]
    parent.kill()
    assert other.ask(predict, versions[0], ROW)["y"][0, 0] == events()[-1][2] != host
    assert [event for event, _ in happened(events)] == ["loaded", "loaded"]
    wait_until(lambda: started(host) is None)


def test_errors_of_the_model_arrive_as_they_were_raised(watched, versions):
    client, _ = watched
    with pytest.raises(ValueError, match=r"^a row is negative$"):
        client.ask(predict, versions[0], {"x": -ROW["x"]})
    assert client.ask(predict, versions[0], ROW)["y"][0, 1] == 1


def test_model_that_cannot_be_loaded_is_refused_in_the_backends_words(clients, loader, tmp_path):
    path = ONNX.build(tmp_path / "onnx")
    (path if path.is_file() else path / ONNX.file).write_bytes(b"no model")
    with pytest.raises(LoadError, match=r"model\.onnx cannot be loaded as an ONNX graph"):
        clients[0].ask(
            open_model,
            loader(ONNX.spec(model_sharing="vm")),
            sharing.version_of(ONNX.spec(), path),
        )


def _run_step(servables, spec, version, batch):
    with pytest.raises(OutOfMemoryError):
        servables[version].predict(batch.columns)
    return ModelStep(spec).run(batch, servables[version])


def test_halving_works_through_a_lack_of_memory_in_the_host(clients, loader, versions):
    spec = watched_spec(uri="tests.support.steps:Cramped")
    clients[0].ask(open_model, loader(spec), versions[0])
    x = np.arange(100, dtype="float32").reshape(25, 4)
    ids = tuple(range(25))
    batch = Batch(ids=ids, payloads=tuple(b"" for _ in ids), columns={"x": x})
    found = clients[0].ask(_run_step, spec, versions[0], batch)
    np.testing.assert_array_equal(found.columns["y"], x.sum(axis=1))


# A stand-in: a tester who may trace every process, as root may, has no memory that is out of reach.
def _open_unreachable(servables, loader, version):
    with mock.patch.object(Arena, "create", _elsewhere):
        loader(version)


def _elsewhere():
    return Arena(os.memfd_create("mine"), Address(os.getpid(), 0, "meant"))


def test_memory_that_the_host_cannot_reach_by_a_mocked_arena_is_told_with_what_to_do(
    clients, versions, tmp_path
):
    loader = sharing.loader_of(watched_spec(), tmp_path, uuid.uuid4().hex)
    hint = r"`model_sharing: vm` does not work here: /proc/\d+/fd/0 .*; remove the key"
    with pytest.raises(LoadError, match=hint):
        clients[0].ask(_open_unreachable, loader, versions[0])


def test_only_processes_of_this_user_are_answered(watched):
    """Beam's own key, which everybody knows, opens nothing."""
    folder = own_folder("shared")
    places = [file.read_text() for file in folder.iterdir() if "models-" in file.name]
    addresses = {place for place in places if re.fullmatch(r"[\w.]+:\d+", place)}
    assert addresses
    for host, port in (address.split(":") for address in addresses):
        with pytest.raises((AuthenticationError, ConnectionError)):
            BaseManager((host, int(port)), authkey=b"mps").connect()
    assert stat.S_IMODE((folder / "key").stat().st_mode) & 0o077 == 0
    assert key_in(folder) == key_in(folder) != b"mps"
