"""The graph of a streaming job as Dataflow gets it, from the same options, without a cloud."""

from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.connectors.storage.listing import StorageLister
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.jobs import batch
from pipeline.jobs.engines.local import Local
from pipeline.jobs.engines.service import Service
from pipeline.jobs.stream import build_stream
from pipeline.launch import release as launch_release
from pipeline.launch.patterns import Pattern
from pipeline.launch.versions import Beginning
from pipeline.releases.candidate import ReleaseEvent
from pipeline.releases.checks import GateChecks
from pipeline.releases.gate import utc_now
from pipeline.releases.log import ReleaseLog
from pipeline.releases.state import initial_state
from pipeline.releases.versions import watch_targets
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import Rehearsal
from pipeline.transforms.inference import EnsembleModelHandler
from tests.support.unchecked_job import unchecked_job

PAR_DO = "beam:transform:pardo:v1"
SPEC = """
name: e
record: {fields: {x: {dtype: float32, shape: [4]}}}
models:
  - name: a
    framework: onnx
    uri: gs://b/a/1
    watch: gs://b/a/*
    inputs: {x: x}
    outputs: {y: p}
  - {name: b, framework: onnx, uri: gs://b/b/1, inputs: {x: p}, outputs: {y: q}}
"""


@pytest.fixture(scope="module")
def make_graph(tmp_path_factory, gcs):
    """Makes the pipeline proto of a job whose launch passed over so many versions."""
    return lambda passed_over, *more: made_graph(tmp_path_factory, gcs, passed_over, more)


@pytest.fixture(scope="module")
def graph(make_graph):
    """The pipeline proto: transform name -> transform."""
    return make_graph(passed_over=1)


def made_graph(tmp_path_factory, gcs, passed_over, more=()):
    proto = made_pipeline(tmp_path_factory, gcs, passed_over, more=more).to_runner_api()
    return {t.unique_name: t for t in proto.components.transforms.values()}


def made_pipeline(tmp_path_factory, gcs, passed_over=1, text=SPEC, more=(), without=()):
    """The pipeline of a job.

    Args:
      passed_over: how many versions its launch passed over.
      text: the ensemble file.
      more: parameters besides.
      without: parameters that are left out.
    """
    spec = tmp_path_factory.mktemp("graph") / "e.yaml"
    spec.write_text(text)
    bucket = gcs.new_bucket()
    arguments = [
        *(
            f"--ensemble_spec={spec}",
            "--input_subscription=projects/project/subscriptions/input",
            "--output_topic=projects/project/topics/output",
            "--output_path=gs://b/out",
            "--dead_letter_topic=projects/project/topics/dead",
            "--release_events_topic=projects/project/topics/events",
            "--report_path=gs://b/report.html",
            "--refresh_mode=both",
            "--refresh_subscription=projects/project/subscriptions/refresh",
            "--runner=DataflowRunner",
            "--sdk_container_image=registry/ensemble:1",
            "--project=project",
            "--region=europe-west1",
            f"--temp_location={bucket}/temp",
            f"--staging_location={bucket}/staging",
            "--streaming=true",
        ),
        *more,
    ]
    kept = [one for one in arguments if one.partition("=")[0] not in without]
    job, options = unchecked_job(kept)
    graph, release = job.graph, job.release
    managers = ManagerFactory(graph, FrameworkLoader(graph.models, None, "cpu", 1))
    refresh = launch_release.refresh_of(
        job.settings.refresh,
        GateChecks(graph, None, None, launch_release.allowed_uris(graph)),
        Beginning(release, Rehearsal(), initial_state(release, utc_now())),
        [Pattern(target) for target in watch_targets(graph.models)],
        StorageLister(options),
        ReleaseLog("gs://b/releases", LogFiles(options)),
        job.handle,
        managers,
    )
    told = ReleaseEvent("rejected", utc_now(), reason="was passed over at the launch")
    job = replace(job, refresh=refresh, events=(told,) * passed_over)
    pipeline = beam.Pipeline(options=options)
    build_stream(pipeline, job, Service())
    return pipeline


def named(graph, part):
    found = [transform for name, transform in graph.items() if part in name]
    assert found, f"nothing called {part} in {sorted(graph)}"
    return found


def par_do(transform):
    return beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)


def test_records_and_refresh_messages_are_read_by_the_service(graph):
    reads = [t for t in graph.values() if t.spec.urn == "beam:transform:pubsub_read:v1"]
    assert len(reads) == 2
    assert named(graph, "Read/ReadFromPubSub")
    assert named(graph, "ReadRefresh/ReadFromPubSub")


def test_what_the_launch_passed_over_is_published_like_other_events(graph):
    assert named(graph, "PassedOver")
    assert named(graph, "PublishEvents[Launch]/WriteToPubSub")


@pytest.mark.parametrize("passed_over", [0, 2])
def test_steps_do_not_depend_on_what_the_launch_passed_over(graph, make_graph, passed_over):
    """A service finds the state of a running job's steps by their names."""
    assert sorted(make_graph(passed_over)) == sorted(graph)


def test_messages_are_put_together_only_where_they_may_wait(graph, make_graph):
    waiting = make_graph(1, "--max_batch_latency_ms=100")
    added = {name.split("/")[0] for name in waiting if name not in graph}
    assert added == {"Collect"}
    assert not set(graph) - set(waiting)
    (hold,) = [par_do(t) for t in named(waiting, "Collect/Hold") if t.spec.urn == PAR_DO]
    assert set(hold.state_specs) == {"blocks", "held"}
    assert len(hold.timer_family_specs) == 2


def test_predictions_dead_letters_and_events_are_published_by_the_service(graph):
    for step in (
        "Publish prediction_messages",
        "Publish dead_letter_messages",
        "PublishEvents[Gate]",
    ):
        assert named(graph, f"{step}/WriteToPubSub")


def test_report_is_of_batches_and_of_every_kind_of_release_event(graph):
    (statistics,) = [t for name, t in graph.items() if name == "Statistics"]
    parts = [*named(graph, "GatherStatistics"), *named(graph, "OfEvent")]
    made = {output for transform in parts for output in transform.outputs.values()}
    assert set(statistics.inputs.values()) <= made
    # batches; events of the launch, of messages, of the gate, of processes
    assert len(statistics.inputs) == 5


def test_no_step_has_a_side_input(graph):
    """A service holds records back until a side input fired, and behind a backlog it lags."""
    steps = [t for t in graph.values() if t.spec.urn == "beam:transform:pardo:v1"]
    assert len(steps) > 10
    assert [t.unique_name for t in steps if par_do(t).side_inputs] == []


def test_gate_is_serial_by_its_key(graph):
    steps = [step for name, step in graph.items() if name.startswith("Gate")]
    (gate,) = [step for step in steps if step.spec.urn == "beam:transform:pardo:v1"]
    assert list(par_do(gate).state_specs) == ["gate"]


def test_every_model_is_a_step_of_its_own_and_nothing_is_shuffled_before_it(graph):
    for model in ("a", "b"):
        assert named(graph, f"RunInference[{model}]")
    serving = ("Decode", "AssignRelease", "RunInference", "Combine", "Encode", "Read/")
    shuffles = [
        name
        for name, transform in graph.items()
        if transform.spec.urn == "beam:transform:group_by_key:v1" and name.startswith(serving)
    ]
    assert shuffles == []


def test_model_that_breaks_raises_nothing_where_a_bundle_is_retried_for_ever(
    tmp_path_factory, gcs, monkeypatch
):
    raising = []

    def make(*arguments, **options):
        raising.append(options["faults_raise"])
        return EnsembleModelHandler(*arguments, **options)

    monkeypatch.setattr(batch, "EnsembleModelHandler", make)
    made_pipeline(tmp_path_factory, gcs)
    assert raising == [False, False]
    assert not Local().retries_for_ever
