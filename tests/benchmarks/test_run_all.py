"""`make bench`: all benchmarks in turn, within its time."""

import pytest


@pytest.fixture
def scripts(benchmark_modules, monkeypatch, tmp_path):
    """Two benchmarks, of which the first fails."""
    import run_all

    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    (tmp_path / "good.py").write_text("import sys; print(sys.argv[1:])")
    monkeypatch.setattr(run_all, "_HERE", tmp_path)
    both = (run_all.Benchmark("bad", 5), run_all.Benchmark("good", 7, has_records=True))
    monkeypatch.setattr(run_all, "BENCHMARKS", both)
    monkeypatch.setattr("sys.argv", ["run_all.py", "--quick", "--docs=here.md", "--folder=there"])
    return run_all


def test_all_benchmarks_are_expected_to_take_less_than_a_quarter_of_an_hour(benchmark_modules):
    import run_all

    assert sum(each.secs for each in run_all.BENCHMARKS) < run_all.BUDGET_SECS == 900
    for each in run_all.BENCHMARKS:
        assert (run_all._HERE / f"{each.name}.py").exists()


def test_a_benchmark_that_fails_does_not_stop_the_others(scripts, capfd):
    assert scripts.main() == 1
    said = capfd.readouterr()
    assert "['--docs=here.md', '--folder=there', '--quick']" in said.out
    assert said.err == "failed: bad\n"
    rows = [line for line in said.out.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["bad", "good", "all"]
    assert "0:12" in rows[-1]
