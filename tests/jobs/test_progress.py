"""What is shown while something runs."""

import io

from pipeline.batch.release import ModelVersion, Release
from pipeline.jobs.progress import BatchStatus, Progress, StreamStatus, percentiles
from pipeline.report.statistics.served import EARLIER, MOST_RELEASES
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeClock, FakeLoader
from pipeline.transforms.tally import Tally


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_status_rewrites_its_line_on_a_terminal_and_messages_start_a_new_one():
    shown = Terminal()
    progress = Progress(shown)
    progress.status("1 record")
    progress.status("2 records")
    progress.say("done")
    lines = shown.getvalue().split("\n")
    assert lines[0].count("\r") == 2
    assert "done" in lines[1]


def test_log_gets_whole_lines_only():
    shown = io.StringIO()
    Progress(shown).status("1 record")
    assert shown.getvalue().endswith("1 record\n")
    assert "\r" not in shown.getvalue()


def test_batch_status_tells_the_rate_since_the_last_one():
    tally, clock = Tally(), FakeClock()
    status = BatchStatus(tally, clock)
    assert status() == "running"
    tally.add(1000, 3, 1)
    clock.advance(2.0)
    assert status() == "1,003 records, 502/s, 3 dead letters"
    clock.advance(1.0)
    assert "0/s" in status()


def test_stream_status_tells_latency_release_and_last_swap():
    tally, clock = Tally(), FakeClock()
    manager = ReleaseManager(FakeLoader(lambda version: None))
    status = StreamStatus(tally, manager, clock)
    clock.advance(1.0)
    assert status() == "0/s, 0 records, 0 dead letters, no release yet"
    manager.ensure(Release(1, (ModelVersion("a", "a/1", "1"),)))
    tally.add(100, 0, 1, [float(n) for n in range(1, 101)])
    clock.advance(1.0)
    assert status() == (
        "100/s, 100 records, latency p50 51 ms p99 100 ms, 0 dead letters, release 1"
    )
    manager.ensure(Release(2, (ModelVersion("a", "a/2", "2"),)))
    status()
    clock.advance(3.0)
    assert status().endswith("release 2, swapped 3 s ago")


def test_tally_counts_predictions_by_generation_and_hands_out_latencies_once():
    tally = Tally()
    tally.add(5, 1, 1, [1.0])
    tally.add(2, 0, 2, [2.0])
    count = tally.read()
    assert (count.predictions, count.dead_letters, count.records) == (7, 1, 8)
    assert count.by_generation == {1: 5, 2: 2}
    assert count.recent_latencies_ms == (1.0, 2.0)
    assert tally.read().recent_latencies_ms == ()


def test_tally_knows_the_last_generations_each_and_refusals_in_any_order():
    tally = Tally()
    tally.refuse(1)
    for generation in range(1, MOST_RELEASES + 6):
        tally.add(2, 0, generation)
    tally.refuse(3)
    tally.add(4, 0, 2)
    counted = tally.read().by_generation
    assert sorted(counted) == [EARLIER, *range(6, MOST_RELEASES + 6)]
    assert counted[EARLIER] == 2 * 5 - 2 + 4
    assert sum(counted.values()) == tally.read().predictions


def test_percentiles_are_values_that_occurred():
    assert percentiles([3.0, 1.0, 2.0], (0.0, 0.5, 0.99, 1.0)) == [1.0, 2.0, 3.0, 3.0]
