"""The report's part of a job's graph, as a service gets it, without a cloud; and its minutes."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.test_stream import TestStream as Stream  # else pytest takes it for tests

from pipeline.jobs import report
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.service import Service
from pipeline.jobs.report import Page, page_of
from pipeline.jobs.stream import build_stream
from pipeline.report.statistics.run import RunStatistics
from tests.support.pages import read_page
from tests.support.unchecked_job import unchecked_job

SPEC = """
name: e
record: {id: id, fields: {x: {dtype: float32, shape: [4]}}}
models:
  - {name: a, framework: onnx, uri: gs://b/a/1, inputs: {x: x}, outputs: {y: p}}
"""
BATCH = ["--input_file_pattern=in/*", "--output_path=out/p"]
STREAM = [
    "--input_subscription=projects/project/subscriptions/input",
    "--output_topic=projects/project/topics/output",
    "--dead_letter_topic=projects/project/topics/dead",
]
REPORT = "--report_path=gs://b/report.html"
GROUP = "beam:transform:group_by_key:v1"
COMBINE = "beam:transform:combine_per_key:v1"


@pytest.fixture
def make_job(tmp_path, bucket):
    spec = tmp_path / "e.yaml"
    spec.write_text(SPEC)

    def make(*arguments):
        service = ["--runner=DataflowRunner", "--project=project", "--region=europe-west1"]
        service.append("--sdk_container_image=registry/ensemble:1")
        return unchecked_job(
            [f"--ensemble_spec={spec}", *arguments, *service, f"--temp_location={bucket}/temp"]
        )

    return make


@pytest.fixture
def components(make_job):
    """The components of the pipeline proto for a command line."""

    def build(*arguments):
        job, options = make_job(*arguments)
        pipeline = beam.Pipeline(options=options)
        if job.settings.inputs.streaming:
            build_stream(pipeline, job, Service())
        else:
            build_batch(pipeline, job, Service())
        return pipeline.to_runner_api().components

    return build


def steps(components):
    return {t.unique_name: t for t in components.transforms.values()}


@pytest.mark.parametrize("arguments", [BATCH, STREAM], ids=["batch", "stream"])
def test_graph_without_report_has_none_of_its_steps(components, arguments):
    names = " ".join(steps(components(*arguments)))
    for step in ("GatherStatistics", "MergeStatistics", "WriteReport"):
        assert step not in names
        assert step in " ".join(steps(components(*arguments, REPORT)))


def test_batch_gathers_beside_encode_and_shuffles_nothing_on_the_way(components):
    found = steps(components(*BATCH, REPORT))
    gather, encode = found["GatherStatistics"], found["Encode/ParDo(Encode)"]
    assert list(gather.inputs.values()) == list(encode.inputs.values())
    shuffled = {name for name, t in found.items() if t.spec.urn in (GROUP, COMBINE)}
    elsewhere = ("Read/", "Write", "MergeStatistics", "CheckDeadLetters")
    assert all(name.startswith(elsewhere) for name in shuffled), shuffled


def test_stream_fires_every_minute_all_that_was_gathered_so_far(components):
    proto = components(*STREAM, REPORT)
    (window,) = [t for name, t in steps(proto).items() if name == "EachMinute"]
    (made,) = window.outputs.values()
    strategy = proto.windowing_strategies[proto.pcollections[made].windowing_strategy_id]
    assert strategy.accumulation_mode == beam_runner_api_pb2.AccumulationMode.ACCUMULATING
    assert strategy.window_fn.urn == "beam:window_fn:global_windows:v1"
    after = strategy.trigger.repeat.subtrigger.after_processing_time
    assert [t.delay.delay_millis for t in after.timestamp_transforms] == [60_000]


def test_pages_of_a_service_hold_everything_since_the_begin(make_job, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    seen = []

    def write(page, statistics):
        original(page, statistics)
        seen.append(read_page(path).facts["Records"])

    original = Page.write
    monkeypatch.setattr(Page, "write", write)
    job, options = make_job(*STREAM, f"--report_path={path}")
    page = page_of(job, options, Service.notes)
    minutes = Stream()
    for records in (5, 7, 11):
        parts = [RunStatistics(predictions=1, batches=1, began_us=1, ended_us=2)] * records
        minutes = minutes.add_elements(parts).advance_processing_time(130)
    pipeline = beam.Pipeline("BundleBasedDirectRunner", PipelineOptions(["--streaming"]))
    minutes = minutes.advance_watermark_to_infinity()
    for _ in range(2):  # this runner does not end before its last timers have come
        minutes = minutes.advance_processing_time(130)
    statistics = pipeline | minutes
    report.report_every_minute(statistics, page)
    pipeline.run().wait_until_finish()
    assert seen[0] == "5"
    assert seen[-1] == "23"
    assert [int(records) for records in seen] == sorted(int(records) for records in seen)
    assert len(set(seen)) >= 3
