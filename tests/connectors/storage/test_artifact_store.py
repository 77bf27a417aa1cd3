import gzip
import os
import pickle
import shutil
from pathlib import Path

import pytest

from pipeline.batch.release import ModelVersion
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.errors import ArtifactError, ArtifactNotFoundError, LoadError
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from tests.support import models

STORE = pickle.loads(pickle.dumps(BeamArtifactStore()))
FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"",
    "assets/vocab.txt.gz": b"\x1f\x8b",
}


def test_folder_lists_all_files_below_it_and_no_neighbour(folder, put):
    for relative, content in FILES.items():
        put(f"models/1/{relative}", content)
    put("models/10/other.pb", b"another version")
    for uri in (f"{folder}/models/1", f"{folder}/models/1/"):
        assert sorted(STORE.list_files(uri)) == sorted((k, len(v)) for k, v in FILES.items())
    assert STORE.exists(f"{folder}/models/1")


def test_single_file_lists_itself_and_downloads_byte_for_byte(folder, put, tmp_path):
    put("m.onnx.gz", gzip.compress(b"weights"))
    uri = f"{folder}/m.onnx.gz"
    assert STORE.list_files(uri) == [("", len(gzip.compress(b"weights")))]
    STORE.download(uri, "", tmp_path / "copy")
    assert gzip.decompress((tmp_path / "copy").read_bytes()) == b"weights"


def test_folder_placeholder_objects_are_no_files(gcs, bucket):
    gcs.upload(f"{bucket}/models/1/", b"")
    assert not STORE.exists(f"{bucket}/models/1")
    gcs.upload(f"{bucket}/models/1/m.onnx", b"x")
    assert STORE.list_files(f"{bucket}/models/1") == [("m.onnx", 1)]


def test_missing_artifact_and_missing_bucket_are_told_apart(folder, bucket):
    assert not STORE.exists(f"{folder}/nothing")
    with pytest.raises(ArtifactNotFoundError, match=f"{folder}/nothing does not exist"):
        STORE.list_files(f"{folder}/nothing")
    with pytest.raises(ArtifactNotFoundError, match=r"gs://no-such/m.*bucket 'no-such' does not"):
        STORE.list_files("gs://no-such/m")


def test_missing_permission_names_the_role(forbidden_gcs, tmp_path):
    for call in (
        lambda: STORE.list_files("gs://secret/m"),
        lambda: STORE.exists("gs://secret/m"),
        lambda: STORE.download("gs://secret/m", "", tmp_path / "copy"),
    ):
        with pytest.raises(ArtifactError, match=r"gs://secret/m .*'secret'.*storage\.objectViewer"):
            call()


def test_file_that_vanished_after_the_listing_is_named(bucket, tmp_path):
    with pytest.raises(ArtifactNotFoundError, match=f"{bucket}/m/a.bin is gone"):
        STORE.download(f"{bucket}/m", "a.bin", tmp_path / "copy")


def test_written_text_is_read_back_and_replaced_and_leaves_nothing_else(folder):
    uri = f"{folder}/releases/r.json"
    for text in ("{}", "größer\r\n"):
        STORE.write_text(uri, text)
        assert STORE.read_text(uri) == text
    assert [file.relative for file in STORE.list_files(f"{folder}/releases")] == ["r.json"]


def test_text_that_cannot_be_read_or_written_is_explained(folder, put, tmp_path):
    with pytest.raises(ArtifactNotFoundError, match=f"{folder}/none.json does not exist"):
        STORE.read_text(f"{folder}/none.json")
    put("weights.bin", b"\xff")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        STORE.read_text(f"{folder}/weights.bin")
    put("large.bin", bytes(2 << 20))
    with pytest.raises(ValueError, match="more than 1 MiB, expected a small"):
        STORE.read_text(f"{folder}/large.bin", 1 << 20)
    no_folder = "gs://no-such" if folder.startswith("gs://") else f"{folder}/weights.bin"
    with pytest.raises(ArtifactError, match=f"^{no_folder}/r.json cannot be written: "):
        STORE.write_text(f"{no_folder}/r.json", "{}")


def test_text_is_read_from_files_only(tmp_path):
    """A device or a pipe may never end."""
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path)):
        with pytest.raises(ArtifactError, match=f"^{place} is no regular file"):
            STORE.read_text(place)


@pytest.mark.parametrize("uri", ["nowhere://a/b", "gs://", "gs://bucket/models/*"])
def test_unusable_uri_is_an_artifact_error(gcs, uri):
    with pytest.raises(ArtifactError, match=f"^{uri.replace('*', '.')} "):
        STORE.list_files(uri)


def test_downloaded_copy_has_the_digest_of_the_original(gcs, bucket, tmp_path):
    for relative, content in FILES.items():
        gcs.upload(f"{bucket}/models/1/{relative}", content)
        path = tmp_path / "original" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    fetched = ArtifactCache(tmp_path / "cache", STORE).fetch(f"{bucket}/models/1")
    assert fetched.path.name == "1"
    assert fetched.digest == digest_of(fetched.path) == digest_of(tmp_path / "original")


def test_archive_in_a_bucket_is_the_folder_that_was_packed(gcs, bucket, tmp_path):
    for relative, content in FILES.items():
        path = tmp_path / "original" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    packed = shutil.make_archive(str(tmp_path / "7"), "gztar", tmp_path, "original")
    uri = f"{bucket}/models/7.tar.gz"
    gcs.upload(uri, Path(packed).read_bytes())
    cache = ArtifactCache(tmp_path / "cache", STORE)
    fetched = cache.fetch(uri)
    assert fetched.path.name == "7"
    assert fetched.digest == digest_of(tmp_path / "original")
    assert cache.fetch_version(ModelVersion("m", uri, fetched.digest)).path == fetched.path


def test_file_in_a_bucket_is_downloaded_with_what_it_needs_beside_it(gcs, bucket, tmp_path):
    original = models.onnx_external_data(tmp_path / "1") / "model.onnx"
    gcs.upload(f"{bucket}/1/model.onnx", original.read_bytes())
    gcs.upload(f"{bucket}/1/golden.jsonl", b"{}")
    cache = ArtifactCache(tmp_path / "cache", STORE)
    with pytest.raises(LoadError, match=rf"{bucket}/1/model.onnx keeps .* 'weights.bin', .* miss"):
        cache.fetch(f"{bucket}/1/model.onnx")
    gcs.upload(f"{bucket}/1/weights.bin", (original.parent / "weights.bin").read_bytes())
    fetched = cache.fetch(f"{bucket}/1/model.onnx")
    assert fetched.digest == digest_of(original)
    assert sorted(file.name for file in fetched.path.parent.iterdir()) == [
        "model.onnx", "weights.bin",
    ]  # fmt: skip
    gcs.upload(f"{bucket}/1/weights.bin", b"other weights")
    assert cache.fetch(f"{bucket}/1/model.onnx").digest != fetched.digest


def test_weights_in_another_folder_of_a_bucket_are_refused(gcs, bucket, tmp_path):
    graph = (models.onnx_external_data(tmp_path / "1") / "model.onnx").read_bytes()
    gcs.upload(f"{bucket}/1/model.onnx", graph.replace(b"weights.bin", b"../gone.bin"))
    gcs.upload(f"{bucket}/gone.bin", b"weights")
    with pytest.raises(LoadError, match=r"'\.\./gone\.bin', expected a file in its folder"):
        ArtifactCache(tmp_path / "cache", STORE).fetch(f"{bucket}/1/model.onnx")
