"""Files that come while a stream runs are each read once, when they are complete."""

import contextlib
import gzip
import itertools
import pickle
import tempfile
import threading
import time
from pathlib import Path

import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files.watched.listing import FileVersion, Settling, list_files
from pipeline.connectors.files.watched.reader import FolderReader
from pipeline.connectors.files.watched.source import ReadFolder
from pipeline.formats.format import Reading
from pipeline.runner.endless import ProgressTracker, SourceProgress
from tests.connectors.files.watched.streams import OLD, numbered, place, reading
from tests.support.bundles import Bundle
from tests.support.waiting import wait_until


def test_files_present_and_dropped_later_are_each_read_once(tmp_path):
    place(tmp_path / "b.jsonl", b"b1\nb2\n", OLD + 1)
    place(tmp_path / "z.jsonl", b"z\n", OLD)
    place(tmp_path / "c.jsonl", b"c\n", OLD + 1)
    (tmp_path / "other.txt").write_bytes(b"not matched\n")
    with reading(tmp_path / "*.jsonl*") as stream:
        stream.wait_for_lines(b"z", b"b1", b"b2", b"c")
        assert stream.lines == [b"z", b"b1", b"b2", b"c"]  # oldest first, then by name
        place(tmp_path / "a.jsonl.gz", gzip.compress(b"a1\r\na2"))
        place(tmp_path / "empty.jsonl", b"")
        stream.wait_for_lines(b"z", b"b1", b"b2", b"c", b"a1", b"a2")
        place(tmp_path / "last.jsonl", b"last\n")
        stream.wait_for_lines(b"z", b"b1", b"b2", b"c", b"a1", b"a2", b"last")


def test_origins_tell_file_and_modification_time(tmp_path):
    place(tmp_path / "a.jsonl", b"1\n2\n", OLD + 0.25)
    with reading(tmp_path) as stream:
        stream.wait_for_lines(b"1", b"2")
    (block,) = stream.blocks
    assert block.source == str(tmp_path / "a.jsonl")
    assert [origin.event_time_us for origin in block.origins] == [OLD * 10**6 + 250_000] * 2
    assert block.origins[0].attributes == {"file": block.source}


def test_rewritten_file_is_read_again(tmp_path):
    place(tmp_path / "a.jsonl", b"1\n")
    with reading(tmp_path) as stream:
        stream.wait_for_lines(b"1")
        place(tmp_path / "a.jsonl", b"2\n", OLD + 1)
        stream.wait_for_lines(b"1", b"2")


def test_block_rows_bounds_the_blocks(tmp_path):
    place(tmp_path / "a.jsonl", numbered(20))
    with reading(tmp_path, reading=Reading(8)) as stream:
        stream.wait_for_lines(*numbered(20).splitlines())
    assert [len(block.payloads) for block in stream.blocks] == [8, 8, 4]


def test_stop_finishes_the_block_in_hand_and_no_more(tmp_path):
    place(tmp_path / "a.jsonl", numbered(1000))
    with reading(tmp_path, reading=Reading(10)) as stream:
        stream.on_block = lambda block: setattr(stream, "stop", True)
        stream.wait(lambda: stream.blocks)
    assert len(stream.blocks) == 1
    wait_until(lambda: all(thread.name != "folder-reader" for thread in threading.enumerate()))


@pytest.mark.parametrize("name", [".a.jsonl", "a.tmp", "a.jsonl.part", "a.crdownload"])
def test_file_under_a_working_name_is_not_listed(tmp_path, name):
    (tmp_path / name).write_bytes(b"half")
    (tmp_path / "sub").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert list_files(str(tmp_path)) == []
    (tmp_path / name).rename(tmp_path / "a.jsonl")
    assert [file.path for file in list_files(str(tmp_path / "*"))] == [str(tmp_path / "a.jsonl")]


def test_growing_file_is_not_complete_until_two_looks_agree():
    settling = Settling(interval_secs=2)
    looks = [
        settling.complete([FileVersion("a", size, modified_ns=at * 10**9, whole=False)], at * 10**9)
        for at, size in [(10, 1), (11, 2), (12, 3)]
    ]
    assert looks == [[], [], []]
    unchanged = FileVersion("a", 3, modified_ns=12 * 10**9, whole=False)
    assert settling.complete([unchanged], 13 * 10**9) == [unchanged]


def test_file_not_written_for_an_interval_or_known_to_be_whole_is_complete_at_once():
    old = FileVersion("a", 1, modified_ns=8 * 10**9, whole=False)
    new = FileVersion("b", 1, modified_ns=9 * 10**9, whole=False)
    whole = FileVersion("c", 1, modified_ns=10 * 10**9, whole=True)
    assert Settling(interval_secs=2).complete([old, new, whole], 10 * 10**9) == [old, whole]


def test_file_renamed_after_its_last_write_is_known_to_be_whole(tmp_path):
    (tmp_path / "x.part").write_bytes(b"1\n")
    (tmp_path / "written").write_bytes(b"1\n")
    written = (tmp_path / "x.part").stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while (tmp_path / "x.part").stat().st_ctime_ns == written:  # one tick of the kernel's clock
        assert time.monotonic() < deadline
        (tmp_path / "x.part").rename(tmp_path / "y.part")
        (tmp_path / "y.part").rename(tmp_path / "x.part")
    (tmp_path / "x.part").rename(tmp_path / "renamed")
    known = {Path(file.path).name: file.whole for file in list_files(str(tmp_path))}
    assert known == {"renamed": True, "written": False}


@settings(max_examples=25)
@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    checkpoints=st.lists(st.integers(0, 6), max_size=6),
)
def test_reading_goes_on_from_any_checkpoint(rows, checkpoints):
    with tempfile.TemporaryDirectory() as folder:
        lines = iter(range(100))
        for number, count in enumerate(rows):
            text = b"".join(b"%d\n" % line for line in itertools.islice(lines, count))
            place(f"{folder}/{number}.jsonl", text)
        progress, found = SourceProgress(), []
        for steps in [*checkpoints, None]:
            reader = FolderReader(folder, Reading(2), 0.001, pickle.loads(pickle.dumps(progress)))
            assert reader.stands_at(progress)
            with contextlib.closing(reader):
                while steps is None or steps > 0:
                    step = reader.take(0.0 if len(progress.seen) == 16 * len(rows) else 10.0)
                    if step is None:
                        break
                    progress = step.progress
                    found += step.block.payloads if step.block else ()
                    steps = None if steps is None else steps - 1
    assert list(map(int, found)) == list(range(sum(rows)))


def test_objects_are_read_from_cloud_storage(gcs, bucket):
    for number in range(20):
        gcs.upload(f"{bucket}/in/{number}.jsonl", b"%d\n" % number)
    gcs.upload(f"{bucket}/in/z.jsonl.gz", gzip.compress(b"packed\n"))
    gcs.upload(f"{bucket}/in/", b"")  # as consoles create folders
    expected = [*(b"%d" % number for number in range(20)), b"packed"]
    with reading(f"{bucket}/in") as stream:
        stream.wait_for_lines(*expected)
        gcs.upload(f"{bucket}/in/new.tmp", b"new\n")
        stream.wait_for_lines(*expected, b"new")
        gcs.upload(f"{bucket}/in/new.tmp", b"newer\n")
        stream.wait_for_lines(*expected, b"new", b"newer")
    (block,) = (block for block in stream.blocks if block.payloads == (b"packed",))
    assert block.origins[0].attributes == {"file": f"{bucket}/in/z.jsonl.gz"}
    assert abs(block.origins[0].event_time_us / 1e6 - time.time()) < 300


def test_thousands_of_small_files_are_read_in_seconds(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number}.jsonl").write_bytes(b"%d\n" % number)
    began = time.monotonic()
    with reading(tmp_path) as stream:
        stream.wait(lambda: len(stream.blocks) >= 3000)
    assert time.monotonic() - began < 20
    assert sorted(map(int, stream.lines)) == list(range(3000))


def test_file_that_comes_late_is_read_once_and_keeps_its_time(tmp_path):
    place(tmp_path / "new.jsonl", b"new\n", OLD + 100)
    with reading(tmp_path) as stream:
        stream.wait_for_lines(b"new")
        place(tmp_path / "late.jsonl", b"late\n", OLD)
        place(tmp_path / "same.jsonl", b"new\n", OLD + 100)
        stream.wait_for_lines(b"new", b"late", b"new")
    times = sorted(origin.event_time_us for block in stream.blocks for origin in block.origins)
    assert times == [OLD * 10**6, (OLD + 100) * 10**6, (OLD + 100) * 10**6]


def test_no_file_is_late_however_old_it_is(tmp_path):
    """The watermark is the time that it is; so an element has the time of its arrival."""
    place(tmp_path / "old.jsonl", b"old\n", OLD)
    source = ReadFolder(str(tmp_path), Reading(5), 0.001, bool, None, False)
    source.setup()

    def bundle():
        tracker, began = ProgressTracker(source.initial_restriction(b"")), Timestamp.now()
        tracker.defer_remainder = lambda _: None
        found = list(source.process(b"", Bundle(), tracker, None))
        assert all(block.timestamp >= began for block in found)
        return found

    try:
        wait_until(bundle)
    finally:
        source.teardown()
