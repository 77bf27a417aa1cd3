"""The graphs of jobs with tables as Dataflow gets them, without a cloud: who reads and writes."""

import apache_beam as beam
import pytest

from pipeline.errors import ParameterError
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.service import Service
from pipeline.jobs.stream import build_stream
from pipeline.launch.options import parse
from pipeline.serving.rehearsal.rehearsal import Rehearsal
from tests.support.unchecked_job import unchecked_job

SPEC = """
name: e
record: {id: id, fields: {x: {dtype: float32, shape: [4]}}}
models:
  - {name: a, framework: onnx, uri: gs://b/a/1, inputs: {x: x}, outputs: {y: p}}
"""
TABLES = ["--output_table=my-project:out.p", "--dead_letter_table=my-project:out.d"]


@pytest.fixture
def arguments(tmp_path, bucket):
    spec = tmp_path / "e.yaml"
    spec.write_text(SPEC)
    return [
        f"--ensemble_spec={spec}",
        "--runner=DataflowRunner",
        "--sdk_container_image=registry/ensemble:1",
        "--project=my-project",
        "--region=europe-west1",
        f"--temp_location={bucket}/temp",
        *TABLES,
    ]


def graph_of(arguments):
    """Transform name -> URN."""
    job, options = unchecked_job(arguments, Rehearsal(types={"p": ("float32", (3,))}))
    pipeline = beam.Pipeline(options=options)
    if job.settings.inputs.streaming:
        build_stream(pipeline, job, Service())
    else:
        build_batch(pipeline, job, Service())
    transforms = pipeline.to_runner_api().components.transforms.values()
    return {t.unique_name: t.spec.urn for t in transforms}


def has(graph, *parts):
    return all(any(part in name for name in graph) for part in parts)


def test_batch_exports_the_table_and_loads_files_and_nothing_is_shuffled_between(arguments):
    graph = graph_of([*arguments, "--input_table=my-project:in.rows"])
    assert has(graph, "Read/Export", "Read/Blocks", "RunInference[a]")
    for step in ("LoadPredictions", "LoadDeadLetters"):
        assert has(graph, f"{step}/Load/BigQueryBatchFileLoads")
    shuffles = {n for n, urn in graph.items() if urn == "beam:transform:group_by_key:v1"}
    expected = ("LoadPredictions", "LoadDeadLetters", "CheckDeadLetters")
    assert all(name.startswith(expected) for name in shuffles)
    assert not has(graph, "WriteFiles")


def test_stream_inserts_by_the_connector_of_beam_and_refused_rows_too(arguments):
    graph = graph_of([*arguments, "--input_subscription=projects/project/subscriptions/input"])
    for step in ("InsertPredictions", "InsertDeadLetters0", "InsertDeadLetters1"):
        assert has(graph, f"{step}/Insert/_StreamToBigQuery/StreamInsertRows")
    assert not has(graph, "BigQueryBatchFileLoads")


def refused(arguments):
    with pytest.raises(ParameterError) as error:
        parse(arguments)
    return error.value.problems


def test_batch_needs_a_folder_in_the_cloud_for_files_on_the_way(arguments):
    local = [a for a in arguments if "temp_location" not in a]
    (problem,) = refused([*local, "--input_table=my-project:in.rows", "--temp_location=/tmp/x"])
    assert problem.startswith("--temp_location: found '/tmp/x', expected a gs:// folder")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--input_table=in.rows"], "--input_table: found 'in.rows', expected PROJECT.DATASET"),
        (["--input_table=p1:a.b", "--input_query=SELECT 1"], "exclude each other: give one"),
        (["--input_table=p1:a.b", "--streaming=true"], "--input_table is read once, by a batch"),
        (["--input_query=SELECT 1", "--project="], "--project is missing: --input_query runs"),
    ],
)
def test_parameters_of_tables_that_are_wrong_are_refused(arguments, more, says):
    names = [a.split("=")[0] for a in more]
    kept = [a for a in arguments if a.split("=")[0] not in names and "runner" not in a]
    (problem,) = refused([*kept, *more])
    assert says in problem
