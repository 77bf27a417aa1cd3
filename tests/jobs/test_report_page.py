"""The report of a run as a user gets it: what is on the page is what is in the output files."""

from collections import Counter

import numpy as np
import pytest
from google.cloud.storage import Blob, Client

import main
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.errors import ArtifactError
from tests.jobs.test_streaming import Stream
from tests.support.jobs import record
from tests.support.pages import Page, number, read_page

HOSTILE = '{"id": "<script>alert(1)</script>", "x": "<img src=x onerror=alert(2)>"}'
LABELS = ("<b>bird</b>", "cat & dog", "fish")


@pytest.fixture
def mixed(job):
    """A job whose records are good, broken and hostile, and whose outputs are of every kind."""
    job.spec["combine"] += [
        {"column": "word", "op": "lookup", "of": "top", "labels": list(LABELS)},
        {"column": "high", "op": "threshold", "of": "best", "value": 1.0},
        {"column": "best", "op": "max", "of": "y"},
        {"column": "linear_top", "op": "argmax", "of": "linear_y"},
    ]
    job.spec["output"] = ["top", "y", "word", "high", "best", "linear_top"]
    rows = np.random.default_rng(3).normal(size=(300, 4)).round(3)
    lines = [record(i, row) for i, row in enumerate(rows)]
    lines[10:10] = [b"not json", b"", HOSTILE.encode(), b"\xff\xfe", b'{"id": "short", "x": [1]}']
    job.write_input(*lines[:150])
    job.write_input(*lines[150:], name="b.jsonl")
    job.page = job.folder / "report.html"
    return job


def table_of(page, column):
    return {row[0]: number(row[1]) for row in page.tables[f"Values of {column}"]}


def check_page_against_files(job):
    """Everything on the page that can be counted in the files."""
    page, predictions, letters = read_page(job.page), job.predictions(), job.dead_letters()
    assert number(page.facts["Records"]) == len(predictions) + len(letters)
    assert number(page.facts["Predictions"]) == len(predictions)
    assert number(page.facts["Dead letters"]) == len(letters)
    outputs = [line["predictions"] for line in predictions]
    for column in ("top", "linear_top", "word", "high"):
        assert table_of(page, column) == Counter(str(row[column]) for row in outputs)
    assert f"float, {len(outputs)} rows of 3 values" in page.text
    reasons = {(row[0], row[1]): number(row[3]) for row in page.tables["Dead letters by reason"]}
    assert reasons == Counter((letter["error_type"], letter["stage"]) for letter in letters)
    (release,) = page.tables["Releases that served"]
    named = predictions[0]["release"]
    assert release[:4] == [
        str(named["generation"]),
        named["id"],
        "linear 1, net 2",
        str(len(predictions)),
    ]
    same = sum(row["top"] == row["linear_top"] for row in outputs)
    (agreement,) = (rows for name, rows in page.tables.items() if name.startswith("Agreement"))
    percent = float(agreement[0][3].removesuffix("%"))
    assert percent == pytest.approx(100 * same / len(outputs), abs=0.051)
    models = {row[0]: row[1:4] for row in page.tables["Model versions"]}
    assert models == {"linear": ["1", "sklearn", "cpu"], "net": ["2", "onnx", "cpu"]}
    return page


def test_numbers_on_the_page_are_those_of_the_files(mixed, capsys):
    assert mixed.run(f"--report_path={mixed.page}", "--max_batch_size=64") == 0
    page = check_page_against_files(mixed)
    assert f"Report: {mixed.page}" in capsys.readouterr().out
    given = dict(page.tables["Parameters that were given"])
    assert given["max_batch_size"] == "64"
    assert given["report_path"] == str(mixed.page)
    assert dict(page.tables["Parameters with their defaults"])["device"] == "auto"


def test_page_of_two_worker_processes_is_of_all_records(mixed):
    processes = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert mixed.run(f"--report_path={mixed.page}", *processes) == 0
    page = check_page_against_files(mixed)
    given = dict(page.tables["Parameters that were given"])
    assert given["direct_running_mode"] == "multi_processing"


def test_hostile_records_are_shown_and_do_nothing(mixed):
    assert mixed.run(f"--report_path={mixed.page}") == 0
    page = read_page(mixed.page)
    assert "<script>alert(1)</script>" in page.text
    assert "<img src=x onerror=alert(2)>" in page.text
    assert "<b>bird</b>" in page.text
    assert not {"script", "img"} & set(page.elements)
    assert "\\xff\\xfe" in page.text


def test_examples_of_many_dead_letters_are_few_and_short(mixed):
    mixed.write_input(
        *([b'{"x": "' + b"A" * 2000 + b'"}'] * 3 + [b"nope %d" % i for i in range(2000)])
    )
    assert mixed.run(f"--report_path={mixed.page}") == 0
    page = read_page(mixed.page)
    assert page.elements.count("pre") <= 12
    assert "A" * 500 not in page.text
    assert "3 of 2,00" in page.text
    assert mixed.page.stat().st_size < 150_000


def test_page_without_records_says_so(mixed, capsys):
    mixed.write_input()
    mixed.write_input(name="b.jsonl")
    assert mixed.run(f"--report_path={mixed.page}") == 0
    assert "no records" in read_page(mixed.page).text
    assert f"Report: {mixed.page}" in capsys.readouterr().out


def test_page_in_a_bucket_opens_in_a_browser(mixed, gcs):
    path = f"{gcs.new_bucket()}/reports/today.html"
    assert mixed.run(f"--report_path={path}", "--no_auth") == 0
    page = Page(gcs.download(path).decode())
    assert page.facts["Records"] == "305"
    blob = Blob.from_uri(path, client=Client.create_anonymous_client())
    blob.reload()
    assert blob.content_type == "text/html"


def test_earlier_page_is_replaced_only_when_told(mixed, capsys):
    mixed.page.write_text("yesterday")
    assert mixed.run(f"--report_path={mixed.page}") == 2
    shown = capsys.readouterr().err
    assert f"--report_path: '{mixed.page}' exists, the report of an earlier run" in shown
    assert mixed.page.read_text() == "yesterday"
    assert mixed.run(f"--report_path={mixed.page}", "--overwrite=true") == 0
    assert read_page(mixed.page).facts["Records"] == "305"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("{folder}/report", "found '{folder}/report', expected a file name ending in .html"),
        ("{folder}/in/a.jsonl/r.html", "'{folder}/in/a.jsonl' is a file, expected a folder"),
        ("{folder}/*.html", "must not contain any of the characters"),
    ],
)
def test_place_that_cannot_hold_a_page_is_refused_at_launch(mixed, capsys, path, says):
    folder = str(mixed.folder)
    assert mixed.run(f"--report_path={path.format(folder=folder)}") == 2
    shown = capsys.readouterr().err
    assert "--report_path: " in shown
    assert says.format(folder=folder) in shown


def test_local_page_of_a_service_is_refused_at_launch(mixed, bucket, capsys):
    service = ["--runner=DataflowRunner", "--project=project", "--region=europe-west1"]
    image = "--sdk_container_image=registry/ensemble:1"
    arguments = [*service, image, f"--temp_location={bucket}/temp", "--no_auth"]
    assert mixed.run(f"--report_path={mixed.page}", *arguments) == 2
    shown = capsys.readouterr().err
    assert f"--report_path: found '{mixed.page}', expected a gs:// path" in shown


def test_page_that_cannot_be_written_in_the_end_does_not_cost_the_run(mixed, capsys, monkeypatch):
    def full(store, uri, text, mime_type):
        raise ArtifactError(f"{uri} cannot be written: no space left")

    monkeypatch.setattr(BeamArtifactStore, "write_text", full)
    assert mixed.run(f"--report_path={mixed.page}") == 0
    assert len(mixed.predictions()) == 300
    assert "Report: not written" in capsys.readouterr().out


def test_without_the_parameter_no_statistics_are_made(mixed, monkeypatch):
    def unexpected(*arguments):
        raise AssertionError("statistics without a page")

    monkeypatch.setattr("pipeline.report.statistics.run.from_batch", unexpected)
    assert mixed.run() == 0


# Streams -----------------------------------------------------------------------------------------


@pytest.fixture
def stream(tmp_path):
    return Stream(tmp_path)


def test_page_of_a_stream_tells_of_each_release_and_of_a_refused_one(stream):
    path = stream.folder / "out" / "run.html"
    stream.feed()
    with stream.running(f"--report_path={path}"):
        stream.wait_for(lambda: stream.serves(1))
        broken = stream.folder / ".making-2"
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"not a model")
        broken.rename(stream.folder / "net" / "2")
        stream.feed_until(lambda: stream.events("rejected"))
        stream.version(10, scale=3)
        stream.feed_until(lambda: stream.serves(2))
        stream.put("not json\n")
        stream.wait_for(lambda: stream.dead_letters())
        stream.wait_until_all_predicted()
        assert stream.stop() == 0
    page, predictions = read_page(path), stream.predictions()
    assert number(page.facts["Predictions"]) == len(predictions)
    assert number(page.facts["Dead letters"]) == 1
    served = Counter(
        (
            str(p["release"]["generation"]),
            p["release"]["id"],
            f"net {p['release']['models']['net']}",
        )
        for p in predictions
    )
    assert {tuple(row[:3]): number(row[3]) for row in page.tables["Releases that served"]} == served
    assert len(served) == 2
    assert {"Latency p50", "Latency p99"} <= set(page.facts)
    assert {row[1] for row in page.tables["Model versions"]} == {"1", "10"}
    outcomes = {row[1]: row[-1] for row in page.tables["Proposed releases"]}
    assert set(outcomes) == {"accepted", "rejected"}
    assert "model.onnx" in outcomes["rejected"]
    for label in ("generation 2", "rejected", "latency p99"):
        assert label in page.text
    assert f"report: {path}" in stream.log()


def test_page_of_a_running_stream_is_refreshed_and_replaces_an_earlier_one(stream, monkeypatch):
    path = stream.folder / "run.html"
    path.write_text("of an earlier run")
    written = []
    write = BeamArtifactStore.write_text

    def count(store, uri, text, *mime_type):
        write(store, uri, text, *mime_type)
        if uri != str(path):
            return  # what was read of the folder is written down too
        written.append(Page(text).facts["Records"])
        if len(written) == 1:
            stream.feed(7)  # what ends the run comes after the first page

    monkeypatch.setattr(BeamArtifactStore, "write_text", count)
    monkeypatch.setattr("pipeline.jobs.local_stream.REFRESH_SECS", 0.2)
    stream.feed(5)
    arguments = stream.arguments(f"--report_path={path}", "--stop_after_records=12")
    assert main.main(arguments) == 0
    assert len(written) > 1
    assert written[-1] == "12"
    assert read_page(path).facts["Records"] == "12"


def test_stream_does_without_a_page_that_cannot_be_written(stream, monkeypatch, capsys):
    def full(store, uri, text, mime_type):
        raise ArtifactError(f"{uri} cannot be written: no space left")

    monkeypatch.setattr(BeamArtifactStore, "write_text", full)
    stream.feed(5)
    arguments = stream.arguments(
        f"--report_path={stream.folder}/run.html", "--stop_after_records=5"
    )
    assert main.main(arguments) == 0
    assert "warning: --report_path: " in capsys.readouterr().err
    assert len(stream.predictions()) == 5
