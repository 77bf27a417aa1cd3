"""The locale that ONNX Runtime asks for, as the Dockerfile makes it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import models

ROOT = Path(__file__).parents[2]
RUN_GRAPH = """
import sys
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
print(ascii(session.run(None, {"x": ["\u00c9T\u00c9", "\u0416"]})[0].tolist()))
"""


def test_graph_that_normalises_text_runs_with_the_link_that_the_dockerfile_makes(tmp_path):
    text = (ROOT / "Dockerfile").read_text()
    base = text.partition(" AS base\n")[2].partition("\nFROM ")[0]
    (link,) = re.findall(r"^RUN (ln -s C\.utf8 )/usr/lib/locale/(\S+)$", base, re.MULTILINE)
    graph = models.save_onnx(
        tmp_path / "model.onnx",
        [("StringNormalizer", ["x"], ["y"], {"case_change_action": "LOWER"})],
        {"x": ("string", [None])},
        {"y": ("string", [None])},
    )
    locales = tmp_path / "locales"
    locales.mkdir()
    (locales / "C.utf8").symlink_to("/usr/lib/locale/C.utf8")
    subprocess.run(f"{link[0]}{locales}/{link[1]}", shell=True, check=True)
    done = subprocess.run(
        [sys.executable, "-c", RUN_GRAPH, graph],
        env={**os.environ, "LOCPATH": str(locales)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == ascii(["\u00e9t\u00e9", "\u0436"]), done.stderr
