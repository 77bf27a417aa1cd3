import contextlib
import gzip
import itertools
import logging
import os
import pickle
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import apache_beam as beam
import pytest
import requests
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files.watched import reader as folder_reader
from pipeline.connectors.files.watched.listing import FileVersion, Settling, list_files
from pipeline.connectors.files.watched.reader import FolderReader
from pipeline.connectors.files.watched.source import ReadFolder, ReadNewFiles
from pipeline.errors import PathError
from pipeline.formats.format import Reading
from pipeline.runner.endless import ProgressTracker, SourceProgress
from tests.support.bundles import Bundle
from tests.support.waiting import wait_until

INTERVAL_SECS = 0.02
OLD = 1_700_000_000


def numbered(n):
    return b"".join(b'{"id": %d}\n' % i for i in range(n))


def place(path, content, modified=OLD):
    """Puts a file there at once, as writers should."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    os.utime(temporary, (modified, modified))
    temporary.rename(path)


class Stream:
    """A pipeline that runs until `stop`; what it reads is in `blocks`."""

    def __init__(self):
        self.blocks = []
        self.stop = False
        self.on_block = lambda block: None
        self.on_bundle_end = lambda: None
        self._changed = threading.Condition()

    def receive(self, block):
        self.on_block(block)
        with self._changed:
            self.blocks.append(block)
            self._changed.notify_all()

    @property
    def lines(self):
        return [line for block in self.blocks for line in block.payloads]

    def wait(self, condition, secs=30):
        with self._changed:
            assert self._changed.wait_for(condition, secs), f"waited in vain; got {self.blocks}"

    def wait_for_lines(self, *lines):
        """Until exactly these lines came."""
        self.wait(lambda: len(self.lines) >= len(lines))
        assert Counter(self.lines) == Counter(lines)


streams = {}


class Receive(beam.DoFn):
    def __init__(self, key):
        self.key = key

    def process(self, block):
        streams[self.key].receive(block)

    def finish_bundle(self):
        streams[self.key].on_bundle_end()


def is_stopped(key):
    return streams[key].stop


@contextlib.contextmanager
def reading(pattern, *, interval_secs=INTERVAL_SECS, **kwargs):
    """Runs the source in a pipeline, until the end of the block stops it."""
    key = len(streams)
    stream = streams[key] = Stream()
    failures = []

    def run():
        try:
            with beam.Pipeline(FnApiRunner()) as pipeline:
                source = ReadNewFiles(
                    str(pattern),
                    interval_secs=interval_secs,
                    stopped=partial(is_stopped, key),
                    **kwargs,
                )
                _ = pipeline | source | beam.ParDo(Receive(key))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stream
    finally:
        stream.stop = True
        thread.join(20)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


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


class Looks:
    """Counts how often folders are looked at."""

    def __init__(self):
        self._count = 0

    def __call__(self, pattern):
        self._count += 1
        return list_files(pattern)

    def wait_for(self, more):
        target = self._count + more
        wait_until(lambda: self._count >= target)


@pytest.fixture
def looks(monkeypatch):
    counting = Looks()
    monkeypatch.setattr(folder_reader, "list_files", counting)
    return counting


@pytest.fixture(params=["local", "gcs"])
def journal(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "state" / "journal.txt")
    return f"{request.getfixturevalue('bucket')}/state/journal.txt"


def test_relaunch_goes_on_behind_the_files_in_the_journal(tmp_path, journal):
    folder = tmp_path / "in"
    folder.mkdir()
    place(folder / "a.jsonl", b"a\n")
    with reading(folder, journal=journal) as stream:
        stream.wait_for_lines(b"a")
        place(folder / "b.jsonl", b"b\n")
        stream.wait_for_lines(b"a", b"b")
    place(folder / "c.jsonl", b"c\n")
    with reading(folder, journal=journal) as stream:
        stream.wait_for_lines(b"c")
    place(folder / "b.jsonl", b"new b\n", OLD + 1)
    with reading(folder, journal=journal) as stream:
        stream.wait_for_lines(b"new b")


def holds(journal, count):
    return journal.exists() and len(journal.read_text().split()) == count


def test_journal_is_written_while_the_stream_runs(tmp_path):
    folder, journal = tmp_path / "in", tmp_path / "journal.txt"
    folder.mkdir()
    with reading(folder, journal=str(journal)) as stream:
        for count in (1, 2):
            place(folder / f"{count}.jsonl", b"%d\n" % count)
            wait_until(partial(holds, journal, count))
        stream.wait_for_lines(b"1", b"2")


def test_file_of_a_bundle_that_failed_is_read_again_after_a_relaunch(tmp_path, journal, looks):
    folder = tmp_path / "in"
    folder.mkdir()
    place(folder / "a.jsonl", b"a\n")
    with reading(folder, journal=journal) as stream:
        stream.wait_for_lines(b"a")

    def fail():
        if stream.blocks:
            looks.wait_for(3)  # time to do something rash
            raise ValueError("boom")

    with pytest.raises(Exception, match="boom"), reading(folder, journal=journal) as stream:  # noqa: PT012
        stream.on_bundle_end = fail
        place(folder / "b.jsonl", b"b\n")
        stream.wait_for_lines(b"b")
    with reading(folder, journal=journal) as stream:
        stream.wait_for_lines(b"b")


def test_half_read_file_is_read_again_whole_after_a_relaunch(tmp_path):
    folder, journal = tmp_path / "in", str(tmp_path / "journal.txt")
    folder.mkdir()
    place(folder / "a.jsonl", numbered(100))
    with reading(folder, journal=journal, reading=Reading(10)) as stream:
        stream.on_block = lambda block: setattr(stream, "stop", True)
        stream.wait(lambda: stream.blocks)
    with reading(folder, journal=journal) as stream:
        stream.wait_for_lines(*numbered(100).splitlines())


def test_journal_inside_the_folder_is_not_read(tmp_path):
    place(tmp_path / "a.jsonl", b"a\n")
    with reading(tmp_path, journal=str(tmp_path / "journal.txt")) as stream:
        stream.wait_for_lines(b"a")
        wait_until((tmp_path / "journal.txt").exists)
        place(tmp_path / "b.jsonl", b"b\n")
        stream.wait_for_lines(b"a", b"b")
        place(tmp_path / "c.jsonl", b"c\n")
        stream.wait_for_lines(b"a", b"b", b"c")


def test_file_that_is_no_journal_is_refused(tmp_path):
    (tmp_path / "journal.txt").write_text("my notes\n")
    with (
        pytest.raises(PathError, match=r"journal.txt' is not a journal of files read"),
        reading(tmp_path, journal=str(tmp_path / "journal.txt")),
    ):
        pass


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


def said(caplog, part):
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


def test_missing_folder_is_said_once_waited_for_and_loses_nothing(tmp_path, caplog, looks):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "in"
    with reading(folder / "*") as stream:
        looks.wait_for(3)
        folder.mkdir()
        place(folder / "a.jsonl", b"a\n")
        stream.wait_for_lines(b"a")
        folder.rename(tmp_path / "away")
        looks.wait_for(3)
        (tmp_path / "away").rename(folder)
        place(folder / "b.jsonl", b"b\n")
        stream.wait_for_lines(b"a", b"b")
    assert len(said(caplog, "cannot be read")) == len(said(caplog, "can be read again")) == 2


def test_file_that_cannot_be_read_ends_in_a_block_that_says_so(gcs, bucket):
    from google.cloud.storage import Blob, Client

    client = Client.create_anonymous_client()
    bad = Blob.from_uri(f"{bucket}/in/a.jsonl", client=client)
    bad.content_encoding = "gzip"  # with this type, Beam refuses to read it
    bad.upload_from_string(b"x\n", content_type="application/gzip")
    gcs.upload(f"{bucket}/in/b.jsonl", b"b\n")
    with reading(f"{bucket}/in/*") as stream:
        stream.wait_for_lines(b"b")
    (block,) = (block for block in stream.blocks if block.error)
    assert block.payloads == ()
    assert block.error.startswith(f"{bucket}/in/a.jsonl: cannot be read (")
    assert "`Content-Encoding: gzip` and a type of gzip as well" in block.error


class _Proxy(BaseHTTPRequestHandler):
    """Forwards to the emulator; what it fetches objects through may hold it up."""

    def do_GET(self):
        if not self.server.pass_by(self.path):
            self.send_error(403)
            return
        answer = requests.get(f"{self.server.upstream}{self.path}", timeout=20)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(gcs, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        server.upstream = os.environ["STORAGE_EMULATOR_HOST"]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_small_objects_are_fetched_several_at_once(gcs, bucket, proxy):
    for number in range(8):
        gcs.upload(f"{bucket}/in/{number}.jsonl", b"%d\n" % number)
    four = threading.Barrier(4, timeout=10)

    def meet(path):
        if "/o/in" not in path:
            return True
        with contextlib.suppress(threading.BrokenBarrierError):
            four.wait()
        return not four.broken

    proxy.pass_by = meet
    with reading(f"{bucket}/in/*") as stream:
        stream.wait_for_lines(*(b"%d" % number for number in range(8)))
    assert [block.source[-7:] for block in stream.blocks] == [f"{n}.jsonl" for n in range(8)]


def test_storage_that_does_not_answer_holds_up_neither_stream_nor_stop(proxy, bucket, tmp_path):
    release = threading.Event()
    proxy.pass_by = lambda path: release.wait(60) and False
    place(tmp_path / "a.jsonl", b"a\n")
    with reading(f"{bucket}/in/*") as silent:
        with reading(tmp_path) as stream:
            stream.wait_for_lines(b"a")
        began = time.monotonic()
        silent.stop = True
    assert time.monotonic() - began < 10
    release.set()


def test_silence_of_the_storage_is_said_once_and_reading_goes_on_after_it(
    gcs, proxy, bucket, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(folder_reader, "PATIENCE_SECS", 1.0)
    release = threading.Event()
    proxy.pass_by = lambda path: release.wait(60)
    gcs.upload(f"{bucket}/in/a.jsonl", b"a\n")
    with reading(f"{bucket}/in/*") as stream:
        wait_until(lambda: said(caplog, "no answer"))
        release.set()
        stream.wait_for_lines(b"a")
    assert len(said(caplog, "cannot be read")) == len(said(caplog, "can be read again")) == 1


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
