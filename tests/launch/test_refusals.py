"""What is refused at launch: one message of a few lines, exit status 2, no traceback."""

import main
from tests.support import models
from tests.support.jobs import record


def refused(job, capsys, *more):
    status = job.run(*more)
    shown = capsys.readouterr().err
    assert status == 2
    assert "Traceback" not in shown
    assert not list(job.folder.glob("out/p-0*"))
    return shown[shown.index("Not started") :]


def test_unknown_framework_is_refused_with_file_line_and_suggestion(job, capsys):
    job.write_input(record(0))
    job.spec["models"][0]["framework"] = "sklern"
    shown = refused(job, capsys)
    assert "ensemble.yaml:" in shown
    assert "'sklern'" in shown
    assert "did you mean 'sklearn'?" in shown


def test_unreadable_yaml_is_refused_with_its_line(job, capsys):
    job.write_input(record(0))
    arguments = job.arguments()
    (job.folder / "ensemble.yaml").write_text("name: x\nmodels: [\n")
    assert main.main(arguments) == 2
    assert "ensemble.yaml:" in capsys.readouterr().err


def test_missing_ensemble_file_is_refused(job, capsys):
    job.write_input(record(0))
    arguments = job.arguments()
    (job.folder / "ensemble.yaml").unlink()
    assert main.main(arguments) == 2
    assert "ensemble.yaml' does not exist" in capsys.readouterr().err


def test_missing_model_file_is_refused(job, capsys):
    job.write_input(record(0))
    job.spec["models"][0]["uri"] = "nowhere/1"
    shown = refused(job, capsys)
    assert "model 'linear'" in shown
    assert "nowhere/1" in shown


def test_cycle_is_refused(job, capsys):
    job.write_input(record(0))
    first, second = job.spec["models"]
    first["inputs"], second["inputs"] = {"X": "net_y"}, {"x": "linear_y"}
    assert "models wait for each other" in refused(job, capsys)


def test_wrong_tensor_name_is_refused_with_those_that_exist(job, capsys):
    job.write_input(record(0))
    job.spec["models"][1]["outputs"] = {"probs": "net_y"}
    shown = refused(job, capsys)
    assert "'probs'" in shown
    assert "y" in shown


def test_incompatible_shape_is_refused_with_both_ends(job, capsys):
    job.write_input(record(0))
    job.spec["record"]["fields"]["x"]["shape"] = [5]
    shown = refused(job, capsys)
    assert (
        "model 'net' input 'x' takes float32[4], but column 'x' of the record is float32[5]"
        in shown
    )


def test_pickle_without_trust_is_refused(job, capsys):
    job.write_input(record(0))
    models.sklearn_joblib(job.folder / "pickled/1")
    job.spec["models"][0]["uri"] = "pickled/1"
    shown = refused(job, capsys)
    assert "model 'linear'" in shown
    assert "trusted: true" in shown


def test_model_that_would_write_a_file_is_refused_by_check_and_launch_and_writes_none(job, capsys):
    job.write_input(record(0))
    marker = job.folder / "marker"
    models.torchscript_that_writes(job.folder / "writes/1", marker)
    inputs, outputs = {"input": "x"}, {"output_0": "linear_y"}
    entry = {"name": "linear", "framework": "torch", "inputs": inputs, "outputs": outputs}
    job.spec["models"][0] = {**entry, "uri": "writes/1"}
    for more in ((), ("--dry_run",)):
        shown = refused(job, capsys, *more)
        assert "model 'linear'" in shown
        assert "calls save (line" in shown
        assert "trusted: true" in shown
    assert not marker.exists()


def test_input_that_matches_nothing_and_output_that_cannot_be_written_are_refused_together(
    job, capsys
):
    (job.folder / "out").write_text("a file where a folder should be")
    shown = refused(job, capsys)
    assert "--input_file_pattern: input" in shown
    assert "matches no file" in shown
    assert "--output_path: output" in shown


def test_unknown_runner_is_refused_with_those_that_exist(job, capsys):
    assert job.run("--runner=DirectRuner") == 2
    assert "--runner: found DirectRuner, expected one of DirectRunner, " in capsys.readouterr().err


def test_missing_bucket_is_refused_by_name(job, capsys, gcs):
    job.write_input(record(0))
    shown = refused(job, capsys, "--output_path=gs://no-such-bucket/p", "--no_auth")
    assert "bucket 'no-such-bucket' does not exist" in shown
