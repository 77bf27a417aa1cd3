"""The images example as a user runs it, and the same pictures as records of a stream."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import main
from pipeline.launch import files as launch_files
from pipeline.launch import job as launch
from pipeline.launch import options

IMAGES = Path(__file__).parents[2] / "examples" / "images"
BROKEN = {"broken-cut-short", "broken-no-image", "broken-empty"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder that make.py wrote."""
    folder = tmp_path_factory.mktemp("images")
    script = [sys.executable, str(IMAGES / "make.py"), "--output_dir", str(folder)]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def run(made, out, *more, spec="ensemble.yaml", pattern="pictures/*"):
    """Predictions and dead letters by the name of the file, or by id."""
    assert (
        main.main(
            [
                f"--ensemble_spec={made / spec}",
                f"--input_file_pattern={made / pattern}",
                f"--output_path={out}/p",
                *more,
            ]
        )
        == 0
    )
    letters = list(out.glob("p-dead-letters-*"))
    predictions = set(out.glob("p-*.jsonl")) - set(letters)
    return lines(predictions), lines(letters)


def lines(files):
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    by_name = {Path(line["id"]).stem: line for line in found}
    assert len(by_name) == len(found)
    return by_name


def check(predictions, letters):
    assert len(predictions) == 30
    right = [
        line["predictions"]["label"][0] == name.partition("-")[2]
        for name, line in predictions.items()
    ]
    assert sum(right) >= 27
    assert letters.keys() == BROKEN
    assert {(line["stage"], line["error_type"]) for line in letters.values()} == {
        ("prepare", "bad_image")
    }


def test_spec_fits_into_twenty_lines():
    assert len((IMAGES / "ensemble.yaml").read_text().splitlines()) <= 20


def test_folder_of_pictures_becomes_labels_and_broken_files_dead_letters(made, tmp_path):
    predictions, letters = run(made, tmp_path)
    check(predictions, letters)
    best = predictions["00-circle"]
    assert best["id"] == f"{made}/pictures/00-circle.jpg"
    assert best["predictions"]["confidence"][0] > best["predictions"]["confidence"][1]
    for name, letter in letters.items():
        assert json.loads(letter["payload"]) == {"path": f"{made}/pictures/{name}.jpg"}
    reasons = {name: letter["error_message"] for name, letter in letters.items()}
    assert "truncated" in reasons["broken-cut-short"].lower()
    assert "begin with b'not a pi'" in reasons["broken-no-image"]
    assert "found no bytes" in reasons["broken-empty"]


def test_pictures_dropped_into_a_watched_folder_are_records_too(made, tmp_path):
    predictions, letters = run(
        made, tmp_path, "--streaming=true", "--stop_after_records=33", "--stop_after_secs=120"
    )
    check(predictions, letters)
    assert all("event_time" in line for line in predictions.values())


def test_pictures_as_base64_in_json_go_through_the_same_steps(made, tmp_path):
    spec = yaml.safe_load((made / "ensemble.yaml").read_text())
    spec["record"] = {"id": "name", "fields": {"file": {"dtype": "bytes"}}}
    (made / "json.yaml").write_text(yaml.safe_dump(spec))
    records = [
        {"name": file.stem, "file": base64.b64encode(file.read_bytes()).decode()}
        for file in (made / "pictures").iterdir()
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    check(*run(made, tmp_path / "out", spec="json.yaml", pattern=tmp_path / "in.jsonl"))


@pytest.mark.parametrize(
    "other",
    [
        "--input_subscription=projects/project/subscriptions/pictures",
        "--input_table=project:dataset.pictures",
    ],
)
def test_image_records_come_from_files_only(made, other):
    given = [f"--ensemble_spec={made}/ensemble.yaml", f"--output_path={made}/out", other]
    settings = options.parse([*given, "--temp_location=gs://bucket/temp"]).settings
    spec = launch.read_graph(f"{made}/ensemble.yaml").spec
    (problem,) = launch_files.problems(settings.inputs, "jsonl", spec)
    assert other.partition("=")[0] in problem
    assert "expected --input_file_pattern" in problem
