import os
import pickle
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.backends.onnx.companions import companions
from pipeline.connectors.storage import listing
from pipeline.connectors.storage.listing import StorageLister
from pipeline.errors import ArtifactError, ArtifactNotFoundError
from pipeline.releases.version_rule import VersionRule
from pipeline.releases.versions import WatchTarget, versions
from tests.support import models

LISTER = pickle.loads(pickle.dumps(StorageLister(PipelineOptions(["--no_auth"]), retry_secs=0.2)))


def uris(pattern):
    return sorted(file.uri for file in LISTER.list_files(pattern))


def test_files_that_match_or_lie_below_a_match_are_listed(folder, put):
    for relative in ("m/1/saved_model.pb", "m/1/variables/data", "m/2.onnx", "n/3.onnx", "m.txt"):
        put(relative)
    assert uris(f"{folder}/m/*") == [
        f"{folder}/m/1/saved_model.pb",
        f"{folder}/m/1/variables/data",
        f"{folder}/m/2.onnx",
    ]
    assert uris(f"{folder}/*/*.onnx") == [f"{folder}/m/2.onnx", f"{folder}/n/3.onnx"]
    assert uris(f"{folder}/m/2.onnx") == [f"{folder}/m/2.onnx"]
    assert uris(f"{folder}/n/[0-2]*") == []


def test_size_and_time_are_those_of_the_content(folder, put):
    put("m/1.onnx", b"12345")
    put("m/2.onnx", b"1")
    first, second = sorted(LISTER.list_files(f"{folder}/m/*"), key=lambda file: file.uri)
    assert (first.size_bytes, second.size_bytes) == (5, 1)
    assert 1.6e15 < first.updated_us <= second.updated_us < 1e16


def test_overwritten_file_has_another_fingerprint_and_an_untouched_one_the_same(folder, put):
    put("m/1.onnx", b"1")
    put("m/2.onnx", b"2")
    before = {file.uri: file.fingerprint for file in LISTER.list_files(f"{folder}/m/*")}
    put("m/1.onnx", b"one")
    after = {file.uri: file.fingerprint for file in LISTER.list_files(f"{folder}/m/*")}
    assert before[f"{folder}/m/1.onnx"] != after[f"{folder}/m/1.onnx"]
    assert before[f"{folder}/m/2.onnx"] == after[f"{folder}/m/2.onnx"]


def test_generation_tells_objects_of_equal_size_apart(gcs, bucket):
    found = []
    for content in (b"one", b"two"):
        gcs.upload(f"{bucket}/m.onnx", content)
        found += LISTER.list_files(f"{bucket}/m.onnx")
    assert found[0].size_bytes == found[1].size_bytes
    assert found[0].fingerprint != found[1].fingerprint


def test_link_to_a_version_is_followed_and_a_link_to_nowhere_is_not_there(tmp_path):
    (tmp_path / "store/7").mkdir(parents=True)
    (tmp_path / "store/7/model.onnx").write_bytes(b"x")
    (tmp_path / "clf").mkdir()
    (tmp_path / "clf/current").symlink_to(tmp_path / "store/7")
    (tmp_path / "clf/gone").symlink_to(tmp_path / "store/8")
    assert uris(f"{tmp_path}/clf/*") == [f"{tmp_path}/clf/current/model.onnx"]


def test_relative_pattern_lists_relative_paths(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/1.onnx").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert uris("m/*") == ["m/1.onnx"]
    assert uris("*/*") == ["m/1.onnx"]


def test_folder_to_come_is_empty_and_a_missing_place_is_an_error(tmp_path, bucket):
    assert uris(f"{bucket}/clf/*") == []
    assert uris(f"{tmp_path}/*/model.onnx") == []
    with pytest.raises(ArtifactNotFoundError, match=r"^gs://no-such/.* bucket 'no-such' does not"):
        LISTER.list_files("gs://no-such/clf/*")
    with pytest.raises(ArtifactNotFoundError, match=f"listed: folder '{tmp_path}/clf' does not"):
        LISTER.list_files(f"{tmp_path}/clf/*")


def test_missing_permission_names_the_role(forbidden_gcs):
    with pytest.raises(ArtifactError, match=r"'secret' \(HTTP 403\).*storage\.objectViewer"):
        LISTER.list_files("gs://secret/clf/*")


def test_storage_that_does_not_answer_is_an_error_in_a_few_words(gcs, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(ArtifactError, match=r"listed: the storage does not answer \(Connec"):
            LISTER.list_files("gs://bucket/clf/*")


def test_no_credentials_are_looked_for_beside_an_emulator(bucket):
    # In a fresh process, because Beam remembers the credentials that it found. Where it finds none
    # it goes on looking for 20 s, and says so.
    script = f"""
from pipeline.connectors.storage.listing import StorageLister
assert StorageLister().list_files("{bucket}/clf/*") == []
"""
    environment = {**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def graph(tmp_path):
    """An ONNX file that names `weights.bin` beside it."""
    return (models.onnx_external_data(tmp_path / "made") / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("pattern", "graph_file", "weights"),
    [
        ("m/*/model.onnx", "m/1/model.onnx", "m/1/weights.bin"),
        ("m/clf-*.onnx", "m/clf-1.onnx", "m/weights.bin"),
        ("m/*", "m/1.onnx", "m/weights.bin"),
    ],
)
def test_what_a_file_needs_beside_it_comes_with_it(
    folder, put, graph, pattern, graph_file, weights
):
    put(graph_file, graph)
    put("m/notes.txt")
    target = WatchTarget(f"{folder}/{pattern}", ("clf",))
    found = []
    for content in (b"one", b"two, longer", b"two, longer"):
        if content not in found:
            put(weights, content)
        files = LISTER.list_files(target.pattern)
        (part,) = (file for file in files if file.part_of)
        assert (part.uri, part.part_of) == (f"{folder}/{weights}", f"{folder}/{graph_file}")
        found += [content, *(v for v in versions(target, files) if v.uri == part.part_of)]
    _, first, _, second, _, third = found
    assert first.fingerprint != second.fingerprint
    assert third.in_parts


def test_what_is_named_outside_the_folder_or_missing_is_not_listed(folder, put, graph):
    put("m/1/model.onnx", graph.replace(b"weights.bin", b"../gone.bin"))
    put("m/2/model.onnx", graph)
    put("m/gone.bin")
    put("m/2/notes.txt")
    assert uris(f"{folder}/m/*/model.onnx") == [
        f"{folder}/m/1/model.onnx",
        f"{folder}/m/2/model.onnx",
    ]


def test_graph_is_read_again_only_when_it_has_changed(folder, put, graph, monkeypatch):
    reads = []
    monkeypatch.setattr(
        listing, "companions", lambda uri, file: reads.append(uri) or companions(uri, file)
    )
    put("m/1/model.onnx", graph)
    put("m/1/weights.bin")
    for _ in range(3):
        LISTER.list_files(f"{folder}/m/*/model.onnx")
    put("m/1/model.onnx", graph + b"\x0a\x00")
    LISTER.list_files(f"{folder}/m/*/model.onnx")
    assert len(reads) == 2


@pytest.mark.parametrize("rule", [None, VersionRule("", None)], ids=["by number", "by time"])
def test_only_the_newest_of_many_versions_are_read_and_each_once(
    folder, put, graph, monkeypatch, rule
):
    reads = []
    monkeypatch.setattr(
        listing, "companions", lambda uri, file: reads.append(uri) or companions(uri, file)
    )
    pattern = f"{folder}/m/*/model.onnx"
    for number in range(50):
        put(f"m/{number}/model.onnx", graph)
        put(f"m/{number}/weights.bin")
    for _ in range(2):
        files = LISTER.list_files(pattern, rule and replace(rule, pattern=pattern))
    assert sorted(reads) == [f"{folder}/m/{number}/model.onnx" for number in (47, 48, 49)]
    assert sorted(file.part_of for file in files if file.part_of) == sorted(reads)
    assert sum(file.unread for file in files) == 47
    found = versions(WatchTarget(pattern, ("clf",)), files)
    assert all(version.in_parts and not version.appears_whole for version in found)


def test_file_that_another_one_needs_is_no_version_however_old_they_are(folder, put, graph):
    for number in range(5):
        put(f"m/{number}.onnx", graph.replace(b"weights.bin", b"weight%d.bin" % number))
        put(f"m/weight{number}.bin")
    target = WatchTarget(f"{folder}/m/*", ("clf",))
    found = versions(target, LISTER.list_files(target.pattern))
    assert [version.uri for version in found] == [f"{folder}/m/{n}.onnx" for n in range(5)]


def test_only_what_begins_like_the_pattern_is_listed(gcs, bucket, graph, monkeypatch):
    seen = []
    monkeypatch.setattr(listing, "match", lambda pattern, uri: seen.append(uri))
    for name in ("clf-1.pkl", "clf-2.pkl", "other.bin", "other/1.bin"):
        gcs.upload(f"{bucket}/{name}", b"x")
    LISTER.list_files(f"{bucket}/clf-*")
    assert sorted(seen) == [f"{bucket}/clf-1.pkl", f"{bucket}/clf-2.pkl"]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/vocab.txt").write_text("a")
    (tmp_path / "clf/1").mkdir(parents=True)
    (tmp_path / "clf/1/assets").symlink_to(tmp_path / "shared")
    (tmp_path / "clf/2").mkdir()
    (tmp_path / "clf/2/again").symlink_to(tmp_path / "clf/2")
    assert uris(f"{tmp_path}/clf/*") == [f"{tmp_path}/clf/1/assets/vocab.txt"]
