"""What a launch leaves to the workers, they refuse before the first record, in the same words."""

import json

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.errors import LaunchError, ModelError
from pipeline.jobs import summary
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.service import Service
from pipeline.jobs.run import beam_options
from pipeline.launch import job as launch
from pipeline.launch.options import parse
from pipeline.launch.placement import Placement, RemotePlacement
from tests.support.jobs import record

_PROCESSES = {"intra_op_threads": 1, "threads_share_models": False, "several_processes": False}
WORKERS, HERE = RemotePlacement(**_PROCESSES), Placement(**_PROCESSES)


def launched(job, checks, *more, placement=WORKERS, say=print):
    parsed = parse(job.arguments(f"--launch_checks={checks}", *more))
    options = beam_options(parsed.beam_args)
    return launch.check_job(parsed.settings, options, placement, say), options


def run(job, checks):
    """Launches, and runs the job as the workers of a service do."""
    checked, options = launched(job, checks)
    try:
        pipeline = beam.Pipeline(FnApiRunner(), options)
        build_batch(pipeline, checked, Service())
        pipeline.run().wait_until_finish()
    finally:
        checked.close()


@pytest.fixture
def net(job, tmp_path):
    """The job with one model of its own, a copy of the ONNX network."""
    uri = tmp_path / "net.onnx"
    uri.write_bytes(next((job.artifacts / "net" / "2").rglob("*.onnx")).read_bytes())
    job.spec["models"] = [job.spec["models"][1] | {"uri": str(uri)}]
    job.spec |= {"combine": [], "output": ["net_y"]}
    job.write_input(*map(record, range(3)))
    return job


def break_file(job):
    uri = job.folder / "net.onnx"
    uri.write_bytes(uri.read_bytes()[:100])


def break_shape(job):
    job.spec["record"]["fields"]["x"]["shape"] = [5]


def break_golden(job):
    inputs, outputs = {"x": [0.5, -1.0, 2.0, 0.25]}, {"y": [99.0, 99.0, 99.0]}
    line = json.dumps({"inputs": inputs, "outputs": outputs})
    (job.folder / "net.onnx.golden.jsonl").write_text(line + "\n")


def break_rows(job):
    model = {"framework": "python", "uri": "tests.support.steps:Centred"}
    job.spec["models"][0] |= model


BREAKS = {
    "file": (break_file, "model 'net'.*net.onnx", ["signatures"]),
    "shape": (break_shape, "model 'net' input 'x' takes", ["signatures"]),
    "golden": (break_golden, "99", []),
    "rows": (break_rows, "model 'net' gives rows other outputs in other company", []),
}


@pytest.mark.parametrize("checks", ["signatures", "files"])
@pytest.mark.parametrize(("broken", "says", "at_launch"), BREAKS.values(), ids=BREAKS)
def test_what_is_not_refused_at_launch_a_worker_refuses(net, checks, broken, says, at_launch):
    broken(net)
    if checks in at_launch:
        with pytest.raises(LaunchError, match=says):
            launched(net, checks)
    else:
        with pytest.raises(ModelError, match=says):
            run(net, checks)
        assert net.predictions() == []


@pytest.mark.parametrize("checks", ["signatures", "files"])
def test_good_models_serve_and_what_was_left_out_is_said(net, checks):
    said = []
    checked, _ = launched(net, checks, "--dry_run", say=said.append)
    assert f"--launch_checks={checks}: no model is " in "\n".join(said)
    assert ("not loaded" in summary.dry_run(checked)) == (checks == "files")
    run(net, checks)
    assert len(net.predictions()) == 3


def test_models_that_serve_where_they_are_launched_are_checked_in_full(net):
    with pytest.raises(LaunchError, match="--launch_checks=files is for jobs whose workers are"):
        launched(net, "files", placement=HERE)


@pytest.mark.parametrize("placement", [HERE, WORKERS])
@pytest.mark.parametrize("labels", ["ab", "abc"])
def test_labels_that_are_not_as_many_as_the_classes_are_warned_of(net, placement, labels):
    net.spec["combine"] = [
        {"column": "best", "op": "argmax", "of": "net_y"},
        {"column": "label", "op": "lookup", "of": "best", "labels": list(labels)},
    ]
    said = []
    checked, _ = launched(net, "full", placement=placement, say=said.append)
    checked.close()
    warnings = [text for text in said if "classes" in text]
    says = "warning: combine step 'label' has 2 labels, and column 'net_y' of model 'net' has 3 cl"
    assert [text[: len(says)] for text in warnings] == ([says] if labels == "ab" else [])
