"""A batch job whose outcome cannot be counted or seen from here is not called good in silence."""

import shutil

import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.errors import OutputError
from pipeline.jobs.engines.local import Local
from pipeline.jobs.engines.waited_batch import run_batch
from pipeline.jobs.progress import Progress
from pipeline.jobs.run import beam_options
from pipeline.launch import job as launch
from pipeline.launch.options import parse
from pipeline.launch.placement import Placement
from tests.support.jobs import record

HERE = Placement(intra_op_threads=1, threads_share_models=False, several_processes=False)


class Nothing:
    """The metrics of a server that keeps none."""

    def query(self, _filter):
        return {"counters": [], "distributions": [], "gauges": []}


def refused():
    raise NotImplementedError("method not\nimplemented")


class Silent(FnApiRunner):
    """Runs a job to its end, and tells nothing of it."""

    def __init__(self, metrics):
        super().__init__()
        self.metrics = metrics

    def run_pipeline(self, pipeline, options):
        result = super().run_pipeline(pipeline, options)
        result.metrics = self.metrics
        return result


class Elsewhere(FnApiRunner):
    """Leaves a folder of this machine as it was, as workers in containers do."""

    def __init__(self, folder, metrics=None):
        super().__init__()
        self.folder = folder
        self.metrics = metrics

    def run_pipeline(self, pipeline, options):
        before = shutil.copytree(self.folder, f"{self.folder}-before")
        result = super().run_pipeline(pipeline, options)
        shutil.rmtree(self.folder)
        shutil.move(before, self.folder)
        result.metrics = self.metrics or result.metrics
        return result


def run(job, runner, *more):
    parsed = parse(job.arguments(*more))
    options = beam_options(parsed.beam_args)
    checked = launch.check_job(parsed.settings, options, HERE, print)
    try:
        run_batch(Local(), checked, options, Progress(), runner)
    finally:
        checked.close()


@pytest.mark.parametrize("metrics", [Nothing, refused])
def test_share_of_dead_letters_that_cannot_be_checked_fails_the_job(job, metrics):
    job.write_input(record(0), b"broken")
    says = "no metrics.*--max_dead_letter_percent=60 cannot be checked"
    with pytest.raises(OutputError, match=says):
        run(job, Silent(metrics), "--max_dead_letter_percent=60")
    assert len(job.predictions()) == len(job.dead_letters()) == 1, "and all output is there"


@pytest.mark.parametrize("metrics", [Nothing, refused])
def test_without_a_limit_a_warning_says_that_nobody_counted(job, metrics, capsys):
    job.write_input(record(0), b"broken")
    run(job, Silent(metrics))
    shown = capsys.readouterr()
    assert "No records" not in shown.out
    assert "the output is complete" in shown.err
    assert "how many dead letters there are is not known" in shown.err


def test_without_metrics_a_warning_says_that_no_file_is_here(job, capsys):
    job.write_input(record(0), b"broken")
    out = job.folder / "out"
    out.mkdir()
    run(job, Elsewhere(out, Nothing))
    assert "no new file of the output is here" in capsys.readouterr().err


def test_empty_input_is_told_from_metrics_that_are_not_there(job, capsys):
    job.write_input()
    run(job, FnApiRunner(), "--max_dead_letter_percent=0")
    assert "No records: the input files are empty" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (
            [record(0), b"broken"],
            r"--output_path: 1 records were written, but no file '.*/p-\*' is",
        ),
        ([b"broken"], "--dead_letter_path: 1 records were written"),
    ],
)
def test_files_that_workers_left_on_disks_of_their_own_fail_the_job(job, records, says):
    job.write_input(*records)
    out = job.folder / "out"
    out.mkdir()
    for earlier in ("p-00000-of-00001.jsonl", "p-dead-letters-00000-of-00001.jsonl"):
        (out / earlier).write_text("of another run")
    with pytest.raises(OutputError, match=says):
        run(job, Elsewhere(out), "--overwrite=true")
