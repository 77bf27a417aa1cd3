"""`make bench`: all benchmarks in turn."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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


def test_document_and_help_say_how_long_all_benchmarks_take(benchmark_modules):
    import run_all

    minutes = round(sum(each.secs for each in run_all.BENCHMARKS) / 60)
    for path in ("Makefile", "docs/benchmarks.md", "benchmarks/run_all.py"):
        assert f"about {minutes} minutes" in (ROOT / path).read_text(), path
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
