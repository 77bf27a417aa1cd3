"""`check` is the dry run of main.py."""

import yaml

import main
from tests.support import models
from tests.support.named_models import KINDS, entry, table


def test_check_prints_what_a_dry_run_prints_and_runs_nothing(run, job, capsys):
    spec = job.arguments()[0].partition("=")[2]
    done = run("check", spec)
    assert done.status == 0
    assert main.main([f"--ensemble_spec={spec}", "--dry_run"]) == 0
    assert done.out == capsys.readouterr().out
    assert "net     onnx, version 2" in done.out
    assert not (job.folder / "out").exists()


def test_parameters_of_main_are_passed_on(run, job):
    spec = job.arguments()[0].partition("=")[2]
    done = run("check", spec, f"--graph_path={job.folder}/g.svg", "--max_batch_size=7")
    assert done.status == 0
    assert (job.folder / "g.svg").exists()


def test_misspelt_parameter_and_broken_model_are_refused(run, job):
    spec = job.arguments()[0].partition("=")[2]
    done = run("check", spec, "--devise=cpu")
    assert done.status == 2
    assert done.err.startswith("Would not start.\n  --devise is not a parameter; did you mean")
    job.spec["models"][1]["inputs"] = {"z": "x"}
    job.arguments()
    done = run("check", spec)
    assert done.status == 2
    assert "has no input 'z'; its inputs are x" in done.err


def test_version_that_a_job_would_start_with_is_said(run, tmp_path):
    for number in (1, 2, 3):
        models.onnx_file(tmp_path / "net" / str(number), scale=number)
    (tmp_path / "net" / "3" / "model.onnx").write_text("half an upload")
    model = {"name": "net", "framework": "onnx", "uri": "net/1", "watch": "net/*"}
    model |= {"inputs": {"x": "x"}, "outputs": {"y": "y"}}
    record = {"fields": {"x": {"dtype": "float32", "shape": [4]}}}
    spec = tmp_path / "ensemble.yaml"
    spec.write_text(yaml.safe_dump({"name": "e", "record": record, "models": [model]}))
    done = run("check", spec)
    assert done.status == 0
    assert "net/3 is passed over for 'net': model 'net': " in done.err
    assert f"starting at {tmp_path}/net/2, the newest that passes of 3 under " in done.err
    assert "net: onnx, version 2, " in done.out


def test_features_whose_order_cannot_be_compared_are_told(run, tmp_path):
    KINDS[1].build(tmp_path / "1", table(("age", "fare")))
    spec = tmp_path / "ensemble.yaml"
    record = {"fields": {"x": {"dtype": "float32", "shape": [2]}}}
    model = entry(KINDS[1], str(tmp_path / "1"), "x")
    spec.write_text(yaml.safe_dump({"name": "e", "record": record, "models": [model]}))
    done = run("check", spec)
    assert done.status == 0
    assert done.out.splitlines()[-2:] == [
        "Not compared",
        "  model 'clf' input 'X': its file names its features 'age', 'fare'; whether they come in "
        "this order cannot be told, as column 'x' of the record has no names for its values",
    ]
