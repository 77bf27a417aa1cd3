"""The command line as people type it and as the template launcher passes it."""

import pytest

from pipeline.errors import ParameterError
from pipeline.launch.options import BeamParser, parse
from pipeline.launch.settings import Content, Medium
from pipeline.parameters import PARAMETERS

GOOD = ["--ensemble_spec=e.yaml", "--input_file_pattern=in*", "--output_path=out/p"]


def problems(*argv):
    with pytest.raises(ParameterError) as error:
        parse(argv)
    return error.value.problems


def dead_letter_path(settings):
    return settings.outputs.place(Content.DEAD_LETTERS, Medium.FILES)


def test_defaults_are_filled_in():
    settings = parse(GOOD).settings
    assert dead_letter_path(settings) == "out/p-dead-letters"
    models = settings.models
    assert (models.device, models.max_batch_size, models.max_model_faults) == ("auto", 0, 10)
    assert settings.run.dry_run is False


@pytest.mark.parametrize("name", ["id_label", "timestamp_attribute"])
def test_attributes_of_messages_are_for_dataflow_and_pubsub(name):
    stream = ["--ensemble_spec=e", "--input_subscription=projects/p/subscriptions/s"]
    stream += ["--output_path=out/p", f"--{name}=a"]
    (problem,) = problems(*stream)
    assert f"--{name} is for Dataflow's own source of Pub/Sub" in problem
    (problem,) = problems(*stream, "--runner=PrismRunner")
    assert "--runner=PrismRunner" in problem
    (problem,) = problems(*GOOD, f"--{name}=a")
    assert problem == f"--{name} needs --input_subscription or --input_topic"
    dataflow = ["--runner=DataflowRunner", "--sdk_container_image=i"]
    assert getattr(parse([*stream, *dataflow]).settings.inputs, name) == "a"
    assert getattr(parse([*stream, "--dry_run"]).settings.inputs, name) == "a"


@pytest.mark.parametrize("name", ["allowed_model_uris", "allowed_manifest_uris"])
def test_each_uri_of_a_list_is_looked_at_and_kept_as_it_is(name):
    stream = [*GOOD, "--streaming=true", "--refresh_mode=watch"]
    (problem,) = problems(*stream, f"--{name}=gs://a, file://host/x")
    assert problem.startswith(f"--{name}: found 'file://host/x', which names the machine 'host'")
    uris = "file:///a%252C,file:///b%2Cc"
    assert getattr(parse([*stream, f"--{name}={uris}"]).settings.refresh, name) == uris


def test_empty_value_means_the_default():
    settings = parse([*GOOD, "--max_batch_size=", "--dry_run=", "--device="]).settings
    assert (settings.models.max_batch_size, settings.run.dry_run) == (0, False)
    assert settings.models.device == "auto"


def test_uris_of_files_are_paths():
    settings = parse([*GOOD[:2], "--output_path=file:///out/p", "--release_dir=file:///r%20s"])
    assert dead_letter_path(settings.settings) == "/out/p-dead-letters"
    assert settings.settings.refresh.release_dir == "/r s"
    problem, *_ = problems(*GOOD[:2], "--output_path=file://out/p")
    assert problem.startswith("--output_path: found 'file://out/p', which names the machine 'out'")


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("False", False), ("1", True), ("no", False)]
)
def test_booleans_arrive_as_text(text, value):
    assert parse([*GOOD, f"--overwrite={text}"]).settings.outputs.overwrite is value


def test_bare_switch_is_true():
    assert parse(["--ensemble_spec", "e.yaml", "--dry_run"]).settings.run.dry_run is True


@pytest.mark.parametrize("text", ["-1", "100.1", "5%", "nan", "many"])
def test_share_is_a_number_from_0_to_100(text):
    assert problems(*GOOD, f"--max_dead_letter_percent={text}") == (
        f"--max_dead_letter_percent: found '{text}', expected a number from 0 to 100",
    )


def test_share_may_be_none_and_have_decimals():
    assert parse(GOOD).settings.run.max_dead_letter_percent == 100
    for text in ("0", "0.5", "100"):
        run = parse([*GOOD, f"--max_dead_letter_percent={text}"]).settings.run
        assert run.max_dead_letter_percent == float(text)


def test_all_problems_are_reported_at_once_and_by_name():
    found = problems("--device=tpu", "--max_batch_size=-1", "--overwrite=perhaps", "stray")
    assert found[:4] == (
        "--overwrite: found 'perhaps', expected true or false",
        "--device: found 'tpu', expected one of auto, cpu, gpu",
        "--max_batch_size: found '-1', expected an integer of at least 0",
        "found 'stray', expected --parameter=value",
    )
    assert [line.split(": ")[0] for line in found[4:]] == [
        "--ensemble_spec is missing",
        "no input",
        "no output",
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--input_topic=t"], "--input_file_pattern and --input_topic exclude each other"),
        (["--output_topic=t"], "--output_topic needs a streaming job"),
        (["--refresh_mode=watch"], "--refresh_mode=watch needs a streaming job"),
        (["--refresh_mode=event", "--streaming"], "needs --refresh_subscription"),
        (["--refresh_subscription=s"], "--refresh_subscription needs --refresh_mode=event or both"),
        (["--graph_path=g.png"], "--graph_path: found 'g.png', expected a name that ends in .svg"),
        (["--max_dead_letter_percent=5", "--streaming"], "=5 needs a batch job"),
        (["--release_pattern=p"], "--release_pattern needs --refresh_mode=watch or both"),
        (["--refresh_mode=follow"], "--refresh_mode=follow needs --release_dir"),
        (
            ["--refresh_mode=follow", "--release_dir=d", "--release_pattern=p"],
            "--release_pattern needs --refresh_mode=watch or both",
        ),
        (
            ["--refresh_mode=follow", "--release_dir=d", "--refresh_subscription=s"],
            "--refresh_subscription needs --refresh_mode=event or both",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(more, says):
    (problem,) = problems(*GOOD, *more)
    assert says in problem


def test_one_table_for_predictions_and_dead_letters_is_refused():
    tables = ["--output_table=p:d.t", "--dead_letter_table=p.d.t"]
    (problem,) = problems("--ensemble_spec=e", "--input_subscription=s", *tables)
    assert problem.startswith("--dead_letter_table: found 'p.d.t', the --output_table as well")


@pytest.mark.parametrize("output", ["output_table", "dead_letter_table"])
def test_table_that_a_job_reads_is_none_that_it_writes(output):
    others = ["--output_path=gs://b/p", "--temp_location=gs://b/tmp"]
    others += ["--dead_letter_path=gs://b/d"] if output == "output_table" else []
    tables = ["--input_table=p:d.t", f"--{output}=p.d.t"]
    found = problems("--ensemble_spec=e", *tables, *others)
    assert f"--{output}: found 'p.d.t', the --input_table as well" in " ".join(found)


def test_topic_output_needs_a_place_for_dead_letters():
    base = ["--ensemble_spec=e", "--input_subscription=s", "--output_topic=t"]
    assert problems(*base) == (
        "no place for dead letters: give at least one of --dead_letter_path, --dead_letter_topic "
        "and --dead_letter_table",
    )
    assert dead_letter_path(parse([*base, "--dead_letter_topic=d"]).settings) == ""


def test_job_streams_because_of_its_input_or_because_it_is_told():
    assert not parse(GOOD).settings.inputs.streaming
    assert parse([*GOOD, "--streaming=true"]).settings.inputs.streaming
    assert parse([GOOD[0], GOOD[2], "--input_subscription=s"]).settings.inputs.streaming


def test_misspelt_parameter_is_refused_with_the_near_one():
    assert problems(*GOOD[1:], "--ensemble_specs=e.yaml") == (
        "--ensemble_specs is not a parameter; did you mean --ensemble_spec?",
    )


def test_beam_options_pass_and_its_switches_take_text():
    parsed = parse(
        [
            *GOOD,
            "--no_use_public_ips=false",
            "--enable_streaming_engine=true",
            "--num_workers",
            "3",
        ]
    )
    assert parsed.beam_args == ("--enable_streaming_engine", "--num_workers", "3")
    assert parsed.warnings == ()


def test_option_that_nobody_knows_is_passed_on_with_a_warning():
    parsed = parse([*GOOD, "--num_worker=3", "--template_launcher_says=x"])
    assert parsed.beam_args == ("--num_worker=3", "--template_launcher_says=x")
    assert parsed.warnings == (
        "neither this template nor Beam knows --num_worker; did you mean --num_workers?",
        "neither this template nor Beam knows --template_launcher_says",
    )


def test_what_only_streams_heed_is_said_to_have_no_effect_on_a_batch_job():
    of_streams = ["--stop_after_secs=5", "--output_file_secs=5", "--max_batch_latency_ms=0"]
    assert parse([*GOOD, *of_streams]).warnings == (
        "--output_file_secs has no effect on a batch job",
        "--stop_after_secs has no effect on a batch job",
    )
    assert parse([*GOOD, *of_streams, "--streaming"]).warnings == ()


def test_help_names_every_parameter(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{parameter.name}" in text for parameter in PARAMETERS)


def test_parameters_hide_no_option_of_beam_by_accident():
    flags = set(BeamParser().flags)
    # Our dry_run checks more than Beam's, which prints the job for Dataflow and stops; streaming
    # is set again from ours, since a Pub/Sub input implies it.
    hidden = {"dry_run", "streaming"}
    assert {p.name for p in PARAMETERS if not p.to_beam} & flags == hidden
    assert {p.name for p in PARAMETERS if p.to_beam} <= flags


def test_parameters_that_are_options_of_beam_are_handed_on():
    parsed = parse([*GOOD, "--disk_size_gb=70", "--number_of_worker_harness_threads="])
    assert parsed.beam_args == ("--disk_size_gb=70",)
    assert problems(*GOOD, "--disk_size_gb=7") == (
        "--disk_size_gb: found '7', expected an integer of at least 10",
    )


def test_wrong_value_of_an_option_of_beam_is_one_of_the_problems():
    found = problems("--num_workers=many", "--device=tpu")
    assert any(p.startswith("--num_workers: invalid int value: 'many'") for p in found)
    assert any(p.startswith("--device: found 'tpu'") for p in found)
