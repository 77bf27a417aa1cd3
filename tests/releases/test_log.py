"""Accepted releases survive the process; damaged files do not stop the next one."""

import logging
from datetime import UTC, datetime

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.errors import ArtifactError
from pipeline.releases.state import Accepted, Mark
from pipeline.releases.store import ReleaseStore


def accepted(generation):
    version = ModelVersion("clf", f"clf/{generation}", f"digest {generation}")
    time = datetime(2025, 1, 1, tzinfo=UTC)
    return Accepted(Release(generation, (version,)), time, marks={"clf": Mark(version)})


@pytest.fixture
def releases(tmp_path):
    return ReleaseStore(str(tmp_path / "releases"), BeamArtifactStore())


def test_last_release_is_the_one_of_the_highest_generation(releases):
    for generation in (9, 1_000_000, 10):
        releases.write(accepted(generation))
    assert releases.load_last() == accepted(1_000_000)
    assert [a.release.generation for a in releases.load_history(2)] == [10, 1_000_000]


def test_folder_that_is_not_there_or_holds_other_files_has_no_release(releases, tmp_path):
    assert releases.load_last() is None
    releases.store.write_text(f"{releases.folder}/notes.json", "{}")
    releases.store.write_text(f"{releases.folder}/old/release-000001.json", "{}")
    assert releases.load_history() == []


@pytest.mark.parametrize("content", [b"", b'{"generation": 3', b"\xff\xfe"])
def test_damaged_file_is_passed_over_with_a_warning(releases, tmp_path, caplog, content):
    releases.write(accepted(2))
    (tmp_path / "releases" / "release-000003.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert releases.load_last() == accepted(2)
    assert "release-000003.json is passed over: " in caplog.text


def test_releases_are_kept_in_cloud_storage_too(gcs, bucket):
    releases = ReleaseStore(f"{bucket}/releases/", BeamArtifactStore())
    for generation in (1, 2):
        releases.write(accepted(generation))
    assert gcs.list(f"{bucket}/releases") == [
        f"{bucket}/releases/release-00000{n}.json" for n in (1, 2)
    ]
    assert releases.load_history() == [accepted(1), accepted(2)]


def test_storage_that_refuses_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"file/release-000001.json cannot be written"):
        ReleaseStore(str(tmp_path / "file"), BeamArtifactStore()).write(accepted(1))
