"""The batch benchmark runs, and its contenders do the same work. No time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from benchmarks.batch import __main__ as batch
from benchmarks.batch import agreement, contenders
from benchmarks.batch.results import Result, Timed, by_growth, by_jobs
from benchmarks.batch.table import bare_loop as table_loop
from benchmarks.batch.table.workload import Table
from benchmarks.batch.vectors.workload import Vectors
from benchmarks.support import measure
from benchmarks.support.measure import Run

ROOT = Path(__file__).parents[3]
RECORDS = 2_500  # several batches of each contender
# One of each kind and format. The others differ in a number of workers, or are peers.
CONTENDERS = (
    *("bare-jsonl", "bare-parquet", "ours-jsonl", "ours-parquet"),
    *("bare-2-jsonl", "stock-chain"),
)

pytestmark = pytest.mark.timeout(900)  # many processes, each with its start-up


@pytest.fixture(scope="module")
def finished(workload_folder):
    """The folder of a smoke run, and what it printed."""
    options = ["--quick", f"--records={RECORDS}", f"--folder={workload_folder}", "--keep_outputs"]
    command = [sys.executable, "-m", "benchmarks.batch", *options, "--contenders", *CONTENDERS]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return workload_folder / "vectors", result.stdout


@pytest.fixture(scope="module")
def predictions(finished):
    """For each contender what it predicted: id -> object with label and proba."""
    found = {}
    for contender in CONTENDERS:
        folder = finished[0] / "out" / f"{contender}-{RECORDS}"
        lines = [line for path in folder.rglob("*") if path.is_file() for line in read(path)]
        assert len(lines) == RECORDS, contender
        found[contender] = {int(line["id"]): line.get("predictions", line) for line in lines}
    return found


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path, columns=["id", "label", "proba"]).to_pylist()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("contender", CONTENDERS[1:])
def test_contender_predicts_what_the_bare_loop_predicts(predictions, contender):
    bare, other = predictions["bare-jsonl"], predictions[contender]
    assert set(other) == set(bare) == set(range(RECORDS))
    assert {i: p["label"] for i, p in other.items()} == {i: p["label"] for i, p in bare.items()}
    for i, prediction in bare.items():
        assert np.allclose(other[i]["proba"], prediction["proba"], rtol=0, atol=1e-5), i


def test_models_do_not_all_say_the_same(predictions):
    labels = [prediction["label"] for prediction in predictions["bare-jsonl"].values()]
    assert len(set(labels)) > 5


def test_tables_have_a_row_for_each_contender(finished):
    rows = [line for line in finished[1].splitlines() if line.startswith("|")]
    assert len(rows) == 2 * 2 + len(CONTENDERS)


def test_records_of_a_smaller_run_are_the_first_of_a_larger_one(tmp_path):
    files = Vectors(tmp_path)
    few, many = (
        [
            json.loads(line)
            for path in sorted(files.records(n, "jsonl").iterdir())
            for line in path.open()
        ]
        for n in (3, 50_002)
    )
    assert few == many[:3]
    assert [record["id"] for record in many] == list(range(50_002))


def test_formats_hold_the_same_records(tmp_path):
    files = Vectors(tmp_path)
    [lines], [table] = (files.records(20, form).iterdir() for form in ("jsonl", "parquet"))
    records = [json.loads(line) for line in lines.open()]
    for record, row in zip(records, pq.read_table(table).to_pylist(), strict=True):
        assert record["id"] == row["id"]
        assert np.array_equal(np.float32(record["x"]), row["x"])


def test_formats_hold_the_same_rows_of_a_table(tmp_path):
    files = Table(tmp_path)
    [lines], [cells], [table] = (files.records(20, form).iterdir() for form in Table.forms)
    rows = pq.read_table(table).to_pylist()
    assert [json.loads(line) for line in lines.open()] == rows
    assert csv.read_csv(cells).to_pylist() == rows
    [fewer] = files.records(3, "parquet").iterdir()
    assert pq.read_table(fewer).to_pylist() == rows[:3]


def test_rows_of_a_table_get_the_same_answers_from_this_project_and_all_loops(tmp_path):
    records, files = 300, Table.prepare(tmp_path)
    ours = tmp_path / "ours"
    measure.run(contenders.ours(form="csv")(files, records, ours / "predictions"))
    expected = agreement.read(ours, records)
    assert 0.1 < expected.labels.mean() < 0.9
    predict = table_loop.load(files.models)
    for form, loop in table_loop.LOOPS.items():
        out = tmp_path / form
        out.mkdir()
        loop(sorted(files.records(records, form).iterdir()), out / "predictions", predict)
        agreement.check(form, agreement.read(out, records), expected)


def test_contender_of_another_workload_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["", "--workload=table", "--contenders", "ray-jsonl"])
    with pytest.raises(SystemExit):
        batch.main()
    assert "ray-jsonl: not with --workload=table" in capsys.readouterr().err


def test_labels_may_differ_only_where_two_classes_are_equally_likely():
    expected = agreement.Answers(np.array([1, 0]), np.array([[0.499999, 0.500001], [0.6, 0.4]]))
    tie, other = np.array([0, 0]), np.array([1, 1])
    agreement.check("tie", agreement.Answers(tie, expected.probabilities), expected)
    with pytest.raises(agreement.DisagreementError, match=r"1 of 2 predictions differ; .* id 1:"):
        agreement.check("other", agreement.Answers(other, expected.probabilities), expected)


def test_rate_is_that_at_which_the_output_grows_without_its_ends():
    # 200 records/s of 5 bytes each, in steps, which are seen twice; a slow begin and a slow end.
    steps = [(4.0 + step, 500 + 1000 * step) for step in range(5)]
    growth = ((1.0, 0), (2.0, 0), *steps, (9.0, 4500), (10.0, 5000))
    seen_twice = [(secs + late, size) for secs, size in growth for late in (0.0, 0.5)]
    timed = by_growth(Run(10.0, 0, tuple(seen_twice)), records=1000)
    assert timed.rate == pytest.approx(200)
    assert timed.start_up_secs == pytest.approx(5.0)


def test_output_that_comes_at_once_tells_no_rate():
    assert by_growth(Run(4.0, 0, ((2.0, 0), (3.0, 250), (4.0, 500))), 100).rate is None
    assert by_growth(Run(4.0, 0, ((2.0, 0), (4.0, 0))), 100).rate is None
    assert by_growth(Run(4.0, 0), 100).rate is None


def test_rate_of_several_jobs_is_the_slope_between_the_last_two():
    # 4 s before the first job, which takes 2 s more than the second; 0.5 s in each; 200 records/s.
    timed = by_jobs(Run(13.5, 0), [3.0, 1.0, 5.5], small=100, records=1000)
    assert timed.rate == pytest.approx(200)
    assert timed.start_up_secs == pytest.approx(6.5)  # as of a run with the first job alone
    assert by_jobs(Run(9.0, 0), [3.0, 2.0, 1.0], small=100, records=1000).rate is None


def test_figures_of_a_contender_are_medians_of_its_runs():
    result = Result(contenders.CONTENDERS["vectors"][0], 100)
    assert result.rate is None
    for rate, peak_bytes in ((30.0, 1), (None, 5), (10.0, 9), (20.0, 3), (25.0, 7)):
        result.add(Run(1.0, peak_bytes), Timed(rate, rate))
    assert result.rates == [10.0, 20.0, 25.0, 30.0]
    assert (result.rate, result.start_up_secs, result.peak_bytes) == (22.5, 22.5, 5)


def test_output_is_watched_while_it_grows(tmp_path, monkeypatch):
    seen = []

    def look(folder):
        """Lets the process go on when what it wrote was seen for the first time."""
        seen.append(bytes_in(folder))
        if seen[-1] and not any(seen[:-1]):
            (tmp_path / "go-on").write_text("")
        return seen[-1]

    bytes_in = measure.bytes_in
    monkeypatch.setattr(measure, "bytes_in", look)
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "go-on")  # whoever reads it waits for the one who writes
    lines = [
        "import pathlib, signal, sys",
        "signal.alarm(60)",  # ends it when nobody looks
        "out, go_on = map(pathlib.Path, sys.argv[1:])",
        "(out / 'folder').mkdir()",
        "(out / 'folder' / 'part').write_text('x' * 10)",
        "go_on.read_text()",
        "(out / 'other').write_text('x' * 30)",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(tmp_path / "out"), f"{tmp_path}/go-on"]
    run = measure.run(command, tmp_path / "out")
    assert [size for _, size in run.growth] == seen
    assert sorted(set(seen) - {0}) == [10, 40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "found 9 predictions of 9 ids"),
        (lambda lines: [*lines[:-1], lines[0]], "found 10 predictions of 9 ids"),
        (lambda lines: [{**line, "label": 1} for line in lines], "10 of 10 predictions differ"),
        (lambda lines: [*lines[:-1], {**lines[-1], "proba": [0.2] * 10}], "the first, id 9"),
        (lambda lines: [*lines[:-1], {"id": 9, "error_type": "empty"}], "no prediction"),
    ],
)
def test_contender_with_other_answers_is_refused(tmp_path, change, message):
    lines = [{"id": i, "label": 0, "proba": [0.19] + [0.09] * 9} for i in range(10)]
    for name, content in (("bare", lines), ("other", change(lines))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jsonl").write_text("\n".join(map(json.dumps, content)))
    expected = agreement.read(tmp_path / "bare", 10)
    with pytest.raises(agreement.DisagreementError, match=message):
        agreement.check("other", agreement.read(tmp_path / "other", 10), expected)
