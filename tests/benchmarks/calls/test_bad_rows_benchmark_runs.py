"""The benchmark of bad rows runs; it compares the predictions itself. No time is asserted."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_bad_rows_shows_all_shares_for_each_model_and_leaves_the_document():
    document = ROOT / "docs" / "benchmarks.md"
    before = document.read_text()
    command = [sys.executable, "-m", "benchmarks.calls.bad_rows", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1:4] for line in done.stdout.splitlines() if line.startswith("|")][2:]
    models = ["1 ms a call", "10 us a call", "10 us a row"]
    assert [name.strip() for name, _, _ in rows] == [name for name in models for _ in range(5)]
    assert [share.strip() for _, share, _ in rows] == 3 * ["0.0%", "0.1%", "1.0%", "5.0%", "30.0%"]
    assert {int(calls) for _, share, calls in rows if share.strip() == "0.0%"} == {2}
    assert document.read_text() == before
