import gc
import os
import tempfile
from pathlib import Path

import pytest

from pipeline.connectors.storage import paths
from pipeline.errors import PathError

_NOBODY = 65534


def test_matching_files_come_sorted_with_their_sizes(folder, put):
    put("in/b.jsonl", b"12")
    put("in/a.jsonl", b"1")
    put("in/a.txt")
    put("in/deep/c.jsonl", b"123")

    def match(pattern):
        return [
            (file.path.removeprefix(folder), file.size_in_bytes)
            for file in paths.match_input(folder + pattern)
        ]

    assert match("/in/*.jsonl") == [("/in/a.jsonl", 1), ("/in/b.jsonl", 2)]
    assert match("/in/a.jsonl") == [("/in/a.jsonl", 1)]
    assert match("/**.jsonl") == [("/in/a.jsonl", 1), ("/in/b.jsonl", 2), ("/in/deep/c.jsonl", 3)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("/in/**/*.csv", ["a", "day=1/b", "deep/er/c"]),
        ("/**/day=1/*.csv", ["day=1/b"]),
        ("/**/in/**/*.csv", ["a", "day=1/b", "deep/er/c"]),
        ("/in/**", ["a", "day=1/b", "deep/er/c"]),
        ("/in/**/**/er/c.csv", ["deep/er/c"]),
    ],
)
def test_two_stars_and_a_slash_are_any_number_of_folders(folder, put, pattern, names):
    for name in ("a", "day=1/b", "deep/er/c"):
        put(f"in/{name}.csv")
    found = [file.path for file in paths.match_input(folder + pattern)]
    assert found == [f"{folder}/in/{name}.csv" for name in names]


@pytest.mark.parametrize("top", ["", "./"])
def test_relative_patterns_find_relative_paths(tmp_path, monkeypatch, top):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("a.csv", "deep/b.csv"):
        (tmp_path / name).write_text("x")
    for pattern in ("**", "**/*.csv"):
        found = [file.path for file in paths.match_input(top + pattern)]
        assert found == [f"{top}a.csv", f"{top}deep/b.csv"]


def link(path):
    path.symlink_to("/no/such/file")


def loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "says"), [(link, "a link to '/no/such/file'"), (loop, "a link"), (os.mkfifo, "a pipe")]
)
@pytest.mark.parametrize("pattern", ["*.csv", "**", "**/*.csv", "b.csv"])
def test_names_without_a_file_to_read_are_refused(tmp_path, make, says, pattern):
    (tmp_path / "a.csv").write_text("x")
    make(tmp_path / "b.csv")
    with pytest.raises(PathError, match=rf"matches '{tmp_path}/b.csv', {says}"):
        paths.match_input(f"{tmp_path}/{pattern}")


def test_what_no_pattern_means_may_be_anything(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    link(tmp_path / ".#a.csv")  # an editor's lock
    (tmp_path / "b.csv").mkdir()
    assert [file.path for file in paths.match_input(f"{tmp_path}/*.csv")] == [f"{tmp_path}/a.csv"]
    link(tmp_path / "p-00000-of-00001.jsonl")  # of an output: seen when it is replaced
    assert paths.existing_outputs(f"{tmp_path}/p", [".jsonl"]) == []


@pytest.fixture
def closed():
    """Makes a folder that this user may not read; who is root is somebody else meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o755)
        (folder / "a.csv").write_text("x")

        def make(name):
            (folder / name).mkdir(0)
            if user == 0:
                os.seteuid(_NOBODY)
            return folder

        yield make
        os.seteuid(user)


@pytest.mark.parametrize("pattern", ["**", "*/*", "*/*.csv", "secret/*", "*/*/a.csv"])
def test_folder_that_may_not_be_read_is_not_passed_over(closed, pattern):
    folder = closed("secret")
    with pytest.raises(PathError, match=f"folder '{folder}/secret' may not be read"):
        paths.match_input(f"{folder}/{pattern}")


@pytest.mark.parametrize("pattern", ["**", "*", "**/*.csv"])
@pytest.mark.parametrize("name", [".Trash-0", "lost+found"])
def test_hidden_folder_may_be_closed(closed, pattern, name):
    folder = closed(name)
    assert [file.path for file in paths.match_input(f"{folder}/{pattern}")] == [f"{folder}/a.csv"]


def test_folder_placeholder_objects_are_no_input(gcs, bucket):
    gcs.upload(f"{bucket}/in/", b"")
    with pytest.raises(PathError, match="matches no file"):
        paths.match_input(f"{bucket}/in/*")


@pytest.mark.parametrize("pattern", ["/in/*.csv", "/in/none.jsonl", "/none/", "/**.csv"])
def test_pattern_without_match_is_named(folder, put, pattern):
    put("in/a.jsonl")
    with pytest.raises(PathError) as caught:
        paths.match_input(folder + pattern)
    assert caught.value.problems == (f"input '{folder}{pattern}' matches no file",)


@pytest.mark.parametrize("slash", ["", "/"])
def test_folder_as_input_gets_a_hint(folder, put, slash):
    put("in/a.jsonl")
    with pytest.raises(PathError, match=rf"in{slash}' is a folder; '{folder}/in/\*' matches"):
        paths.match_input(f"{folder}/in{slash}")


@pytest.mark.parametrize("pattern", ["gs://no-such/in.jsonl", "gs://no-such/*.jsonl"])
def test_missing_bucket_of_the_input_is_named(gcs, pattern):
    with pytest.raises(PathError, match="bucket 'no-such' does not exist"):
        paths.match_input(pattern)


def test_writable_prefix_leaves_nothing_behind(folder, put, tmp_path):
    put("keep")
    paths.check_writable(f"{folder}/new/deep/out")
    assert [f.path for f in paths.match_input(f"{folder}/**")] == [f"{folder}/keep"]
    assert {path.name for path in tmp_path.iterdir()} <= {"keep"}


@pytest.mark.parametrize("prefix", ["file/out", "file/deep/out"])
def test_file_where_the_output_folder_should_be_is_named(tmp_path, prefix):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PathError, match=f"'{tmp_path}/file' is a file, expected a folder"):
        paths.check_writable(str(tmp_path / prefix))


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("gs://no-such/out", "bucket 'no-such' does not exist"),
        ("gs://bucket/out/", "is a folder, expected the beginning of file names"),
        ("gs://bucket", "must be in the form gs://<bucket>/<object>"),
        ("out-*", "must not contain"),
        ("/proc/out", "cannot be written"),
        ("/proc/new/deep/out", "cannot be written"),
        (f"/tmp/new/{'x' * 300}/out", "File name too long"),
    ],
)
def test_unusable_output_is_refused_with_the_reason(gcs, prefix, reason):
    with pytest.raises(PathError, match=reason) as caught:
        paths.check_writable(prefix)
    assert f"output '{prefix}'" in str(caught.value)


def test_missing_permission_names_the_role(forbidden_gcs):
    with pytest.raises(PathError, match=r"bucket 'b'.*roles/storage\.objectViewer"):
        paths.match_input("gs://b/in/*")
    with pytest.raises(PathError, match=r"bucket 'b'.*roles/storage\.objectUser"):
        paths.check_writable("gs://b/out")


def test_refused_upload_is_not_tried_again_behind_the_back(forbidden_gcs):
    with pytest.raises(PathError):
        paths.check_writable("gs://b/out")
    gc.collect()
    assert len([request for request in forbidden_gcs if "/upload/" in request]) == 1


def test_earlier_shards_of_the_same_prefix_are_found_and_deleted(folder, put):
    for name in ("out-00000-of-00002.jsonl", "out-00001-of-00002.jsonl"):
        put(name)
    others = ["out-00000-of-00001.csv", "out-x.jsonl", "out2-00000-of-00001.jsonl"]
    for name in others:
        put(name)
    earlier = [file.path for file in paths.existing_outputs(f"{folder}/out", [".jsonl"])]
    assert earlier == [paths.shard_path(f"{folder}/out", i, 2, ".jsonl") for i in (0, 1)]
    for _ in range(2):  # what is gone already is no error
        paths.delete(earlier)
    assert paths.existing_outputs(f"{folder}/out", [".jsonl"]) == []
    assert [f.path for f in paths.match_input(f"{folder}/*")] == [f"{folder}/{n}" for n in others]


def test_earlier_shards_are_found_beside_a_prefix_without_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out-00000-of-00001.jsonl").write_bytes(b"")
    (found,) = paths.existing_outputs("out", [".jsonl"])
    assert found.path == "out-00000-of-00001.jsonl"


def test_file_that_was_written_anew_is_another_one(folder, put):
    put("out-00000-of-00001.jsonl", b"1")
    before = paths.existing_outputs(f"{folder}/out", [".jsonl"])
    assert paths.existing_outputs(f"{folder}/out", [".jsonl"]) == before
    put("out-00000-of-00001.jsonl", b"2")
    assert paths.existing_outputs(f"{folder}/out", [".jsonl"]) != before


def test_text_is_read_whole_and_without_byte_order_mark(folder, put):
    put("spec.yaml", "\ufeffname: größe\n".encode())
    assert paths.read_text(f"{folder}/spec.yaml") == "name: größe\n"


def test_unreadable_text_is_named_with_the_reason(folder, put):
    put("latin.yaml", b"gr\xf6\xdfe")
    with pytest.raises(PathError, match=rf"'{folder}/latin.yaml' is not UTF-8 text"):
        paths.read_text(f"{folder}/latin.yaml")
    with pytest.raises(PathError, match=rf"'{folder}/none.yaml' does not exist"):
        paths.read_text(f"{folder}/none.yaml")
    with pytest.raises(PathError, match="bucket 'no-such' does not exist"):
        paths.read_text("gs://no-such/spec.yaml")


@pytest.mark.parametrize("prefix", ["{}/", "{}/.", "{}/..", "..", "."])
def test_folder_as_output_gets_a_hint(tmp_path, prefix):
    prefix = prefix.format(tmp_path)
    with pytest.raises(PathError, match=rf"is a folder, expected .* '{prefix.rstrip('/')}/part'"):
        paths.check_writable(prefix)


def test_output_that_has_the_name_of_a_folder_is_told_to_be_beside_it(folder, put, caplog):
    put("out/old/a.jsonl")
    put("out-1.jsonl")
    paths.say_beside_folder(f"{folder}/ou")
    paths.say_beside_folder(f"{folder}/out-1")
    assert not caplog.records
    for prefix in ("out", "out/old"):
        paths.say_beside_folder(f"{folder}/{prefix}")
        assert f"'{folder}/{prefix}/part' puts them into it" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("prefix", ["~/out/p", "~ann/p", "~"])
def test_home_folder_that_no_shell_has_looked_up_is_refused(prefix):
    with pytest.raises(PathError, match=r"write \$HOME"):
        paths.check_writable(prefix)
