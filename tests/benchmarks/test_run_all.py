"""`make bench`: all benchmarks in turn."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks import run_all

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(monkeypatch, tmp_path):
    """Two benchmarks, of which the first fails."""

    package = tmp_path / "benchmarks"
    package.mkdir()
    (package / "bad.py").write_text("raise SystemExit(3)")
    (package / "good.py").write_text("import sys; print(sys.argv[1:])")
    monkeypatch.chdir(tmp_path)  # where `python -m` looks first
    both = (run_all.Benchmark("bad", 5), run_all.Benchmark("good", 7, has_records=True))
    monkeypatch.setattr(run_all, "BENCHMARKS", both)
    monkeypatch.setattr("sys.argv", ["run_all.py", "--quick", "--docs=here.md", "--folder=there"])
    return run_all


def test_document_and_help_say_how_long_all_benchmarks_take():
    minutes = round(sum(each.secs for each in run_all.BENCHMARKS) / 60)
    for path in ("Makefile", "docs/benchmarks.md", "benchmarks/run_all.py"):
        assert f"about {minutes} minutes" in (ROOT / path).read_text(), path
    for each in run_all.BENCHMARKS:
        assert importlib.util.find_spec(f"benchmarks.{each.name}")


def test_a_benchmark_that_fails_does_not_stop_the_others(scripts, capfd):
    assert scripts.main() == 1
    said = capfd.readouterr()
    assert "['--docs=here.md', '--folder=there', '--quick']" in said.out
    assert said.err == "failed: bad\n"
    rows = [line for line in said.out.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["bad", "good", "all"]
    assert "0:12" in rows[-1]
