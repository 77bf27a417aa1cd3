"""Jobs on Beam's portable runners: what is refused at launch, and what is set where nothing is."""

import socket

import pytest

from pipeline.jobs.run import beam_options
from pipeline.launch import portable
from pipeline.launch.options import parse
from tests.support.jobs import record

STREAM = ("--streaming=true", "--refresh_mode=off")
ELSEWHERE = ("--environment_type=EXTERNAL", "--environment_config=localhost:1")


def refused(job, capsys, *arguments):
    job.write_input(record(0))
    assert job.run(*arguments) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["SparkRunner", "BundleBasedDirectRunner", "InteractiveRunner"])
def test_runner_on_which_nothing_was_tried_is_refused_with_those_that_are_known(job, capsys, name):
    shown = refused(job, capsys, f"--runner={name}")
    assert (
        f"--runner: found {name}, expected one of DirectRunner, FnApiRunner, PrismRunner" in shown
    )


def test_containers_without_this_image_are_refused(job, capsys):
    assert "--environment_config is missing" in refused(job, capsys, "--runner=PortableRunner")


@pytest.mark.parametrize(
    ("runner", "option"),
    [("PrismRunner", "prism_location"), ("FlinkRunner", "flink_job_server_jar")],
)
def test_program_of_a_runner_that_is_not_there_is_refused(job, capsys, tmp_path, runner, option):
    image = "--environment_config=image:1"
    shown = refused(job, capsys, f"--runner={runner}", f"--{option}={tmp_path}/none", image)
    assert f"--{option}: found no file '{tmp_path}/none'; leave it out" in shown


def test_job_server_that_does_not_answer_is_refused(job, capsys):
    with socket.socket() as free:
        free.bind(("localhost", 0))  # nobody listens there
        endpoint = f"localhost:{free.getsockname()[1]}"
        options = ["--runner=PortableRunner", "--environment_type=LOOPBACK"]
        shown = refused(job, capsys, *options, f"--job_endpoint={endpoint}")
    assert f"--job_endpoint: no job server answers at {endpoint}" in shown


@pytest.mark.parametrize("mode", ["watch", "both"])
@pytest.mark.parametrize("elsewhere", [(), ELSEWHERE], ids=["here", "elsewhere"])
def test_refresh_needs_a_release_folder(job, capsys, mode, elsewhere):
    mine = [f"--refresh_mode={mode}", "--streaming=true", "--dry_run=true"]
    event = ["--refresh_subscription=projects/p/subscriptions/s"] if mode == "both" else []
    shown = refused(job, capsys, "--runner=PrismRunner", *mine, *event, *elsewhere)
    assert f"--release_dir is missing, and --refresh_mode={mode} needs it" in shown


def test_stream_on_other_processes_needs_a_place_for_the_mark_that_ends_it(job, capsys):
    options = ["--runner=PrismRunner", *STREAM, *ELSEWHERE, "--stop_after_records=5"]
    shown = refused(job, capsys, *options)
    assert "--release_dir is missing: a stream whose workers are other processes" in shown
    assert "--stop_after_records needs workers in this process" in shown


def test_stream_on_flink_gets_the_options_that_it_needs_and_keeps_those_that_were_given():
    added = portable.flink_defaults(["--checkpointing_interval=3000", "--parallelism=2"])
    assert added == ["--finish_bundle_before_checkpointing", "--max_bundle_time_mills=100"]


@pytest.mark.parametrize(
    ("runner", "warned"),
    [("FlinkRunner", False), ("PortableRunner", False), ("DirectRunner", True)],
)
def test_options_of_flink_are_known_where_flink_may_be_asked(runner, warned):
    good = ["--ensemble_spec=e.yaml", "--input_file_pattern=in*", "--output_path=out/p"]
    options = ["--checkpointing_interval=5", "--finish_bundle_before_checkpointing=true"]
    parsed = parse([*good, f"--runner={runner}", *options])
    assert any("checkpointing" in warning for warning in parsed.warnings) == warned
    if not warned:
        assert "--finish_bundle_before_checkpointing" in parsed.beam_args, "a switch has no value"


@pytest.mark.parametrize(
    ("arguments", "here"),
    [
        (["--runner=PrismRunner"], True),
        (["--runner=prism"], True),
        (["--runner=PrismRunner", *ELSEWHERE], False),
        (["--runner=PrismRunner", "--experiments=use_loopback_process_worker"], False),
        (["--runner=FlinkRunner"], True),
        (["--runner=FlinkRunner", "--flink_master=cluster:8081"], False),
        (["--runner=PortableRunner"], False),
        (["--runner=PortableRunner", "--environment_type=loopback"], True),
    ],
)
def test_where_workers_are_follows_beams_own_rules(arguments, here):
    options = beam_options(arguments)
    assert portable.works_here(options) == here
    assert portable.placement_of(options).loads_apart != here
    assert portable.placement_of(options).heeds_stop_marks


@pytest.mark.parametrize(
    ("jar", "old"),
    [
        ("/x/beam-runners-flink-1.20-job-server-2.73.0.jar", True),
        ("/x/beam-runners-flink-1.20-job-server-2.76.0.jar", False),
        ("/x/mine.jar", False),
    ],
)
def test_old_job_server_of_flink_is_told(jar, old):
    found = list(portable.warnings(beam_options([f"--flink_job_server_jar={jar}"])))
    assert bool(found) == old


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--runner=PrismRunner"], ["PrismRunner is for tests"]),
        (["--runner=PortableRunner"], ["--checkpointing_interval is missing"]),
        (["--runner=PortableRunner", "--checkpointing_interval=5000"], []),
        (["--runner=FlinkRunner", *portable.flink_defaults([])], []),
    ],
)
def test_stream_that_may_lose_data_or_acknowledges_nothing_is_told_once(arguments, told):
    found = list(portable.warnings(beam_options(arguments)))
    assert len(found) == len(told)
    assert all(words in line for words, line in zip(told, found, strict=True))
