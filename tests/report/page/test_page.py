"""The page: every section has something to say, and records cannot do more than be read."""

from datetime import timedelta

import numpy as np
import pytest

from pipeline.batch.batch import Batch, Reject
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import RunStatistics
from pipeline.report.statistics.watched_columns import watched_columns
from tests.support.pages import Page
from tests.support.report_samples import (
    GRAPH,
    HOSTILE,
    RELEASES,
    STARTED,
    STARTED_US,
    batch,
    page,
    run,
)


def test_page_says_what_the_statistics_say():
    dead = [Reject(b"{", None, "decode", "not_json", "cut short")] * 2
    statistics = run(
        batch(30, RELEASES[0], 1.0, dead=dead), *(batch(40, RELEASES[0], t) for t in (2, 3, 4))
    )
    found = Page(page(statistics))
    assert found.facts["Records"] == "152"
    assert found.facts["Predictions"] == "150"
    assert found.facts["Dead letters"] == "2"
    assert found.facts["Throughput"] == "38/s"
    assert found.tables["Dead letters by reason"] == [["not_json", "decode", "—", "2", "1.3 %"]]
    labels = statistics.columns["label"].values
    assert [row[:2] for row in found.tables["Values of label"]] == [
        [str(int(value)), str(count)]
        for value, count in zip(labels.borders()[0], labels.counts, strict=True)
    ]
    (same,) = {statistics.agreements["left_p", "right_p"]}
    heat = found.tables["Agreement of left_p, right_p, p"]
    assert heat[0][2] == f"{100 * same.equal / same.rows:.1f} %".replace(".0", "")
    assert found.tables["Model versions"][0][:5] == ["left", "1", "onnx", "cuda:0", "3.0 MiB"]
    assert "cut short" in found.text
    assert "svg" in found.elements


def test_stream_shows_latency_swaps_and_proposals():
    rejected = ReleaseEvent(
        "rejected", STARTED + timedelta(seconds=3), Candidate("c", "watch m/*", 1), None, "broken"
    )
    statistics = run(
        *(batch(40, RELEASES[0], t, streaming=True) for t in (1, 2)),
        *(batch(40, RELEASES[1], t, streaming=True) for t in (4, 5)),
        run_statistics.from_event(rejected),
    )
    source = page(statistics, streaming=True)
    found = Page(source)
    assert found.facts["Latency p50"] in ("20 ms", "21 ms")
    assert [row[0] for row in found.tables["Releases that served"]] == ["1", "2"]
    assert found.tables["Proposed releases"][0][-1] == "broken"
    for label in ("latency p99", "generation 2", "rejected"):
        assert label in found.text
    assert "counts each time" in found.text


def test_batch_page_has_no_word_on_repeated_delivery():
    assert "counts each time" not in Page(page(run(batch(5, RELEASES[0], 1)))).text


def test_hostile_record_is_text_and_nothing_else():
    dead = [
        Reject(HOSTILE.encode(), HOSTILE, "inference", "model_error", HOSTILE, "left", RELEASES[0])
    ]
    event = ReleaseEvent(
        "rejected", STARTED, Candidate(HOSTILE, HOSTILE, 1, {HOSTILE: HOSTILE}), None, HOSTILE
    )
    statistics = run(
        batch(20, RELEASES[0], 1, dead=dead, words=(HOSTILE, "fine")),
        run_statistics.from_event(event),
    )
    source = page(statistics, streaming=True)
    found = Page(source)
    assert "script" not in found.elements
    assert "img" not in found.elements
    assert not {name for name, _ in found.attributes if name.startswith("on")}
    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in found.text
    assert "\u202e" not in source
    assert "\x00" not in source
    assert source.index("Content-Security-Policy") < source.index("<style>")


def test_run_without_records_has_a_line_in_every_section():
    found = Page(page(RunStatistics()))
    assert "no records" in found.text
    assert found.text.count("None") >= 5


@pytest.mark.parametrize(
    "value",
    [np.zeros(3), np.full(3, np.nan), np.array([1e300, -1e300, 0.0]), np.array([5e-324] * 3)],
)
def test_odd_numbers_make_a_page_too(value):
    made = Batch(
        ("a", "b", "c"),
        (b"",) * 3,
        {
            "label": np.arange(3),
            "p": np.stack([value] * 2, axis=1),
            "left_p": value,
            "right_p": np.array([1, 2**62, -5]),
            "left_word": np.array(["", "x" * 500, "y"], object),
            "right_word": np.array([True, False, True]),
        },
        release=RELEASES[0],
    )
    statistics = run(run_statistics.from_batch(made, watched_columns(GRAPH), STARTED_US))
    Page(page(statistics))


def test_page_refers_to_nothing_outside_itself():
    found = Page(page(run(batch(5, RELEASES[0], 1))))
    links = [value for name, value in found.attributes if name in ("href", "src", "xlink:href")]
    assert links
    assert all(link.startswith("#") for link in links)


def test_headings_tables_and_drawings_are_named_for_those_who_cannot_see_them():
    found = Page(page(run(*(batch(40, RELEASES[0], t) for t in (1, 2, 3)))))
    assert found.elements.count("h1") == 1
    assert found.elements.count("table") == len(found.tables) == found.elements.count("caption")
    places = [i for i, name in enumerate(found.elements) if name == "svg"]
    assert places
    assert all(found.elements[i + 1] == "title" for i in places)
    assert ("scope", "col") in found.attributes
    assert ("scope", "row") in found.attributes
