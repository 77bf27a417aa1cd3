"""A batch job as a service runs it, on the local runner: nobody waits for it and counts."""

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.errors import OutputError
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.service import Service
from pipeline.jobs.run import beam_options
from pipeline.launch import job as launch
from pipeline.launch.options import parse
from pipeline.launch.placement import Placement
from tests.support.jobs import record

HERE = Placement(intra_op_threads=1, threads_share_models=False, several_processes=False)


def run(job, *more):
    parsed = parse(job.arguments(f"--report_path={job.folder}/out/r.html", *more))
    options = beam_options(parsed.beam_args)
    checked = launch.check_job(parsed.settings, options, HERE, print)
    try:
        pipeline = beam.Pipeline(FnApiRunner(), options)
        build_batch(pipeline, checked, Service())
        pipeline.run().wait_until_finish()
    finally:
        checked.close()


@pytest.mark.parametrize(
    ("good", "most", "says"),
    [
        (0, "100", "no record got a prediction: all 2 are dead letters"),
        (1, "60", "2 of 3 records are dead letters, 66.7 %; --max_dead_letter_percent allows 60 %"),
    ],
)
def test_too_many_dead_letters_fail_the_job_when_all_output_is_written(job, good, most, says):
    job.write_input(*map(record, range(good)), b"broken", b"broken too")
    with pytest.raises(OutputError, match=says):
        run(job, f"--max_dead_letter_percent={most}")
    assert len(job.predictions()) == good
    assert len(job.dead_letters()) == 2
    assert (job.folder / "out/r.html").is_file()
    assert not list(job.folder.glob("out/*.tmp-*"))


def test_share_that_is_allowed_ends_well(job):
    job.write_input(record(0), b"broken", b"broken too")
    run(job, "--max_dead_letter_percent=66.7")
    assert len(job.predictions()) == 1


def test_empty_input_ends_well(job):
    job.write_input()
    run(job, "--max_dead_letter_percent=0")
    assert job.dead_letters() == []
