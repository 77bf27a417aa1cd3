"""What benchmarks make of their figures: table, row of the summary, picture. None is measured."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.batch import __main__ as batch
from benchmarks.batch import memory, report, slow_storage, start_up
from benchmarks.batch.contenders import CONTENDERS
from benchmarks.batch.results import Result, Timed
from benchmarks.batch.stages import __main__ as stages
from benchmarks.batch.stages.run import MODELS, PARSE
from benchmarks.batch.table.workload import Table
from benchmarks.batch.vectors.workload import Vectors
from benchmarks.calls import merging, sharing
from benchmarks.calls.merging import Measured, WrongError, compare
from benchmarks.gpu import __main__ as gpu
from benchmarks.stream import __main__ as streaming
from benchmarks.stream import bundles
from benchmarks.stream.bundles import SIZES, Found
from benchmarks.stream.run import Step
from benchmarks.support import measure
from benchmarks.support.measure import Run
from benchmarks.swap import report as swap_report
from benchmarks.swap.loads import LOADS
from benchmarks.swap.run import Swap

LINE = "a machine"


@pytest.fixture
def scripted_runs(monkeypatch):
    """Every process takes 2 s and 10 us a record, and holds 100 MiB and 10 bytes a record.

    Its output grows evenly.
    """

    def run(command, output_folder=None):
        text = " ".join(map(str, command))
        records = int(re.search(r"records-(\d+)-", text)[1])
        secs = 2 + 1e-5 * records
        growth = tuple((2 + (secs - 2) * step / 20, records * step) for step in range(21))
        return measure.Run(secs, 100 * 2**20 + 10 * records, growth)

    monkeypatch.setattr(measure, "run", run)


@pytest.fixture
def call(monkeypatch, document, workload_folder):
    """Calls the `main` of a benchmark that gets records, with options."""

    def call(module, *options):
        places = [f"--docs={document}", f"--folder={workload_folder}"]
        monkeypatch.setattr("sys.argv", [module.__file__, *options, *places])
        return module.main()

    return call


def section(document, name):
    """The figures of a section: its rows as lists of cells, and the whole text."""
    begin, end = f"<!-- {name}: figures -->", f"<!-- {name}: end of figures -->"
    text = document.read_text().partition(begin)[2].partition(end)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines], text


def summary(document, question):
    """The cells behind a question."""
    [line] = [x for x in document.read_text().splitlines() if x.startswith(f"| {question} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def has_picture(document, name):
    drawn = document.with_name(f"{name}.png")
    return f"]({name}.png)" in section(document, name)[1] and drawn.stat().st_size > 5_000


def test_start_up_is_compared_with_the_bare_loop(scripted_runs, call, document):
    assert call(start_up, "--rounds=2") == 0
    rows, text = section(document, "start-up")
    assert [row[0] for row in rows[2:]] == [
        "bare loop",
        "this project, one worker",
        "stock RunInference, chain",
    ]
    assert "`python -m benchmarks.batch.start_up --rounds=2`" in text  # and no place of files
    assert summary(document, "Start-up to the first prediction") == [
        "1.0 x a bare Python loop (2.0 s)",
        "stock RunInference chain 1.0 x",
    ]


def test_memory_is_compared_at_ten_times_the_records(scripted_runs, call, document):
    assert call(memory, "--records=1000") == 0
    rows, _ = section(document, "memory")
    assert rows[2:] == [["1,000", "100", "1.00"], ["10,000", "100", "1.00"]]
    assert summary(document, "Memory at ten times the records")[0] == "1.00 x (100 MiB at 1,000)"


@pytest.mark.parametrize("module", [memory, start_up])
def test_what_a_run_that_was_cut_off_left_is_in_nobodys_way(
    scripted_runs, call, monkeypatch, workload_folder, module
):
    name = module.__name__.rpartition(".")[2]
    left = workload_folder / "vectors" / "out" / name.replace("_", "-") / "predictions-00000.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text("{}")

    def run(command):
        assert not left.exists()
        return measure.Run(1.0, 2**20)

    monkeypatch.setattr(measure, "run", run)
    assert call(module, "--quick") == 0


def test_stages_and_rest_add_up_to_the_total(scripted_runs, call, document):
    few = ["--records=3000", "--pass_records=1000", "--rounds=1", "--passes=1"]
    assert call(stages, *few) == 0
    rows, _ = section(document, "stages")
    found = {row[0]: row[1:] for row in rows[2:]}
    names = ["read", "decode", "assign release", "combine", "encode", "write"]
    names += ["model regression", "model onnx", "model torch"]
    for us in (0, 2):  # the columns of JSON lines and Parquet
        spent = [float(found[stage][us]) for stage in names]
        assert min(spent) > 0
        assert sum(spent) == pytest.approx(float(found["sum of the stages"][us]), abs=0.1)
        total = float(found["sum of the stages"][us]) + float(found["Beam and the rest"][us])
        assert total == pytest.approx(10, abs=0.1)
        assert float(found["total: main.py"][us]) == 10
    for form in ("JSON lines", "Parquet"):
        assert summary(document, f"Time of a record, {form}, one worker")[0].startswith("10.0 us: ")
    assert has_picture(document, "stages")


def test_stages_of_tables_have_a_place_of_their_own(document, tmp_path):
    times = {"decode": 2.0, "prepare": 1.5, "model trees": 4.0, "model linear": 1.0}
    parts = {PARSE: 1.0, MODELS: 4.5}
    found = {form: stages.Explained(10.0, times, parts) for form in Table.forms}
    stages.publish(document, Table(tmp_path), found, LINE)
    rows, _ = section(document, "table-stages")
    behind = dict(zip([row[0] for row in rows], [row[0] for row in rows[1:]], strict=False))
    assert behind["model linear"] == f"- of that: {MODELS}"  # behind the last model
    for form in ("JSON lines", "CSV", "Parquet"):
        assert summary(document, f"Time of a row of a table, {form}, one worker")[0] == (
            "10.0 us: decode 2.0, prepare 1.5, models 5.0, Beam and the rest 1.5"
        )
    assert has_picture(document, "table-stages")


def test_stages_of_tables_run(scripted_runs, call):
    assert call(stages, "--quick", "--workload=table", "--formats", "csv") == 0


def test_slow_storage_is_read_both_ways_in_each_format(call, document):
    few = ["--records=300", "--rounds=1", "--latency_ms=0", "--mb_per_sec=1000"]
    assert call(slow_storage, *few) == 0
    rows, _ = section(document, "slow-storage")
    assert [row[0] for row in rows[2:]] == ["JSON lines", "CSV", "Parquet"]
    for _, plain, ahead, ratio in rows[2:]:
        exact = float(ahead.replace(",", "")) / float(plain.replace(",", ""))
        assert float(ratio.removesuffix(" x")) == pytest.approx(exact, rel=0.02)


def test_slow_file_has_the_bytes_of_the_file_and_waits_for_each_fetch(tmp_path, monkeypatch):
    content = np.random.default_rng(1).bytes(50_000)
    (tmp_path / "x").write_bytes(content)
    waits = []
    monkeypatch.setattr(slow_storage.time, "sleep", waits.append)
    monkeypatch.setattr(slow_storage, "FETCHED_BYTES", 20_000)
    with slow_storage.SlowFile(str(tmp_path / "x"), 0.5, 1e5) as file:
        assert file.read() == content
        assert waits == pytest.approx([0.7, 0.7, 0.6])
        file.seek(-10, 2)
        assert file.read(4) == content[-10:-6]
        assert len(waits) == 3  # the last fetch is still there
        file.seek(0)
        assert file.read(3) == content[:3]
        assert len(waits) == 4


def scripted_results(contenders):
    """Each contender is slower than the one before. One has no rate."""
    results = []
    for number, contender in enumerate(contenders, start=1):
        result = Result(contender, contender.records)
        rate = None if contender.key == "ours-2-parquet" else 1e6 / number
        result.add(Run(9.0, 2**20), Timed(rate, 1.0))
        results.append(result)
    return results


def test_batch_shows_all_contenders_and_says_where_runs_do_not_tell(document, tmp_path):
    results = scripted_results(CONTENDERS["vectors"])
    batch.publish(document, Vectors(tmp_path), results, report.tables(results), LINE)
    rows, _ = section(document, "batch")
    assert len(rows) == len(results) + 4
    ours, *_, two = (row for row in rows if row[0].startswith("this project"))
    assert ours[0] == "this project, one worker"
    assert ours[2:4] == ["1,000,000", "500,000"]
    assert two[3] == "-"
    assert summary(document, "Batch, JSON lines, one worker")[0] == (
        "50% of a bare Python loop (500,000 records/s)"
    )
    assert "Ray Data map_batches" in summary(document, "Batch, JSON lines, one worker")[1]
    two_workers = summary(document, "Batch, JSON lines, two workers")[0]
    assert two_workers.endswith("; 233% of two such loops at once")
    assert summary(document, "Batch, Parquet, two workers") == ["the runs do not tell", ""]
    assert has_picture(document, "batch")


def test_batch_of_tables_has_a_place_of_its_own(document, tmp_path):
    results = scripted_results(CONTENDERS["table"])
    batch.publish(document, Table(tmp_path), results, report.tables(results), LINE)
    rows, _ = section(document, "table")
    assert len(rows) == len(results) + 6
    for form, of_one, of_two in (("JSON lines", 33, 167), ("CSV", 75, 125)):
        answer, compared = summary(document, f"Table, {form}, two workers")
        assert answer.startswith(f"{of_one}% of a bare Python loop")
        assert answer.endswith(f"; {of_two}% of two such loops at once")
        assert compared.endswith(" x Spark mapInArrow")
    assert summary(document, "Table, Parquet, two workers") == ["the runs do not tell", ""]
    assert has_picture(document, "table")


def test_swap_shows_each_load_with_both_contenders(document):
    swaps = {
        (load.title, name): [
            Swap(3.0, 3.1, (0.001,) * 99, (0.002, longest), (longest,) * 4, 100, 1000.0)
        ]
        for load in LOADS.values()
        for name, longest in ((swap_report.OURS, 0.004), (swap_report.STOCK, 3.0))
    }
    tensorflow = LOADS["savedmodel"].title
    shared = Swap(1.0, 1.1, (0.001,) * 99, (0.003,), (0.003,) * 4, 100, 1000.0)
    swaps[tensorflow, swap_report.SHARED] = [shared]
    swap_report.publish(document, swaps, LINE)
    rows, _ = section(document, "swap")
    assert [row[:2] for row in rows[2:]] == [list(names) for names in swaps]
    assert [row[7] for row in rows[2:]] == ["4.0", "3000"] * len(LOADS) + ["3.0"]
    ours, stock = summary(document, "Swap: longest pause of a stream")
    assert ours.startswith("slow storage: 4.0 ms; ")
    assert ours.endswith(f"{tensorflow}: 4.0 ms (`model_sharing: vm`: 3.0 ms)")
    assert stock == "stock RunInference: 3000 ms; 3000 ms; 3000 ms"
    assert has_picture(document, "swap")


def test_stream_shows_the_highest_rate_that_was_sustained(document):
    steps = [
        Step(1000, 1000, 1000, 50, 0, 0.05, 0.1, 0.5, 0.1, 1.5),
        Step(2000, 2000, 1500, 5000, 500, 1.0, 3.0, 0.5, 0.1, 2.0),
    ]
    figures = streaming.figures_of(steps, [1000], steps[:1])
    streaming.publish(document, figures, LINE, steps, steps[:1])
    rows, text = section(document, "streaming")
    assert [row[-1] for row in rows[2:]] == ["sustained", "falls behind"]
    assert "Sustained: **1,000 records/s**" in text
    assert summary(document, "Stream, Pub/Sub to Pub/Sub") == [
        "1,000 records/s sustained",
        "at half of that: p50 50 ms, p99 100 ms from end to end",
    ]
    assert has_picture(document, "streaming")


def test_merging_is_compared_within_each_round(document):
    plain, merged = Measured(100.0, 1.0, 4.0), Measured(200.0, 0.5, 2.0)
    # In a slow round both are slow: the ratio stays.
    slow = [Measured(m.calls_per_sec / 10, m.p50_ms, m.p99_ms * 10) for m in (plain, merged)]
    compared = [compare(n, [(plain, merged), tuple(slow)]) for n in merging.THREADS]
    merging.publish(document, compared, LINE)
    rows, _ = section(document, "merging")
    assert [row[0] for row in rows[2:]] == ["1", "2", "4", "8", "12"]
    assert {(row[3], row[8]) for row in rows[2:]} == {("2.00", "0.50")}
    question = "Small calls of 12 threads, merged"
    assert summary(document, question)[0] == "2.0 x the calls/s of unmerged ones, p99 0.50 x"
    assert has_picture(document, "merging")


def test_small_bundles_are_compared_put_together_and_not(document):
    found = {
        (size, together): Found(50.0 * size * (1 + 3 * together), 2.0 + 90 * together, 9.0)
        for size in SIZES
        for together in (False, True)
    }
    bundles.publish(document, found, LINE)
    rows, _text = section(document, "bundles")
    assert [row[0] for row in rows[2:]] == ["1", "8", "64"]
    assert rows[2] == ["1", "50", "200", "4.00", "2", "92", "9", "9"]
    question = "Bundles of one message, put together for 100 ms"
    assert summary(document, question)[0] == "4.0 x the records for a second of processor time"


def test_large_networks_are_compared_with_as_many_threads_of_the_bare_framework(document):
    # In a slow round all are slow: the ratio stays.
    rates = dict(
        zip(gpu.WAYS, ([100.0, 10.0], [90.0, 9.0], [200.0, 20.0], [300.0, 30.0]), strict=True)
    )
    contests = [gpu.Contest("vision", "torch", precision, rates) for precision in ("full", "half")]
    small = [compare(12, [(Measured(100.0, 1.0, 4.0), Measured(200.0, 0.5, 2.0))])]
    gpu.publish(document, contests, gpu.figures_of(contests, {"vision": small}, 64), LINE)
    rows, text = section(document, "gpu")
    assert rows[2] == ["vision", "torch", "full", "55", "50", "90%", "110", "165", "150%"]
    assert rows[-1][:5] == ["vision", "12", "100", "200", "2.00"]
    assert "Calls of 64 rows:" in text
    assert summary(document, "GPU, large networks in full precision, of the bare framework") == [
        "one caller: vision torch 90%",
        "four callers: vision torch 150%",
    ]


def test_shared_models_are_compared_with_a_call_in_the_same_process(document):
    times = {sharing.DIRECT: 1e-4, sharing.SHARED: 3e-4, sharing.BEAM: 5e-4}
    found = {(n, v): [s] * 3 for n in sharing.ROWS for v, s in times.items()}
    sharing.publish(document, found, LINE)
    rows, _ = section(document, "sharing")
    assert [row[-1] for row in rows[2:]] == ["1.0", "3.0", "5.0"] * len(sharing.ROWS)
    assert summary(document, "Call of a model in another process, 1,024 rows") == [
        "200 us more than in the same process",
        "Beam's MultiProcessShared alone 400 us",
    ]


def test_merging_benchmark_refuses_rows_of_others():
    class Servable:
        def __init__(self, error):
            self.error = error

        def predict(self, inputs):
            return {"proba": inputs["x"][:, :10] + self.error}

    assert merging.measure(Servable(0), Servable(0), threads=2, secs=0.05).calls_per_sec > 0
    with pytest.raises(WrongError, match=r"threads \[0, 1\] got rows that are not their own"):
        merging.measure(Servable(np.float32(0.1)), Servable(0), threads=2, secs=0.05)
