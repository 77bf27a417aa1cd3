import multiprocessing
import shutil
import threading
from contextlib import suppress

import pytest

from pipeline.batch.release import ModelVersion
from pipeline.errors import ArtifactChangedError, ArtifactError, ArtifactNotFoundError
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import ArtifactFile, digest_of, local_files

URI = "far://models/1"


class FolderStore:
    """A store whose content is a local folder, and which notes its downloads in a file."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder.parent / "downloads"

    def list_files(self, uri):
        return local_files(self.folder)

    def download(self, uri, relative, destination):
        with self.log.open("a") as log:
            log.write(f"{relative}\n")
        shutil.copyfile(self.folder / relative, destination)

    def exists(self, uri):
        return True

    @property
    def downloads(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def source(tmp_path):
    """A folder with a model of two files."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"one")
    (folder / "sub" / ".hidden").write_bytes(b"two")
    return folder


@pytest.fixture
def store(source):
    return FolderStore(source)


@pytest.fixture
def cache(tmp_path, store):
    return ArtifactCache(tmp_path / "cache", store)


def version(digest, uri=URI):
    return ModelVersion("mlp", uri, digest)


def test_local_artifacts_are_used_in_place(cache, source, store):
    folder = cache.fetch(str(source))
    file = cache.fetch(str(source / "weights.bin"))
    assert (folder.path, file.path) == (source, source / "weights.bin")
    assert cache.fetch_version(version(folder.digest, str(source))).path == source
    assert store.downloads == []


def test_artifact_whose_path_is_not_utf8_is_used_from_a_copy(cache, source, tmp_path):
    there = tmp_path / "m\udcff"
    shutil.copytree(source, there)
    fetched = cache.fetch(str(there))
    assert fetched.digest == digest_of(source)
    assert str(fetched.path).isprintable()
    file = cache.fetch(str((there / "weights.bin").rename(there / "w\udcfe.bin")))
    assert file.path.suffix == ".bin"
    assert cache.fetch_version(version(file.digest, f"{there}/w\udcfe.bin")).path == file.path


def test_remote_artifact_is_copied_whole_with_the_same_digest(cache, source, store):
    fetched = cache.fetch(URI)
    assert fetched.path.name == "1"
    assert fetched.digest == digest_of(source)
    assert (fetched.path / "sub" / ".hidden").read_bytes() == b"two"
    assert cache.fetch_version(version(fetched.digest)).path == fetched.path
    assert sorted(store.downloads) == ["sub/.hidden", "weights.bin"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "weights.bin").write_bytes(b"ONE"),
        lambda folder: (folder / "weights.bin").rename(folder / "weights2.bin"),
        lambda folder: (folder / "extra").write_bytes(b""),
        lambda folder: (folder / "sub" / ".hidden").unlink(),
    ],
    ids=["content", "name", "added", "removed"],
)
def test_digest_notices_every_change(source, change):
    before = digest_of(source)
    change(source)
    assert digest_of(source) != before


def test_overwritten_artifact_gets_a_folder_of_its_own(cache, source):
    old = cache.fetch(URI)
    (source / "weights.bin").write_bytes(b"new")
    new = cache.fetch(URI)
    assert new.path != old.path
    assert (old.path / "weights.bin").read_bytes() == b"one"
    assert cache.fetch_version(version(old.digest)).path == old.path


@pytest.mark.parametrize("place", ["local", "remote"])
def test_changed_artifact_is_refused_with_both_digests(cache, source, place):
    uri = URI if place == "remote" else str(source)
    expected = digest_of(source)
    (source / "weights.bin").write_bytes(b"new")
    with pytest.raises(ArtifactChangedError) as caught:
        cache.fetch_version(version(expected, uri))
    for part in ("mlp", uri, expected, digest_of(source)):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [lambda path: (path / "weights.bin").write_bytes(b"bit rot"), shutil.rmtree],
    ids=["altered", "swept away"],
)
def test_damaged_copy_is_fetched_again_once(cache, store, damage):
    fetched = cache.fetch(URI)
    damage(fetched.path)
    assert cache.fetch_version(version(fetched.digest)).path == fetched.path
    assert digest_of(fetched.path) == fetched.digest
    assert len(store.downloads) == 4


def test_failed_download_leaves_nothing_and_the_next_one_works(cache, store, tmp_path, monkeypatch):
    def fail(uri, relative, destination):
        destination.write_bytes(b"half")
        raise ArtifactError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(store, "download", fail)
        with pytest.raises(ArtifactError, match="connection lost"):
            cache.fetch(URI)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.parent.name for path in left] == ["locks"]
    assert cache.fetch(URI).path.is_dir()


def test_short_download_is_an_error(cache, store, monkeypatch):
    monkeypatch.setattr(store, "download", lambda uri, relative, to: to.write_bytes(b"o"))
    with pytest.raises(ArtifactError, match="has 1 bytes after download, expected 3"):
        cache.fetch(URI)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_object_name_cannot_leave_the_cache(cache, store, tmp_path, monkeypatch, name):
    monkeypatch.setattr(store, "list_files", lambda uri: [ArtifactFile(name, 3)])
    with pytest.raises(ArtifactError, match="is no path below a folder"):
        cache.fetch(URI)
    assert store.downloads == []


def test_uri_cannot_lead_out_of_the_cache(cache, tmp_path):
    path = cache.fetch("far://models/..").path
    assert path.resolve() == path
    assert len(path.relative_to(tmp_path / "cache").parts) == 3


def test_nothing_there_and_empty_folder_are_told_apart(cache, tmp_path):
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(ArtifactNotFoundError, match="none does not exist"):
        cache.fetch(str(tmp_path / "none"))
    with pytest.raises(ArtifactNotFoundError, match="empty is a folder without files"):
        cache.fetch(str(tmp_path / "empty"))


def test_unusable_cache_folder_is_named(store, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match=f"{URI} cannot be stored in '{tmp_path}/file'"):
        ArtifactCache(tmp_path / "file", store).fetch(URI)


class Race(FolderStore):
    """Holds every download until another one has begun as well, or for a while."""

    def __init__(self, folder, start, meeting):
        super().__init__(folder)
        self.start = start
        self.meeting = meeting

    def download(self, uri, relative, destination):
        with suppress(threading.BrokenBarrierError):
            self.meeting.wait(timeout=0.3)
        super().download(uri, relative, destination)


def fetch_at_once(root, store, wanted):
    store.start.wait(timeout=60)
    assert digest_of(ArtifactCache(root, store).fetch_version(wanted).path) == wanted.digest


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_concurrent_fetches_share_one_download(kind, source, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier, worker = (
        (threading.Barrier, threading.Thread)
        if kind == "threads"
        else (spawn.Barrier, spawn.Process)
    )
    store = Race(source, start=barrier(2), meeting=barrier(2))
    arguments = (tmp_path / "cache", store, version(digest_of(source)))
    workers = [worker(target=fetch_at_once, args=arguments) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(store.downloads) == ["sub/.hidden", "weights.bin"]
    if kind == "processes":
        assert [each.exitcode for each in workers] == [0, 0]


def test_leftover_of_a_killed_download_is_removed(cache, tmp_path):
    folder = cache.fetch(URI).path.parent.parent
    (folder / "tmp-killed" / "1").mkdir(parents=True)
    cache.fetch(URI)
    assert not list(folder.glob("tmp-*"))


def test_leftover_that_is_too_deep_to_be_removed_harms_nobody(cache, source, monkeypatch):
    fetched = cache.fetch(URI)
    (fetched.path.parents[1] / "tmp-dead").mkdir()

    def too_deep(path, ignore_errors):  # a folder so deep would keep pytest from starting
        raise RecursionError

    monkeypatch.setattr(shutil, "rmtree", too_deep)
    (source / "weights.bin").write_bytes(b"two")
    cache.evict()
    assert fetched.path.exists()
    assert cache.fetch(URI).digest != fetched.digest
