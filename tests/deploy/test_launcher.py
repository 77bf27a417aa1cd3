"""main.py with the launcher's arguments: it writes the job object, or says why not."""

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from tests.deploy.launching import IMAGE, PROJECT, launch, launcher_arguments
from tests.deploy.stored_job import StoredJob
from tests.support.dataflow_service import ForbiddenStorage

WORKERS = {
    "numWorkers": 1,
    "maxWorkers": 3,
    "ipConfiguration": "WORKER_IP_PRIVATE",
    "subnetwork": "regions/europe-west1/subnetworks/private",
    "additionalExperiments": ["enable_secure_boot", "x=type:a;count:1"],
    "additionalUserLabels": {"team": "search", "env": "test"},
}
FRAMEWORKS = {"tensorflow", "keras", "tensorflow_hub", "torch", "sklearn", "skops", "onnxruntime"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("launch")


@pytest.fixture(scope="module")
def gpu_job(gcs, folder, artifacts):
    """Launched with a GPU, on two models; with empty values, as the console sends them."""
    job = StoredJob(gcs, folder, artifacts)
    request = job.request(
        WORKERS,
        accelerator="nvidia-l4:1",
        number_of_worker_harness_threads="8",
        overwrite="true",
        dry_run="",
        max_batch_size="",
        refresh_mode="",
        disk_size_gb="",
    )
    launched = launch(launcher_arguments(request, job.template_location), folder)
    assert launched.status == 0, launched.stderr
    return job


def worker_pool(job):
    (pool,) = job.job_object()["environment"]["workerPools"]
    return pool


def test_workers_are_what_the_parameters_ask_for(gpu_job):
    pool = worker_pool(gpu_job)
    assert (pool["machineType"], pool["diskSizeGb"]) == ("g2-standard-4", 50)
    assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (1, 3)
    assert pool["numThreadsPerWorker"] == 8
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    assert pool["subnetwork"] == WORKERS["subnetwork"]


def test_gpu_is_a_service_option_and_one_process_serves_it(gpu_job):
    environment = gpu_job.job_object()["environment"]
    assert environment["serviceOptions"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    ]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]


def test_experiments_of_the_request_are_kept_whole(gpu_job):
    experiments = gpu_job.job_object()["environment"]["experiments"]
    assert set(WORKERS["additionalExperiments"]) <= set(experiments)


def test_workers_run_the_image_that_launched_them(gpu_job):
    pool = worker_pool(gpu_job)
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [each["containerImage"] for each in pool["sdkHarnessContainerImages"]] == [IMAGE]
    environments = gpu_job.pipeline(gpu_job.job_object()).components.environments.values()
    payloads = [beam_runner_api_pb2.DockerPayload.FromString(e.payload) for e in environments]
    assert {payload.container_image for payload in payloads} == {IMAGE}


def test_job_has_the_name_the_account_and_the_labels_of_the_request(gpu_job):
    job = gpu_job.job_object()
    assert job["name"] == "ensemble-20250101"
    assert job["type"] == "JOB_TYPE_BATCH"
    assert job["labels"] == WORKERS["additionalUserLabels"]
    account = "runner@test-project.iam.gserviceaccount.com"
    assert job["environment"]["serviceAccountEmail"] == account


def test_nothing_is_shipped_but_the_graph(gpu_job):
    """No pickled main session, no package to install: everything is in the image."""
    names = {uri.rpartition("/")[2] for uri in gpu_job.staged()}
    assert names == {"job_object", "pipeline.pb", "submission_environment_dependencies.txt"}
    options = gpu_job.job_object()["environment"]["sdkPipelineOptions"]["options"]
    assert options["save_main_session"] is False


def test_only_frameworks_of_the_ensemble_are_imported(gcs, tmp_path, artifacts):
    job = StoredJob(gcs, tmp_path, artifacts, models=("net",))
    launched = launch(launcher_arguments(job.request(), job.template_location), tmp_path)
    assert launched.status == 0, launched.stderr
    assert launched.modules & FRAMEWORKS == {"onnxruntime"}
    assert "diskSizeGb" not in worker_pool(job)
    assert "serviceOptions" not in job.job_object()["environment"]


def test_subscription_makes_a_streaming_job_with_reads_by_the_service(
    gcs, pubsub, tmp_path, artifacts
):
    job = StoredJob(gcs, tmp_path, artifacts, models=("net",))
    records, refresh = (pubsub.new_subscription(pubsub.new_topic()) for _ in range(2))
    request = job.request(
        input_file_pattern=None,
        input_subscription=records,
        output_topic=pubsub.new_topic(),
        refresh_mode="event",
        refresh_subscription=refresh,
        release_dir=f"{job.bucket}/releases",
    )
    launched = launch(launcher_arguments(request, job.template_location), tmp_path)
    assert launched.status == 0, launched.stderr
    assert "onnxruntime" in launched.modules
    written = job.job_object()
    assert written["type"] == "JOB_TYPE_STREAMING"
    assert written["environment"]["version"]["job_type"] == "FNAPI_STREAMING"
    assert "enable_streaming_engine" in written["environment"]["experiments"]
    specs = [each.spec for each in job.pipeline(written).components.transforms.values()]
    reads = [
        beam_runner_api_pb2.PubSubReadPayload.FromString(spec.payload).subscription
        for spec in specs
        if spec.urn == "beam:transform:pubsub_read:v1"
    ]
    assert sorted(reads) == sorted([records, refresh])
    assert sum(spec.urn == "beam:transform:pubsub_write:v1" for spec in specs) >= 1


def refused(job, folder, request, **environ):
    """Launches; the message with which that was refused, which is the last of the console log."""
    launched = launch(launcher_arguments(request, job.template_location), folder, **environ)
    assert launched.status == 2, launched.stderr
    assert launched.modules & FRAMEWORKS == set(), "nothing is loaded for a job that cannot start"
    assert job.staged() == []
    assert launched.stderr.count("Not started") == 1
    message = launched.stderr[launched.stderr.index("Not started") :]
    assert all(line.startswith("  ") for line in message.splitlines()[1:]), message
    return message


@pytest.fixture
def job(gcs, tmp_path, artifacts):
    return StoredJob(gcs, tmp_path, artifacts)


def test_mistakes_in_parameters_are_named_together_and_last(job, tmp_path):
    request = job.request(
        {"numWorkers": "many"},
        ensemble_spec="",
        input_topic=f"projects/{PROJECT}/topics/records",
        acelerator="nvidia-l4:1",
        max_batch_size="none",
        device="tpu",
    )
    message = refused(job, tmp_path, request)
    for named in (
        "--ensemble_spec is missing",
        "--input_file_pattern and --input_topic exclude each other",
        "--acelerator is not a parameter; did you mean --accelerator?",
        "--max_batch_size: found 'none'",
        "--device: found 'tpu'",
        "--num_workers: ",
    ):
        assert message.count(named) == 1, message


def test_gpu_on_a_machine_that_has_none_is_refused(job, tmp_path):
    request = job.request({"machineType": "n1-standard-4"}, accelerator="nvidia-l4:1")
    assert "--worker_machine_type: found n1-standard-4" in refused(job, tmp_path, request)


def test_missing_spec_and_buckets_are_named_together(job, tmp_path):
    request = job.request(
        ensemble_spec=f"{job.bucket}/none.yaml", output_path="gs://no-such-bucket/out/p"
    )
    message = refused(job, tmp_path, request)
    assert f"--ensemble_spec: '{job.bucket}/none.yaml' does not exist" in message
    assert "--output_path: output 'gs://no-such-bucket/out/p' cannot be written" in message
    assert "bucket 'no-such-bucket' does not exist" in message


@pytest.mark.parametrize("field", ["tempLocation", "stagingLocation"])
def test_missing_bucket_for_the_services_own_files_is_refused_at_once(job, tmp_path, field):
    """Else Beam would try to write there for minutes, after the models were loaded."""
    message = refused(job, tmp_path, job.request({field: "gs://no-such-bucket/x"}))
    option = {"tempLocation": "--temp_location", "stagingLocation": "--staging_location"}[field]
    assert option in message
    assert "bucket 'no-such-bucket' does not exist" in message


def test_what_beam_refuses_of_its_own_options_is_told_like_the_rest(job, tmp_path):
    request = job.request({"numWorkers": 3, "maxWorkers": 2}, output_path="gs://no-such-bucket/p")
    message = refused(job, tmp_path, {**request, "jobName": "Not_A_Name"})
    assert "Not_A_Name" in message
    assert "num_workers (3)" in message
    assert "bucket 'no-such-bucket' does not exist" in message


def test_missing_subscription_is_named(job, pubsub, tmp_path):
    missing = f"projects/{PROJECT}/subscriptions/nowhere"
    request = job.request(input_file_pattern=None, input_subscription=missing)
    message = refused(job, tmp_path, request)
    assert f"--input_subscription: subscription '{missing}' does not exist" in message


def test_what_may_not_be_read_or_written_is_named_with_the_role_for_it(job, tmp_path):
    with ForbiddenStorage() as storage:
        message = refused(job, tmp_path, job.request(), STORAGE_EMULATOR_HOST=storage.url)
    bucket = job.bucket.removeprefix("gs://")
    lines = message.splitlines()
    assert f"no permission for bucket '{bucket}'" in message
    for parameter, role in (
        ("ensemble_spec", "roles/storage.objectViewer"),
        ("input_file_pattern", "roles/storage.objectViewer"),
        ("output_path", "roles/storage.objectUser"),
    ):
        assert any(f"--{parameter}: " in line and role in line for line in lines), message


def test_launch_without_credentials_is_refused_before_anything_is_asked(job, tmp_path):
    """Beam would search for half a minute, and then every look at the storage would fail."""
    nowhere = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    request = job.request(output_path="gs://no-such-bucket/out/p")
    message = refused(job, tmp_path, request, **nowhere)
    assert "no Google Cloud credentials to submit the job with (" in message
    assert "none.json" in message
    assert "gcloud auth application-default login" in message
    assert "no-such-bucket" not in message
