"""The captions example as a user runs it: BLIP writes, CLIP ranks."""

import json
import runpy
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import main

MAKE = Path(__file__).parents[2] / "examples" / "captions" / "make.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder that make.py wrote."""
    folder = tmp_path_factory.mktemp("captions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["make.py", "--output_dir", str(folder)])
        runpy.run_path(str(MAKE), run_name="__main__")
    return folder


def run(made, out, *more):
    spec, pictures = made / "ensemble.yaml", made / "pictures"
    flags = [f"--ensemble_spec={spec}", f"--input_file_pattern={pictures}/*"]
    assert main.main([*flags, f"--output_path={out}/p", *more]) == 0


def test_pictures_become_captions_and_the_best_of_them(made, tmp_path):
    run(made, tmp_path)
    files = set(tmp_path.glob("p-*.jsonl"))
    dead = set(tmp_path.glob("p-dead-letters-*"))
    found = {}
    for line in (line for file in files - dead for line in file.read_text().splitlines()):
        prediction = json.loads(line)
        found[Path(prediction["id"]).name] = prediction["predictions"]
        assert prediction["release"]["models"] == {"blip": "1", "clip": "1"}
    assert found.keys() == {f"{number}.png" for number in range(6)}
    for predictions in found.values():
        captions, scores = predictions["captions"], predictions["scores"]
        assert len(captions) == len(scores) == 3
        assert sum(scores) == pytest.approx(1, abs=1e-5)
        assert predictions["caption"] == captions[scores.index(max(scores))]
    (letter,) = (json.loads(line) for file in dead for line in file.read_text().splitlines())
    assert (letter["stage"], letter["error_type"]) == ("prepare", "bad_image")
    run(made, tmp_path / "tables", "--output_format=parquet")
    tables = [pq.read_table(file) for file in (tmp_path / "tables").glob("p-0*.parquet")]
    rows = {Path(row["id"]).name: row for table in tables for row in table.to_pylist()}
    assert {name: row["captions"] for name, row in rows.items()} == {
        name: predictions["captions"] for name, predictions in found.items()
    }
