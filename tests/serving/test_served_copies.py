"""What serves is what was verified: every file counts, and files may change underneath."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ArtifactChangedError, ArtifactError, LoadError
from pipeline.releases.gate import Gate
from pipeline.releases.queue import CandidateQueue
from pipeline.serving.activation import Timing
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files import artifacts, local_files
from pipeline.serving.files.artifacts import ArtifactCache, LocalCopies
from pipeline.serving.files.copy_folder import CopyFolder
from pipeline.serving.files.local_files import digest_of, filesystem_in, filesystem_of
from pipeline.serving.loader import FrameworkLoader
from tests.backends.cases import CASES
from tests.support import models
from tests.support.gating import NAMES, OnnxEnsemble, until

Usage = namedtuple("Usage", "total used free")
ROOT = Path(__file__).parents[2]
X = {"x": np.ones((1, 4), np.float32)}
ONNX = next(case for case in CASES if case.name == "onnx-external-data")


@pytest.fixture
def model(tmp_path):
    """An ONNX file with its weights in another file, under a folder of versions."""
    return models.onnx_external_data(tmp_path / "models" / "1") / "model.onnx"


@pytest.fixture
def watching(tmp_path):
    """A cache that copies what lies under the pattern of versions."""
    return ArtifactCache(
        tmp_path / "cache", None, copies=LocalCopies((f"{tmp_path}/models/*/model.onnx",))
    )


def rename_weights(model, name):
    """Lets the model name another file, without a look at whether it is there."""
    proto = onnx.load(model, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    model.write_bytes(proto.SerializeToString())


def copies_in(cache_folder):
    """The names of the versions of which there are copies."""
    return sorted(file.parent.name for file in cache_folder.rglob("model.onnx"))


# What counts


def test_weights_beside_a_file_count_in_its_digest(model):
    before = digest_of(model)
    weights = model.with_name("weights.bin")
    weights.write_bytes(weights.read_bytes()[::-1])
    assert digest_of(model) != before


def test_digest_of_a_file_is_that_of_its_copy_and_no_neighbour_counts(model, watching):
    before = digest_of(model)
    (model.parent / "golden.jsonl").write_text("{}")
    fetched = watching.fetch(str(model))
    assert before == digest_of(model) == fetched.digest == digest_of(fetched.path)
    assert sorted(file.name for file in fetched.path.parent.iterdir()) == [
        "model.onnx", "weights.bin",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", ""])
@pytest.mark.parametrize(
    "read",
    [digest_of, lambda model: ONNX.load(model.parent)],
    ids=["a file is fetched", "a folder is loaded"],
)
def test_weights_outside_the_folder_are_refused(model, name, read):
    rename_weights(model, name)
    with pytest.raises(LoadError, match="expected a file in its folder"):
        read(model)


def test_missing_weights_are_named_when_the_model_is_fetched(model):
    model.with_name("weights.bin").unlink()
    with pytest.raises(LoadError, match=r"model\.onnx keeps .* 'weights\.bin', which is missing"):
        digest_of(model)


def test_what_is_read_through_a_linked_folder_counts(tmp_path):
    (tmp_path / "model" / "shared").mkdir(parents=True)
    (tmp_path / "model" / "shared" / "vocab.txt").write_text("a")
    (tmp_path / "model" / "assets").symlink_to("shared")
    before = digest_of(tmp_path / "model")
    (tmp_path / "model" / "shared" / "vocab.txt").write_text("b")
    assert digest_of(tmp_path / "model") != before


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("linked", ["vocab.txt", "assets"])
def test_link_that_leads_out_of_a_version_is_refused(linked, copied, tmp_path):
    (tmp_path / "secrets" / "words").mkdir(parents=True)
    (tmp_path / "secrets" / "words" / "vocab.txt").write_text("a")
    (tmp_path / "versions" / "1").mkdir(parents=True)
    target = tmp_path / "secrets" / "words" / ("vocab.txt" if linked == "vocab.txt" else "")
    (tmp_path / "versions" / "1" / linked).symlink_to(target)
    pattern = f"{tmp_path}/versions/*" if copied else "nowhere/*"
    cache = ArtifactCache(tmp_path / "cache", None, copies=LocalCopies((pattern,)))
    with pytest.raises(LoadError, match=r"vocab\.txt leads by a link to .* put the file itself"):
        cache.fetch(f"{tmp_path}/versions/1")


def test_weights_beside_a_file_are_no_link_that_leads_out(model, tmp_path):
    weights = model.with_name("weights.bin").rename(tmp_path / "elsewhere")
    model.with_name("weights.bin").symlink_to(weights)
    with pytest.raises(LoadError, match=r"weights\.bin leads by a link"):
        digest_of(model)


def test_links_as_the_cache_of_a_hub_has_them_are_followed(tmp_path):
    """``snapshots/REVISION/NAME`` leads to ``blobs/HASH``, and a version may be a link itself."""
    blob, snapshot = tmp_path / "blobs" / ("0f" * 20), tmp_path / "snapshots" / "1"
    blob.parent.mkdir()
    blob.write_text("{}")
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/" + blob.name)
    (tmp_path / "current").symlink_to(snapshot)
    assert digest_of(tmp_path / "current") == digest_of(snapshot)


def test_link_to_a_folder_above_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "again").symlink_to(tmp_path)
    with pytest.raises(ArtifactError, match="again is a link to a folder that it lies in"):
        digest_of(tmp_path)


# What is copied


@pytest.mark.parametrize(
    ("patterns", "refreshed", "copied"),
    [
        ((), False, False),
        (("models/*",), False, True),
        (("models/*/model.onnx",), False, True),
        (("others/*",), False, False),
        ((), True, True),
    ],
)
def test_local_files_that_may_be_overwritten_are_copied(tmp_path, patterns, refreshed, copied):
    path = models.onnx_file(tmp_path / "models" / "1")
    rule = LocalCopies(tuple(f"{tmp_path}/{pattern}" for pattern in patterns), refreshed)
    fetched = ArtifactCache(tmp_path / "cache", None, copies=rule).fetch(str(path))
    assert fetched.is_copy == copied
    assert (fetched.path != path) == copied


@pytest.mark.parametrize("place", ["a read-only mount", "the image of a container"])
def test_where_nobody_writes_nothing_is_copied_unless_it_is_watched(tmp_path, monkeypatch, place):
    status = os.statvfs(tmp_path)
    assert filesystem_of(Path("/proc/self")) == "proc"
    if place == "a read-only mount":
        fields = [*status[:8], status.f_flag | os.ST_RDONLY, status.f_namemax]
        monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))
    else:
        monkeypatch.setattr(artifacts, "filesystem_of", lambda path: "overlay")
    assert not LocalCopies(refreshed=True).covers(str(tmp_path))
    assert LocalCopies((f"{tmp_path.parent}/*",), refreshed=True).covers(str(tmp_path))


MOUNTS = r"""
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 22 0:21 / /mnt/modèles rw - nfs4 host:/m rw
32 22 0:22 / /mnt/two\040words\011\134x rw master:1 - xfs /dev/sdb rw
33 31 0:23 / /mnt/modèles/読 rw - fuse.gcsfuse bucket rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/modèles/1/model.onnx", "nfs4"),
        ("/mnt/modèles/読", "fuse.gcsfuse"),
        ("/mnt/two words\t\\x/model.onnx", "xfs"),
        ("/mnt/two", "ext4"),
        ("/mnt/mod", "ext4"),
    ],
)
def test_file_system_is_that_of_the_innermost_mount_whatever_its_name(path, kind):
    assert filesystem_in(MOUNTS, path) == kind


def test_copy_serves_whatever_became_of_the_files(model, watching):
    version = ModelVersion("m", str(model), watching.fetch(str(model)).digest)
    held = watching.fetch_version(version)
    model.write_bytes(b"")
    assert digest_of(watching.fetch_version(version).path) == version.digest == held.digest


def test_file_that_changes_while_it_is_copied_is_no_version(model, watching, monkeypatch):
    clone = local_files.clone

    def overwrite_meanwhile(source, destination):
        model.with_name("weights.bin").write_bytes(b"longer than it was before" * 9)
        return clone(source, destination)

    monkeypatch.setattr(local_files, "clone", overwrite_meanwhile)
    with pytest.raises(ArtifactError, match="was changed while it was copied") as caught:
        watching.fetch(str(model))
    assert type(caught.value) is ArtifactError, "the gate tries it again"


def test_too_little_room_is_told_before_anything_is_copied(model, watching, monkeypatch, tmp_path):
    monkeypatch.setattr(local_files, "clone", lambda source, destination: False)
    monkeypatch.setattr(local_files.shutil, "disk_usage", lambda folder: Usage(100, 90, 10))
    with pytest.raises(ArtifactError, match=r"needs [\d,]+ bytes .* 10 are free: .*XDG_CACHE_HOME"):
        watching.fetch(str(model))
    assert copies_in(tmp_path / "cache") == []


def test_file_that_changes_while_it_is_loaded_in_place_is_refused(tmp_path, monkeypatch):
    path = ONNX.build(tmp_path / "1")
    spec = ONNX.spec(model_sharing="vm")

    def open_and_overwrite(version, opening):
        servable = opening()
        (path / "weights.bin").write_bytes((path / "weights.bin").read_bytes())
        return servable

    loader = FrameworkLoader(
        (spec,), ArtifactCache(tmp_path / "cache", None), "cpu", 1, sharing=open_and_overwrite
    )
    with pytest.raises(ArtifactChangedError, match="was changed while it was loaded"):
        loader(ModelVersion(spec.name, str(path), digest_of(path)))


@pytest.mark.parametrize(
    "case",
    ["onnx-external-data", "torchscript", "savedmodel", "transformers-embedding"],
)
def test_model_answers_the_same_when_its_files_are_overwritten_and_cut_off(case, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.serving.overwrite_in_place", tmp_path, case],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["overwritten", "cut off"]), (
        done.stderr
    )


# How long copies stay


def hold_until_killed(root, uri, ready):
    fetched = CopyFolder(root)
    with fetched.locked(uri) as copies:
        (held,) = (path.name for path in copies.folder.iterdir() if path.is_dir())
        hold = copies.hold(held)
    ready.send(held)
    signal.pause()
    hold.let_go()


def test_copy_stays_as_long_as_any_process_holds_it_however_that_ends(model, watching, tmp_path):
    fetched = watching.fetch(str(model))
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=hold_until_killed, args=(tmp_path / "cache", str(model), theirs))
    process.start()
    assert ours.recv() == fetched.digest
    fetched.let_go()
    watching.evict()
    assert copies_in(tmp_path / "cache") == [fetched.digest]
    process.kill()
    process.join()
    watching.evict()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["locks"]


def test_halves_that_dead_processes_left_are_removed_and_those_in_the_making_are_not(tmp_path):
    folder = CopyFolder(tmp_path)
    with folder.locked("far://m") as copies, copies.new() as temporary:
        (temporary / "half").write_bytes(b"x")
        CopyFolder(tmp_path).evict()
        assert temporary.is_dir()
        dead = copies.folder / "tmp-dead"
        dead.mkdir()
    folder.evict()
    assert not dead.exists()


@pytest.mark.parametrize("policy", ["availability", "resource"])
def test_only_active_and_previous_are_on_disk_after_five_refreshes(tmp_path, policy):
    ensemble = OnnxEnsemble(tmp_path)
    cache = ArtifactCache(
        tmp_path / "cache", None, copies=LocalCopies((f"{tmp_path}/clf/*", f"{tmp_path}/emb/*"))
    )
    loader = FrameworkLoader(ensemble.graph.models, cache, "cpu", 1)
    timing = Timing(retry_secs=(), grace_secs=0.0)
    manager = ManagerFactory(ensemble.graph, loader, policy, timing)()
    names = [model.name for model in ensemble.graph.models]
    try:
        for number in range(1, 7):
            for name in names:
                ensemble.put(name, number)
            versions = (ensemble.version(name, number) for name in names)
            manager.ensure(Release(number, tuple(versions)))
            manager.evict()
        assert copies_in(tmp_path / "cache") == ["5", "5", "6", "6"]
    finally:
        manager.close()


# The gate


class Refreshed:
    """An ensemble of real models that are loaded from copies, and its gate."""

    def __init__(self, folder, policy):
        self.ensemble = OnnxEnsemble(folder)
        patterns = tuple(f"{folder}/{name}/*" for name in NAMES)
        self.cache = ArtifactCache(
            folder / "cache", self.ensemble.store, copies=LocalCopies(patterns)
        )
        loader = FrameworkLoader(self.ensemble.graph.models, self.cache, "cpu", 1)
        timing = Timing(retry_secs=(), grace_secs=0.0)
        self.manager = ManagerFactory(self.ensemble.graph, loader, policy, timing)()
        self.manager.ensure(self.ensemble.launch)
        checks = replace(self.ensemble.gate.checks, cache=self.cache)
        self.queue = CandidateQueue(Gate(checks), self.manager, self.ensemble.state)

    def propose(self, **numbers):
        self.queue.propose(self.ensemble.candidate(**numbers))
        assert self.queue.wait_idle(60)
        (event,) = self.queue.drain_events()
        return event

    def answer(self):
        until(self.manager, self.queue.state.current.generation)
        with self.manager.use(self.manager.active(), "clf") as servable:
            return float(servable.predict(X)["y"][0, 0])

    def close(self):
        self.queue.close()
        self.manager.close()


@pytest.fixture(params=["availability", "resource"])
def refreshed(request, tmp_path):
    made = Refreshed(tmp_path, request.param)
    yield made
    made.close()


def test_overwritten_version_serves_when_the_gate_has_accepted_it(refreshed):
    before = refreshed.answer()
    path = refreshed.ensemble.path("clf", 1) / "model.onnx"
    models.onnx_file(path.parent, scale=3.0)
    assert refreshed.answer() == before
    assert refreshed.propose(clf=1).outcome == "accepted"
    assert refreshed.answer() == pytest.approx(3 * before)


def test_broken_version_in_place_of_the_one_that_serves_is_rejected_and_the_old_one_goes_on(
    refreshed, tmp_path
):
    before = refreshed.answer()
    path = refreshed.ensemble.path("clf", 1) / "model.onnx"
    path.write_bytes(b"not a model")
    event = refreshed.propose(clf=1)
    assert event.outcome == "rejected"
    assert f"{path} cannot be loaded as an ONNX graph" in event.reason, "no word of the copy"
    assert refreshed.answer() == before
    assert copies_in(tmp_path / "cache") == ["1", "1"], "of the rejected one nothing is left"
