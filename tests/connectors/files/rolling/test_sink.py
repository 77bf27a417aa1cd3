import contextlib
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing import test_stream
from apache_beam.transforms import window
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files.rolling.sink import AppendLines, WriteGroups, WriteObjects, close_all
from pipeline.connectors.files.rolling.writer import RollingWriter, recover
from pipeline.errors import OutputError
from pipeline.testing import FakeClock
from tests.support.full_disk import files_end_at
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[4]
NEVER = 1e6


def final_files(folder):
    """Name -> content of all finished files in the order of their names."""
    return {file.name: file.read_bytes() for file in sorted(Path(folder).glob("[!.]*"))}


def hidden_files(folder):
    return list(Path(folder).glob(".*"))


def text_of(folder):
    return b"".join(final_files(folder).values())


@contextlib.contextmanager
def writer(prefix, roll_secs=NEVER, roll_rows=10**9, **kwargs):
    with contextlib.closing(
        RollingWriter(str(prefix), ".jsonl", roll_secs, roll_rows, **kwargs)
    ) as opened:
        yield opened


def write(sink, chunks):
    """A pipeline of one bundle, as a local runner has it."""
    try:
        with beam.Pipeline(FnApiRunner()) as pipeline:
            made = pipeline | beam.Create(chunks, reshuffle=False)
            _ = made | sink
    finally:
        close_all()


chunks_of_lines = st.lists(
    st.lists(st.sampled_from([b"{}\n", b"\n", b'{"long": "%s"}\n' % (b"x" * 50)]), min_size=1).map(
        b"".join
    ),
    max_size=3,
)


@settings(max_examples=40)
@given(
    actions=st.lists(st.one_of(chunks_of_lines, st.sampled_from(["later", "look"])), max_size=20),
    roll_rows=st.integers(1, 8),
)
def test_every_appended_line_is_in_exactly_one_final_file(actions, roll_rows):
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        with writer(f"{folder}/out", 10, roll_rows, clock=clock) as opened:
            for action in actions:
                if action == "later":
                    clock.advance(5)
                elif action == "look":
                    opened.close_due()
                else:
                    opened.append(action)
        expected = b"".join(chunk for action in actions for chunk in action if type(chunk) is bytes)
        assert text_of(folder) == expected
        assert all(text.endswith(b"\n") for text in final_files(folder).values())
        assert hidden_files(folder) == []


def test_file_is_closed_at_its_age_and_not_before(tmp_path):
    clock = FakeClock()
    with writer(tmp_path / "out", 10, clock=clock) as opened:
        opened.append([b"1\n"])
        clock.advance(9)
        opened.append([b"2\n"])
        opened.close_due()
        assert final_files(tmp_path) == {}
        clock.advance(1)
        opened.close_due()
        assert text_of(tmp_path) == b"1\n2\n"


def test_file_is_closed_at_its_age_when_nothing_more_comes(tmp_path):
    with writer(tmp_path / "out", roll_secs=0.01) as opened:
        opened.append([b"1\n"])
        wait_until(lambda: text_of(tmp_path) == b"1\n")


def test_file_is_closed_at_its_number_of_rows(tmp_path):
    with writer(tmp_path / "out", roll_rows=3) as opened:
        opened.append([b"1\n2\n"])
        opened.append([b"3\n", b"4\n"])
        opened.append([b"5\n"])
        wait_until(lambda: final_files(tmp_path))
        assert text_of(tmp_path) == b"1\n2\n3\n4\n"
    assert list(final_files(tmp_path).values()) == [b"1\n2\n3\n4\n", b"5\n"]


def test_names_tell_time_writer_and_count_and_sort_by_them(tmp_path):
    before = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    with writer(tmp_path / "new" / "out", roll_rows=1) as opened:
        for number in range(12):
            opened.append([b"%d\n" % number])
    names = list(final_files(tmp_path / "new"))
    assert text_of(tmp_path / "new") == b"".join(b"%d\n" % number for number in range(12))
    _, stamp, token, count = names[0].removesuffix(".jsonl").split("-")
    assert before <= stamp <= time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    assert (len(token), count) == (8, "00001")


# A process that writes lines and says after each append which lines are safe.
WRITER = """
import itertools, sys
from pipeline.connectors.files.rolling.writer import RollingWriter
writer = RollingWriter(sys.argv[1], ".jsonl", 0.02, 400)
count = itertools.count()
for size in itertools.cycle([1, 7, 300]):
    numbers = [next(count) for _ in range(size)]
    writer.append([b"%d %s\\n" % (number, b"x" * (number % 900)) for number in numbers])
    print(numbers[-1], flush=True)
"""


@pytest.mark.parametrize("appends", [1, 2, 50, 200])
def test_acknowledged_lines_survive_a_kill_and_no_final_file_is_ever_partial(tmp_path, appends):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "out")], stdout=subprocess.PIPE, cwd=ROOT
    )
    seen = {}
    with process:
        for line in itertools.islice(process.stdout, appends):
            acknowledged = int(line)
            for file in set(tmp_path.glob("out-*")) - seen.keys():
                seen[file] = file.read_bytes()
                assert seen[file].endswith(b"\n")
        process.send_signal(signal.SIGKILL)
    with writer(tmp_path / "out") as relaunched:
        relaunched.append([b"after\n"])
    words = [line.split()[0] for line in text_of(tmp_path).splitlines()]
    words.remove(b"after")
    assert sorted(map(int, words)) == list(range(len(words)))
    assert len(words) > acknowledged
    assert all(file.read_bytes() == text for file, text in seen.items())  # they never change
    assert all(text.endswith(b"\n") for text in final_files(tmp_path).values())
    assert hidden_files(tmp_path) == []


@settings(max_examples=30)
@given(st.binary())
def test_leftover_is_cut_to_whole_lines(content):
    with tempfile.TemporaryDirectory() as folder:
        name = "out-20261122T091500Z-0123abcd-00007.jsonl"
        Path(folder, f".{name}.part").write_bytes(content)
        recover(f"{folder}/out", ".jsonl")
        whole = content[: content.rfind(b"\n") + 1]
        assert final_files(folder) == ({name: whole} if whole else {})
        assert hidden_files(folder) == []


def test_leftovers_are_completed_when_a_pipeline_starts_and_nothing_else_is_touched(tmp_path):
    long_line = b"y" * (3 << 20)
    others = [
        ".out-20261122T091500Z-0123abcd-00001.txt.part",
        ".outer-20261122T091500Z-0123abcd-00001.jsonl.part",
        ".out-notes.jsonl.part",
    ]
    for name in [".out-20261122T091500Z-0123abcd-00001.jsonl.part", *others]:
        (tmp_path / name).write_bytes(b"1\n" + long_line)
    write(AppendLines(str(tmp_path / "out"), ".jsonl"), [])
    assert text_of(tmp_path) == b"1\n"
    assert sorted(file.name for file in hidden_files(tmp_path)) == sorted(others)


def test_open_file_of_a_living_writer_is_no_leftover(tmp_path):
    with writer(tmp_path / "out") as first:
        first.append([b"1\n"])
        with writer(tmp_path / "out") as second:
            second.append([b"2\n"])
        assert text_of(tmp_path) == b"2\n"
        first.append([b"3\n"])
    assert sorted(final_files(tmp_path).values()) == [b"1\n3\n", b"2\n"]


def test_recovery_beside_a_living_writer_takes_nothing_from_it(tmp_path):
    done = threading.Event()

    def recover_on_and_on():
        while not done.is_set():
            recover(f"{tmp_path}/out", ".jsonl")

    thread = threading.Thread(target=recover_on_and_on)
    thread.start()
    with writer(tmp_path / "out", roll_rows=1) as opened:
        for number in range(300):
            opened.append([b"%d\n" % number])
    done.set()
    thread.join()
    assert text_of(tmp_path) == b"".join(b"%d\n" % number for number in range(300))


def test_append_to_a_full_disk_raises_and_leaves_what_was_there(tmp_path):
    with writer(tmp_path / "out") as opened:
        opened.append([b"first\n"])
        with files_end_at(1000), pytest.raises(OSError, match=r"cannot write.*out-.*part"):
            opened.append([b"x" * 900 + b"\n", b"y" * 900 + b"\n"])
        opened.append([b"second\n"])
    assert text_of(tmp_path) == b"first\nsecond\n"


def test_full_disk_fails_the_pipeline(tmp_path):
    with files_end_at(1000), pytest.raises(OutputError, match=r"cannot write.*out-.*part"):
        write(
            AppendLines(str(tmp_path / "out"), ".jsonl"), [b"x" * 900 + b"\n", b"y" * 900 + b"\n"]
        )
    assert final_files(tmp_path) == {}


def test_file_that_cannot_be_closed_fails_the_next_append(tmp_path):
    folder = tmp_path / "gone"
    opened = RollingWriter(f"{folder}/out", ".jsonl", NEVER, roll_rows=2)
    opened.append([b"1\n"])
    shutil.rmtree(folder)
    opened.append([b"2\n"])
    folder.mkdir()
    failures = []

    def append_fails():
        try:
            opened.append([b"3\n"])
        except FileNotFoundError as error:
            failures.append(error)
        return failures

    wait_until(append_fails)
    assert "out-" in str(failures[0])
    with pytest.raises(FileNotFoundError):
        opened.close()


def test_pipeline_writes_all_lines_and_several_pipelines_share_a_folder(tmp_path):
    for part in range(2):
        chunks = [b"%d\n" % number for number in range(part, 100, 2)]
        write(AppendLines(str(tmp_path / "out"), ".jsonl"), chunks)
    assert len(final_files(tmp_path)) == 2
    assert sorted(map(int, text_of(tmp_path).split())) == list(range(100))
    assert hidden_files(tmp_path) == []


# A stream from a folder, until a file named "stop" appears.
STREAM = """
import sys
from pathlib import Path
import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from pipeline.formats.format import Reading
from pipeline.connectors.files.watched.source import ReadNewFiles
from pipeline.connectors.files.rolling.sink import AppendLines, close_all

def text(block):
    return b"".join(line + b"\\n" for line in block.payloads)

folder = sys.argv[1]
source = ReadNewFiles(
    f"{folder}/in/*",
    Reading(10),
    0.02,
    stopped=Path(folder, "stop").exists,
    journal=f"{folder}/journal",
)
sink = AppendLines(f"{folder}/out/part", ".jsonl", roll_secs=0.2)
with beam.Pipeline(FnApiRunner()) as pipeline:
    pipeline | source | beam.Map(text) | sink
close_all()
"""


def test_stream_killed_in_the_middle_loses_nothing_when_it_is_relaunched(tmp_path):
    (tmp_path / "in").mkdir()

    def drop(numbers):
        for number in numbers:
            path = tmp_path / "in" / f".{number}"
            path.write_bytes(b"".join(b"%d\n" % line for line in range(number, number + 100)))
            path.rename(tmp_path / "in" / f"{number}")

    drop(range(0, 10_000, 100))
    command = [sys.executable, "-c", STREAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: (tmp_path / "journal").exists())
        process.kill()
    drop(range(10_000, 11_000, 100))
    journal = (tmp_path / "journal").read_text()
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: len((tmp_path / "journal").read_text().split()) == 110)
        (tmp_path / "stop").touch()
    assert process.returncode == 0
    written = list(map(int, text_of(tmp_path / "out").split()))
    assert set(written) == set(range(11_000))
    assert len(written) <= 11_000 + 100 * (100 - len(journal.split()))
    assert hidden_files(tmp_path / "out") == []


def fail_on_bad(chunk):
    if chunk == b"bad\n":
        raise ValueError("boom")
    return chunk


@pytest.mark.parametrize("sink", [AppendLines, WriteObjects])
def test_failing_bundle_leaves_nothing(sink, tmp_path, gcs, bucket):
    prefix = f"{tmp_path if sink is AppendLines else bucket}/out"
    with pytest.raises(Exception, match="boom"), beam.Pipeline(FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create([b"a\n", b"bad\n"], reshuffle=False)
            | beam.Map(fail_on_bad)
            | sink(prefix, ".jsonl")
        )
    close_all()
    assert final_files(tmp_path) == {}
    assert gcs.list(bucket) == []


def test_bundle_writes_one_object_to_a_bucket_and_an_empty_one_none(gcs, bucket):
    for chunks in ([b"1\n2\n", b"3\n"], [b"4\n"], []):
        write(WriteObjects(f"{bucket}/results/out", ".jsonl"), chunks)
    objects = gcs.list(bucket)
    assert sorted(map(gcs.download, objects)) == [b"1\n2\n3\n", b"4\n"]
    assert all(name.startswith(f"{bucket}/results/out-20") for name in objects)


def test_object_that_cannot_be_written_fails_the_pipeline(forbidden_gcs):
    with pytest.raises(Exception, match="403"):
        write(WriteObjects("gs://forbidden/out", ".jsonl"), [b"1\n"])


def test_compressed_local_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"found suffix '\.jsonl\.gz'"):
        AppendLines(str(tmp_path / "out"), ".jsonl.gz")


@pytest.fixture(params=["local", "gcs"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")


def test_service_writes_every_line_once_and_leaves_no_temporary_file(folder, gcs, tmp_path):
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create([b"%d\n" % number for number in range(1000)])
            | WriteGroups(f"{folder}/out", ".jsonl")
        )
    if folder == str(tmp_path):
        texts = final_files(tmp_path).values()
    else:
        texts = [gcs.download(name) for name in gcs.list(folder)]
    assert len(texts) == 4  # 256 chunks a file
    assert sorted(map(int, b"".join(texts).split())) == list(range(1000))


@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=60), most_bytes=st.integers(1, 900)
)
def test_no_group_has_more_bytes_than_it_may_and_none_loses_a_line(lengths, most_bytes):
    chunks = [b"%d %s\n" % (n, b"x" * length) for n, length in enumerate(lengths)]
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline(FnApiRunner()) as pipeline:
            made = pipeline | beam.Create(chunks, reshuffle=False)
            _ = made | WriteGroups(f"{folder}/out", ".jsonl", NEVER, most_bytes)
        texts = list(final_files(folder).values())
    assert sorted(b"".join(texts).splitlines(keepends=True)) == sorted(chunks)
    for text in texts:
        assert len(text) <= most_bytes or text.count(b"\n") == 1
    if sum(map(len, chunks)) <= most_bytes:
        assert len(texts) == 1, "and nothing is split for nothing"


def test_service_rolls_by_time_and_takes_late_lines(tmp_path):
    stream = (
        test_stream.TestStream()
        .add_elements([b"1\n", b"2\n"])
        # The runner's clock starts at 0, that of the step that groups is the real one.
        .advance_processing_time(int(time.time()) + 1000)
        .advance_watermark_to(1000)
        .add_elements([window.TimestampedValue(b"late\n", 5)])
        .advance_processing_time(1000)
        .advance_watermark_to_infinity()
    )
    with beam.Pipeline(BundleBasedDirectRunner(), PipelineOptions(["--streaming"])) as pipeline:
        _ = pipeline | stream | WriteGroups(f"{tmp_path}/out", ".jsonl")
    assert sorted(final_files(tmp_path).values()) == [b"1\n2\n", b"late\n"]
