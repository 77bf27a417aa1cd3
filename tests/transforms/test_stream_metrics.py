"""What a stream counts, under the names that dashboards hold on to."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import apache_beam as beam
import numpy as np
from apache_beam.metrics import MetricsFilter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.metrics import METRICS, NAMESPACE
from pipeline.batch.release import ModelVersion, Release
from pipeline.formats.line_encoder import dead_letter
from pipeline.jobs.stream import log_event
from pipeline.releases.candidate import Outcome, ReleaseEvent
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager
from pipeline.testing import FakeClock, FakeLoader, FakeServable
from pipeline.transforms.count_refused import CountRefused
from pipeline.transforms.follow_releases import AssignActiveRelease
from pipeline.transforms.tally import process_tally

ONE, TWO = (Release(n, (ModelVersion("m", f"m/{n}", f"m{n}"),)) for n in (1, 2))
CLOCK = FakeClock()
LOADER = FakeLoader(lambda version: FakeServable(lambda inputs: {}))


def manager():
    """Serves release 1, and has known of release 2 for three seconds."""
    made = ReleaseManager(LOADER, clock=CLOCK)
    made.ensure(ONE)
    LOADER.gate.clear()
    made.aspire(TWO)
    CLOCK.advance(3.0)
    return made


def counted(build):
    """Name -> value of the metrics of a pipeline; a distribution as (count, sum, min, max)."""
    pipeline = beam.Pipeline(FnApiRunner())
    build(pipeline)
    found = pipeline.run().metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    counters = {c.key.metric.name: c.result for c in found["counters"]}
    distributions = {
        d.key.metric.name: (d.result.count, d.result.sum, d.result.min, d.result.max)
        for d in found["distributions"]
    }
    return counters | distributions


def test_release_events_are_counted_by_what_became_of_them():
    outcomes = [*get_args(Outcome), "rejected"]
    events = [ReleaseEvent(outcome, datetime.now(UTC)) for outcome in outcomes]
    found = counted(lambda p: p | beam.Create(events) | beam.Map(log_event))
    assert found == {
        f"releases/{outcome}": outcomes.count(outcome) for outcome in get_args(Outcome)
    }


def test_prediction_that_a_sink_refused_counts_as_a_dead_letter():
    """Encode counted it as a prediction."""
    reject = Reject(b"{}", "r1", "write", "not_inserted", "no")
    line = dead_letter(reject, datetime.now(UTC), ONE.as_json())
    count = beam.ParDo(CountRefused("job", reported=True)).with_outputs()
    process_tally("job").add(5, 1, 1)
    found = counted(lambda p: p | beam.Create([line, line]) | count)
    assert found == {"predictions": -2, "dead_letters": 2, "dead_letters/write/not_inserted": 2}
    tally = process_tally("job").read()
    assert (tally.predictions, tally.dead_letters, tally.by_generation) == (3, 3, {1: 3})


def test_batches_say_how_long_their_process_has_known_of_a_newer_release():
    batch = Batch(ids=(1,), payloads=(b"",), columns={"x": np.zeros((1, 1))})
    handle = ManagerHandle("lag", manager)
    try:
        step = beam.ParDo(AssignActiveRelease(handle, ONE))
        found = counted(lambda p: p | beam.Create([batch, batch]) | step)
    finally:
        LOADER.gate.set()
        handle.close()
    assert found == {"release_lag_ms": (2, 6000, 3000, 3000)}


def test_every_name_that_is_counted_under_is_documented():
    """In the source, every metric is named by a constant of metric_names, or begins with one."""
    documented = {re.sub(r"/[A-Z].*", "", metric.name) for metric in METRICS}
    named = set()
    for path in (Path(__file__).parents[2] / "pipeline").rglob("*.py"):
        for call in re.findall(r"Metrics\.\w+\(\s*([^)]*)\)", path.read_text()):
            namespace, _, name = call.partition(",")
            if call == "_RUN, _STARTED":  # tells that a runner has metrics at all; none for people
                continue
            assert namespace == "NAMESPACE", call
            named.add(name.strip())
    from pipeline.batch import metrics

    for name in named:
        text = re.sub(r"\{([A-Z_]+)\}", lambda m: getattr(metrics, m[1]), name)
        if name.isupper():
            text = getattr(metrics, name)
        text = re.sub(r"/\{.*", "", text.removeprefix("f").strip('"'))
        assert text in documented, name
    assert len(named) >= len(METRICS)
