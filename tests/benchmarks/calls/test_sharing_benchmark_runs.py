"""The sharing benchmark runs; it compares the predictions itself. No time is asserted."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_sharing_shows_all_variants_and_leaves_the_document():
    document = ROOT / "docs" / "benchmarks.md"
    before = document.read_text()
    command = [sys.executable, "-m", "benchmarks.calls.sharing", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("|")][2:]
    variants = ["in the same process", "`model_sharing: vm`", "arrays through Beam"]
    assert [name.strip() for _, name in rows] == 3 * variants
    assert [int(count) for count, _ in rows] == [1, 1, 1, 64, 64, 64, 1024, 1024, 1024]
    assert document.read_text() == before
