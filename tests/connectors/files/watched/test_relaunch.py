"""A stream that is launched again goes on behind the files in its journal."""

from functools import partial

import pytest

from pipeline.errors import PathError
from pipeline.formats.format import Reading
from tests.connectors.files.watched.streams import OLD, numbered, place, reading
from tests.support.waiting import wait_until


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
