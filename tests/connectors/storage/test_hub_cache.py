"""Modules of a hub that are fetched by one machine and read by all."""

import pickle
import sys
import threading

import pytest
from apache_beam.io.filesystems import FileSystems

from pipeline.backends.tensorflow.hub.response import Patience
from pipeline.batch.release import ModelVersion
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.hub_cache import HubCache
from pipeline.errors import ArtifactChangedError, ArtifactError
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from tests.support import models
from tests.support.hub_server import Hub, archive

PATH = "/google/affine/1"
HASTY = Patience(silence_secs=1.0, pauses_secs=())


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.close()


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return models.saved_model(tmp_path_factory.mktemp("hub") / "affine")


@pytest.fixture
def url(hub, module):
    return hub.put(PATH, archive(module))


@pytest.fixture(params=["local", "gcs"])
def folder(request, tmp_path):
    """What --model_cache_dir says, with a ``/`` at its end, as people write it."""
    base = tmp_path if request.param == "local" else request.getfixturevalue("bucket")
    return f"{base}/modules/"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes the artifact cache of a process on a machine where nothing was fetched before."""

    def make(name, folder):
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / name / "tfhub"))
        hub_cache = HubCache(BeamArtifactStore(), folder, HASTY)
        cache = ArtifactCache(tmp_path / name / "models", BeamArtifactStore(), hub_cache)
        return pickle.loads(pickle.dumps(cache))

    return make


def version(url, digest):
    return ModelVersion("clf", url, digest)


def remove(folder, ending=""):
    """Deletes what is kept, or those files whose names end so."""
    kept = FileSystems.match([f"{folder}**"])[0].metadata_list
    FileSystems.delete([file.path for file in kept if file.path.endswith(ending)])


def test_module_is_asked_for_once_and_read_by_all_machines(hub, url, module, folder, machine):
    launched = machine("launcher", folder).fetch(url)
    assert launched.digest == digest_of(module)
    worker = machine("worker", folder)
    path = worker.fetch_version(version(url, launched.digest)).path
    assert digest_of(path) == launched.digest
    assert machine("next launch", folder).fetch(url).digest == launched.digest
    assert hub.requests == {PATH: 1}


def test_without_a_folder_each_machine_asks_once(hub, url, machine):
    first = machine("a", "")
    digest = first.fetch(url).digest
    assert first.fetch_version(version(url, digest)).path == first.fetch(url).path
    machine("b", "").fetch_version(version(url, digest))
    assert hub.requests == {PATH: 2}


def test_worker_needs_neither_hub_nor_tensorflow_hub(hub, url, folder, machine, monkeypatch):
    digest = machine("launcher", folder).fetch(url).digest
    hub.close()
    worker = machine("worker", folder)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)  # cannot be imported
    worker.fetch_version(version(url, digest))


@pytest.mark.parametrize("lost", ["saved_model.pb", "module.json"])
def test_module_that_is_not_there_as_a_whole_is_fetched_and_kept_again(
    hub, url, folder, machine, lost
):
    digest = machine("launcher", folder).fetch(url).digest
    remove(folder, lost)
    machine("worker", folder).fetch_version(version(url, digest))
    machine("another worker", folder).fetch_version(version(url, digest))
    assert hub.requests == {PATH: 2}


def test_other_content_than_at_launch_is_refused_where_the_kept_one_is_gone(
    hub, url, module, folder, machine
):
    digest = machine("launcher", folder).fetch(url).digest
    remove(folder)
    hub.put(PATH, archive(module, note=b"changed"))
    with pytest.raises(ArtifactChangedError) as caught:
        machine("worker", folder).fetch_version(version(url, digest))
    for part in ("'clf'", url, f"expected digest {digest}, found "):
        assert part in str(caught.value)


def test_hub_and_kept_module_both_gone_is_an_error_with_the_url(hub, url, folder, machine):
    digest = machine("launcher", folder).fetch(url).digest
    remove(folder)
    hub.close()
    with pytest.raises(ArtifactError, match=f"{url} cannot be fetched"):
        machine("worker", folder).fetch_version(version(url, digest))


def test_launches_at_once_leave_one_whole_module(hub, url, module, folder, machine):
    caches = [machine(f"launcher {number}", folder) for number in range(4)]
    machine("launchers", "").fetch(url)  # so that they all have it, and write at the same time
    digests = []
    threads = [threading.Thread(target=lambda c=c: digests.append(c.fetch(url))) for c in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.digest for one in digests] == [digest_of(module)] * 4
    assert machine("worker", folder).fetch(url).digest == digest_of(module)
    assert hub.requests == {PATH: 1}
    kept = {f.relative.rpartition("/")[2] for f in BeamArtifactStore().list_files(folder)}
    expected = {path.name for path in module.rglob("*") if path.is_file()}
    assert kept == expected | {"module.json"}


def test_folder_that_cannot_be_written_does_not_keep_a_worker_from_its_model(
    gcs, url, module, machine, caplog
):
    folder = "gs://no-such/modules"
    assert machine("worker", folder).fetch(url).digest == digest_of(module)
    assert f"{url} is not kept in {folder}: " in caplog.text
    assert "bucket 'no-such' does not exist" in caplog.text


def test_storage_that_refuses_is_not_passed_over_for_the_hub(hub, url, forbidden_gcs, machine):
    with pytest.raises(ArtifactError, match=r"'secret'.*storage\.objectViewer"):
        machine("worker", "gs://secret/modules").fetch(url)
    assert not hub.requests


def test_file_that_is_no_manifest_is_replaced(hub, url, tmp_path, machine, caplog):
    folder = f"{tmp_path}/modules"
    machine("launcher", folder).fetch(url)
    (manifest,) = (tmp_path / "modules").glob("*/module.json")
    good = manifest.read_text()
    for text in ("[1]", "not JSON", "{}"):
        manifest.write_text(text)
        machine("next", folder).fetch(url)
        assert manifest.read_text() == good
    assert "is written anew" in caplog.text
