"""What programs leave beside data is no record: `_SUCCESS`, checksums, the log of a table."""

import pytest

from pipeline.connectors.files.watched.listing import list_files
from pipeline.connectors.storage.hidden_names import is_hidden
from pipeline.connectors.storage.paths import PathError, match_input
from pipeline.formats.image import IMAGE

LEFT = (
    "_SUCCESS",
    "._SUCCESS.crc",
    ".part-0.parquet.crc",
    ".DS_Store",
    "_committed_12",
    "_delta_log/0.json",
    "day=1/.crc/a.parquet",
    "day=1/_temporary/0/b.parquet",
    "day=1/c.parquet",
    "_day=1/.d.parquet",
    "_day=1/d.parquet",
    "lost+found/e.parquet",
    "day=1/@eaDir/f.parquet/g.parquet",
    "part-0.parquet",
    "_DSC0001.jpg",
    "._DSC0001.jpg",
)


@pytest.fixture(params=["", "_in", ".in"])
def place(tmp_path, request):
    folder = tmp_path / request.param if request.param else tmp_path
    for name in LEFT:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    return folder


def names(files, place):
    return sorted(file.path.removeprefix(f"{place}/") for file in files)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("*", ["_DSC0001.jpg", "part-0.parquet"]),
        ("**", ["_DSC0001.jpg", "_day=1/d.parquet", "day=1/c.parquet", "part-0.parquet"]),
        ("*/*", ["_day=1/d.parquet", "day=1/c.parquet"]),
        ("_*", ["_DSC0001.jpg", "_SUCCESS", "_committed_12"]),
        ("_delta_log/*", ["_delta_log/0.json"]),
        ("*/_temporary/*/*", ["day=1/_temporary/0/b.parquet"]),
        ("_SUCCESS", ["_SUCCESS"]),
        ("lost+found/*", ["lost+found/e.parquet"]),
        ("*/@eaDir/*/*", ["day=1/@eaDir/f.parquet/g.parquet"]),
    ],
)
def test_wildcards_mean_data_unless_the_pattern_has_the_mark(place, pattern, meant):
    assert names(match_input(f"{place}/{pattern}"), place) == meant
    if pattern != "**":  # Python's own takes it for one folder, or none
        assert names(list_files(f"{place}/{pattern}"), place) == meant


@pytest.mark.parametrize("extension", IMAGE.extensions)
def test_pictures_of_cameras_are_data_whatever_their_format(extension):
    for name in (f"_DSC1{extension}", f"_MG_2{extension.upper()}"):
        assert not is_hidden(f"in/{name}", "in/*")
        assert is_hidden(f"in/.{name}", "in/*")


def test_what_is_left_out_is_counted_and_said_once(place, caplog):
    for _ in range(3):
        match_input(f"{place}/*")
    (said,) = caplog.messages
    assert said.startswith(f"6 files that match '{place}/*' are left out")


def test_pattern_that_matches_nothing_else_says_why(tmp_path):
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(
        PathError, match=r"begin with '.' or '_' or are the system's, such as .*/_SUCC"
    ):
        match_input(f"{tmp_path}/*")


@pytest.mark.parametrize("name", ["a[1].jsonl", "a*.jsonl", "a?.jsonl", "_a.jsonl"])
def test_name_that_looks_like_a_pattern_is_found_as_itself(tmp_path, name):
    (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "a1.jsonl").write_bytes(b"{}")
    assert names(match_input(f"{tmp_path}/{name}"), tmp_path) == [name]
