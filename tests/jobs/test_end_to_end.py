"""The main job as a user runs it: main.py over files, with real models, good and bad input."""

import base64
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

import main
from tests.support import models, traces
from tests.support.jobs import expected, record

ROOT = Path(__file__).parents[2]


def test_predictions_hold_what_the_models_compute_and_who_computed_it(job, capsys):
    rows = np.random.default_rng(0).normal(size=(40, 4)).round(3)
    job.write_input(*(record(i, row) for i, row in enumerate(rows[:25])))
    job.write_input(*(record(i + 25, row) for i, row in enumerate(rows[25:])), name="b.jsonl.gz")
    assert job.run() == 0
    found = {line["id"]: line for line in job.predictions()}
    assert len(found) == 40
    for i, row in enumerate(rows):
        line = found[f"r{i}"]
        y = (expected(row, 1.0) + expected(row, 3.0)) / 2
        np.testing.assert_allclose(line["predictions"]["y"], y, rtol=1e-4)
        assert line["predictions"]["top"] == int(y.argmax())
        assert line["release"]["generation"] == 1
        assert line["release"]["models"] == {"linear": "1", "net": "2"}
    assert job.dead_letters() == []
    assert "40 records" in capsys.readouterr().out


BAD_LINES = {
    b"": "empty",
    b"not json": "not_json",
    b"[1, 2]": "not_an_object",
    b'{"id": "\xff"}': "not_utf8",
    b'{"id": "u1"}': "missing_field",
    b'{"id": "u2", "x": "text"}': "wrong_type",
    b'{"id": "u3", "x": [1, 2, 3]}': "wrong_shape",
    b'{"id": "u4", "x": [1, 2, 3, 1e39]}': "not_finite",
}


def test_bad_lines_become_dead_letters_and_all_others_are_predicted(job, capsys):
    lines = [record(i) for i in range(20)]
    for position, bad in enumerate(BAD_LINES):
        lines.insert(3 * position, bad)
    job.write_input(*lines)
    assert job.run() == 0
    assert sorted(p["id"] for p in job.predictions()) == sorted(f"r{i}" for i in range(20))
    found = {}
    for letter in job.dead_letters():
        payload = letter["payload"].encode()
        if letter["payload_encoding"] == "base64":
            payload = base64.b64decode(payload)
        found[payload] = letter["error_type"]
        assert letter["stage"] == "decode"
        assert letter["release"] is None
    assert found == BAD_LINES
    shown = capsys.readouterr().out
    assert "20 predictions" in shown
    assert "8 dead letters" in shown
    assert "decode: wrong_shape" in shown


def test_every_record_ends_as_one_prediction_or_one_dead_letter(job):
    rng = np.random.default_rng(5)
    lines, ids = [], []
    for i in range(3000):
        kind = rng.choice(["good", "good", "good", "short", "broken"])
        ids.append(f"r{i}")
        if kind == "good":
            lines.append(record(i))
        elif kind == "short":
            lines.append(record(i, [1.0]))
        else:
            lines.append(json.dumps(record(i)).encode()[:-1])
    job.write_input(*lines)
    assert job.run("--max_batch_size=64") == 0
    seen = Counter(p["id"] for p in job.predictions())
    seen.update(
        json.loads(f"{d['payload']}}}" if not d["payload"].endswith("}") else d["payload"])["id"]
        for d in job.dead_letters()
    )
    assert seen == Counter(ids)


def raising_network(folder, message):
    """A TorchScript network that raises for a row with a negative first value."""
    import torch

    class Raising(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bool((x[:, 0] < 0).any()):
                raise RuntimeError("negative first value")
            return x * 2

    folder.mkdir(parents=True)
    torch.jit.script(Raising()).save(str(folder / "model.pt"))
    return {
        "name": "picky",
        "framework": "torch",
        "uri": str(folder / "model.pt"),
        "inputs": {"x": "x"},
        "outputs": {"output_0": "picky_y"},
    }


def test_row_that_makes_a_model_raise_is_isolated(job):
    job.spec["models"].append(raising_network(job.folder / "picky/1", "negative"))
    job.write_input(*(record(i, [-1.0 if i == 7 else 1.0, 0, 0, 0]) for i in range(50)))
    assert job.run() == 0
    (letter,) = job.dead_letters()
    assert (letter["id"], letter["stage"], letter["model"]) == ("r7", "inference", "picky")
    assert letter["error_type"] == "model_error"
    assert "negative first value" in letter["error_message"]
    assert letter["release"]["models"]["picky"] == "1"
    assert len(job.predictions()) == 49


def test_records_that_all_make_a_model_raise_are_dead_letters_and_no_fault_of_it(job):
    job.spec["models"].append(raising_network(job.folder / "picky/1", "negative"))
    job.write_input(*(record(i, [-1, 0, 0, 0]) for i in range(50)))
    assert job.run() == 1
    assert job.predictions() == []
    assert {d["error_type"] for d in job.dead_letters()} == {"model_error"}
    assert len(job.dead_letters()) == 50


def test_job_fails_after_max_model_faults_with_the_models_name(job, capsys):
    picky = raising_network(job.folder / "picky/1", "negative")
    job.spec["models"].append({**picky, "warm_up": False})  # so it has never worked
    job.write_input(*(record(i, [-1, 0, 0, 0]) for i in range(64)))
    assert job.run("--max_model_faults=3", "--max_batch_size=8") == 1
    shown = capsys.readouterr().err
    assert "model 'picky' failed on every row of 3 batches in a row" in shown
    assert "Traceback" not in shown
    assert job.predictions() == [], "a failed run leaves no finished file"


def test_failure_in_a_worker_process_is_told_in_one_line(job, capsys):
    picky = raising_network(job.folder / "picky/1", "negative")
    job.spec["models"].append({**picky, "warm_up": False})  # so it has never worked
    job.write_input(*(record(i, [-1, 0, 0, 0]) for i in range(64)))
    processes = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert job.run("--max_model_faults=2", "--max_batch_size=8", *processes) == 1
    shown = capsys.readouterr().err.splitlines()
    assert shown[-1].startswith("The run failed: model 'picky' failed on every row of 2 batches")


def test_prediction_that_is_not_finite_becomes_a_dead_letter(job):
    job.spec["combine"].append(
        {"column": "huge", "op": "product", "of": ["y", "y", "y", "y", "y", "y", "y", "y"]}
    )
    job.spec["output"] = ["huge"]
    job.write_input(record(0), record(1, [3e38, 3e38, 3e38, 3e38]))
    assert job.run() == 0
    assert [p["id"] for p in job.predictions()] == ["r0"]
    (letter,) = job.dead_letters()
    assert (letter["stage"], letter["error_type"]) == ("encode", "not_finite_output")
    assert "'huge'" in letter["error_message"]


def test_empty_input_file_is_a_success_and_said_so(job, capsys):
    job.write_input()
    assert job.run() == 0
    assert job.predictions() == []
    assert "No records: the input files are empty" in capsys.readouterr().out


def test_damaged_compressed_file_costs_only_its_rest(job):
    job.write_input(*(record(i) for i in range(3000)), name="a.jsonl.gz")
    whole = (job.input / "a.jsonl.gz").read_bytes()
    (job.input / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    job.write_input(record("b"), name="b.jsonl")
    assert job.run() == 0
    (letter,) = job.dead_letters()
    assert (letter["stage"], letter["error_type"]) == ("read", "unreadable")
    assert "a.jsonl.gz cannot be read to its end" in letter["error_message"]
    assert "rb" in {p["id"] for p in job.predictions()}


def test_two_worker_processes_give_the_same_predictions(job):
    for part in range(4):
        job.write_input(*(record(100 * part + i) for i in range(100)), name=f"{part}.jsonl")
    assert job.run("--direct_num_workers=2", "--direct_running_mode=multi_processing") == 0
    assert sorted(p["id"] for p in job.predictions()) == sorted(f"r{i}" for i in range(400))


def test_second_run_refuses_to_mix_with_the_first_unless_told_to_overwrite(job, capsys):
    job.write_input(record(0))
    assert job.run() == 0
    assert job.run() == 2
    assert "--output_path: found 1 files of an earlier run" in capsys.readouterr().err
    assert job.run("--overwrite=true") == 0
    assert len(job.predictions()) == 1


def test_nothing_of_an_earlier_run_stays_beside_a_run_that_overwrites_it(job):
    job.write_input(record(0), b"broken")
    assert job.run(f"--report_path={job.folder}/out/r.html") == 0
    neighbour = job.folder / "out/p-2-00000-of-00001.jsonl"
    neighbour.write_text("of a job with the prefix out/p-2")
    job.write_input(record(0), record(1))
    elsewhere = f"--dead_letter_path={job.folder}/dead/letters"
    assert job.run("--output_format=parquet", elsewhere) == 2
    assert job.run("--output_format=parquet", elsewhere, "--overwrite=true") == 0
    assert {path.name for path in (job.folder / "out").iterdir()} == {
        *("p-00000-of-00001.parquet", "r.html", neighbour.name)
    }


@pytest.mark.parametrize("fails", ["model", "kill"])
def test_run_that_fails_in_the_middle_leaves_the_earlier_files(job, fails):
    job.write_input(record(0), b"broken")
    report = f"--report_path={job.folder}/out/r.html"
    assert job.run(report) == 0
    before = traces.everything(job.folder / "out")
    job.spec["models"][1] = {
        "name": "net",
        "framework": "python",
        "uri": f"tests.support.steps:{'Fails' if fails == 'model' else 'Kills'}",
        "inputs": {"x": "x"},
        "outputs": {"y": "net_y"},
        "warm_up": False,  # so it has never worked
    }
    job.write_input(*(record(i, [99.0] * 4) for i in range(50)))
    arguments = [*job.arguments(report), "--overwrite=true", "--max_model_faults=1"]
    command = [sys.executable, "main.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == (1 if fails == "model" else -signal.SIGKILL), done.stderr
    after = traces.everything(job.folder / "out")
    if fails == "kill":  # nobody is left who could remove what it wrote so far
        after = {name: text for name, text in after.items() if ".tmp-" not in name}
    assert after == before
    assert fails == "kill" or not list(job.folder.glob("out/*.tmp-*"))


def test_what_a_killed_run_left_is_neither_in_the_way_nor_touched(job):
    job.write_input(record(0))
    left = job.folder / "out/p.tmp-5f3a9c01b2d4/0123.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text("half a rec")
    assert job.run() == 0
    assert job.run("--overwrite=true") == 0
    assert left.read_text() == "half a rec"
    pattern, output = f"--input_file_pattern={job.folder}/out/**", f"--output_path={job.folder}/q"
    assert job.run(pattern, output, "--max_dead_letter_percent=100") == 1, "no prediction is right"
    assert "half a rec" not in "".join(path.read_text() for path in job.folder.glob("q-*"))


@pytest.mark.parametrize("prefix", ["out put/p é", "out/p{0}%20", "out/ünï code/p+(1)!"])
def test_prefix_may_have_any_characters_but_wildcards(job, prefix):
    job.write_input(record(0), b"broken")
    where = f"--output_path={job.folder}/{prefix}"
    for more in ([], ["--overwrite=true"]):
        assert job.run(where, *more) == 0
    assert sorted(str(path.relative_to(job.folder)) for path in job.folder.rglob("*-of-*")) == [
        f"{prefix}-00000-of-00001.jsonl",
        f"{prefix}-dead-letters-00000-of-00001.jsonl",
    ]
    assert job.run(where) == 2
    assert job.run(f"--output_path={job.folder}/{prefix}*") == 2


def test_batch_in_which_no_record_gets_a_prediction_fails_and_shows_why(job, capsys):
    job.write_input(b"broken", b"broken too")
    assert job.run() == 1
    shown = capsys.readouterr()
    assert "2 dead letters  " in shown.out
    assert "100 %" in shown.out
    assert shown.err.splitlines()[-1] == (
        "The run failed: no record got a prediction: all 2 are dead letters"
    )
    assert len(job.dead_letters()) == 2


@pytest.mark.parametrize(("most", "status"), [("33.4", 0), ("33.3", 1), ("0", 1)])
def test_share_of_dead_letters_has_a_limit(job, capsys, most, status):
    job.write_input(record(0), record(1), b"broken")
    assert job.run(f"--max_dead_letter_percent={most}") == status
    assert len(job.predictions()) == 2
    assert len(job.dead_letters()) == 1
    shown = capsys.readouterr()
    assert ", 33.3 %" in shown.out
    assert (
        f"1 of 3 records are dead letters, 33.3 %; --max_dead_letter_percent allows {most} %"
        in shown.err
    ) == bool(status)


def test_run_from_and_to_cloud_storage(job, gcs):
    bucket = gcs.new_bucket()
    for path in job.artifacts.rglob("*"):
        if path.is_file():
            gcs.upload(f"{bucket}/models/{path.relative_to(job.artifacts)}", path.read_bytes())
    job.spec["models"][0]["uri"] = "models/linear/1"
    job.spec["models"][1]["uri"] = "models/net/2"
    gcs.upload(f"{bucket}/ensemble.yaml", yaml.safe_dump(job.spec))
    gcs.upload(f"{bucket}/in/a.jsonl", json.dumps(record(1)) + "\n" + "broken\n")
    status = main.main(
        [
            f"--ensemble_spec={bucket}/ensemble.yaml",
            f"--input_file_pattern={bucket}/in/*",
            f"--output_path={bucket}/out/p",
            "--no_auth",
        ]
    )
    assert status == 0
    assert gcs.list(f"{bucket}/out") == [
        f"{bucket}/out/p-00000-of-00001.jsonl",
        f"{bucket}/out/p-dead-letters-00000-of-00001.jsonl",
    ]
    line = json.loads(gcs.download(f"{bucket}/out/p-00000-of-00001.jsonl"))
    assert line["id"] == "r1"
    assert line["release"]["models"] == {"linear": "1", "net": "2"}


def test_dry_run_describes_graph_and_signatures_and_runs_nothing(job, capsys):
    assert main.main([job.arguments()[0], "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "net     onnx, version 2     net_y float32[3]" in shown
    assert "in  x: float32[4]" in shown
    assert "top int64" in shown
    assert not (job.folder / "out").exists()


def test_ensemble_without_tensorflow_torch_and_frames_imports_none_of_their_packages(job):
    job.write_input(record(0))
    # Not skops: importing it makes scikit-learn walk its own packages, one of which imports torch.
    models.sklearn_joblib(job.folder / "joblib/1")
    job.spec["models"][0].update(uri=str(job.folder / "joblib/1"), trusted=True)
    code = (
        "import sys, main; status = main.main(sys.argv[1:]); "
        "print(sorted({'tensorflow', 'torch', 'keras', 'pandas'} & set(sys.modules))); "
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *job.arguments()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
