"""A folder on runners that finalize a bundle before it is safe, and keep its instance so long."""

import pickle
import threading

from pipeline.connectors.files.watched.source import ReadFolder
from pipeline.formats.format import Reading
from pipeline.runner.endless import ProgressTracker, SourceProgress
from tests.connectors.files.watched.test_source import numbered, place
from tests.support.bundles import Bundle
from tests.support.waiting import wait_until

_stopped = threading.Event()


def is_stopped():
    return _stopped.is_set()


class Runner:
    """Runs the bundles of one source as Beam's worker does on Flink.

    An instance whose bundle asked to be finalized has no other bundle until it is.
    """

    def __init__(self, folder, journal):
        _stopped.clear()
        source = ReadFolder(
            str(folder), Reading(5), 0.001, is_stopped, str(journal), confirms_late=True
        )
        self._pickled = pickle.dumps(source)
        self._free, self.held = [], []
        self.progress = source.initial_restriction(b"")
        self.lines = []

    def bundle(self):
        instance = self._free.pop() if self._free else self._new()
        bundle, tracker = Bundle(), ProgressTracker(self.progress)
        tracker.defer_remainder = lambda _: None
        for block in instance.process(b"", bundle, tracker, None):
            self.lines += block.value.payloads
        self.progress = tracker.current_restriction()
        if bundle.callbacks:
            self.held.append((bundle, instance))
        else:
            self._free.append(instance)

    def checkpoint(self):
        """Ends; it may have begun before all bundles that it finalizes."""
        held, self.held = self.held, []
        for bundle, instance in held:
            bundle.finalize()
            self._free.append(instance)

    def go_back(self, progress, lines):
        """After a failure, which takes the instances that are held."""
        for _, instance in self.held:
            instance.teardown()
        self.held = []
        self.progress, self.lines = progress, lines

    def close(self):
        for instance in self._free + [instance for _, instance in self.held]:
            instance.teardown()

    def _new(self):
        instance = pickle.loads(self._pickled)
        instance.setup()
        return instance


def readers():
    return sum(thread.name == "folder-reader" for thread in threading.enumerate())


def files_in(journal):
    return len(journal.read_text().split()) if journal.exists() else 0


def run_until(runner, lines):
    def enough():
        runner.bundle()
        return len(runner.lines) >= lines

    wait_until(enough)


def test_one_reader_goes_through_a_file_between_two_checkpoints(tmp_path):
    (tmp_path / "in").mkdir()
    place(tmp_path / "in" / "a.jsonl", numbered(2000))
    before, runner = readers(), Runner(tmp_path / "in", tmp_path / "journal")
    run_until(runner, 2000)
    assert runner.lines == numbered(2000).splitlines()
    assert readers() - before <= 1
    for _ in range(2):
        runner.checkpoint()
        runner.bundle()
    runner.checkpoint()
    runner.bundle()  # nothing new, and nothing to confirm: no instance is held for it
    assert not runner.held
    runner.close()


def test_source_ends_once_all_that_it_read_is_in_the_journal(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        place(tmp_path / "in" / f"{name}.jsonl", numbered(20))
    journal = tmp_path / "journal"
    runner = Runner(tmp_path / "in", journal)
    run_until(runner, 40)
    _stopped.set()
    for _ in range(3):
        runner.bundle()
        assert not runner.progress.ended
    runner.checkpoint()
    runner.bundle()
    assert not runner.progress.ended
    assert not files_in(journal)
    runner.checkpoint()
    runner.bundle()  # never finalized
    assert runner.progress.ended
    assert files_in(journal) == 2
    runner.close()


def test_journal_has_nothing_that_is_to_be_read_again_after_a_failure(tmp_path):
    (tmp_path / "in").mkdir()
    place(tmp_path / "in" / "a.jsonl", numbered(20))
    journal = tmp_path / "journal"
    runner = Runner(tmp_path / "in", journal)
    run_until(runner, 20)
    runner.checkpoint()  # it began before these bundles
    runner.go_back(SourceProgress(), [])
    _stopped.set()
    for _ in range(3):  # end at once, with nothing read
        runner.bundle()
        runner.checkpoint()
    assert runner.progress.ended
    assert not files_in(journal)
    runner.close()


def test_what_was_read_before_a_failure_is_in_the_journal_after_it(tmp_path):
    (tmp_path / "in").mkdir()
    place(tmp_path / "in" / "a.jsonl", numbered(20))
    journal = tmp_path / "journal"
    runner = Runner(tmp_path / "in", journal)
    run_until(runner, 20)
    runner.bundle()
    at = runner.progress
    place(tmp_path / "in" / "b.jsonl", numbered(20))
    run_until(runner, 40)
    runner.go_back(at, runner.lines[:20])
    run_until(runner, 40)
    for _ in range(2):
        runner.checkpoint()
        runner.bundle()
    runner.checkpoint()
    wait_until(lambda: files_in(journal) == 2)
    runner.close()
