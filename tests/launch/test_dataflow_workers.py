"""From parameters to what Dataflow is asked for, and what does not go together."""

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    WorkerOptions,
)

from pipeline.launch import dataflow_workers
from pipeline.launch.options import parse
from pipeline.launch.settings import settings_of

GOOD = ("--ensemble_spec=e.yaml", "--input_file_pattern=in*", "--output_path=out/p")
DATAFLOW = ("--runner=DataflowRunner", "--sdk_container_image=registry/ensemble:1")


def configured(*argv, **environ):
    parsed = parse([*GOOD, *argv])
    options = PipelineOptions(list(parsed.beam_args))
    dataflow_workers.configure(parsed.settings.workers, options, environ)
    worker, debug = options.view_as(WorkerOptions), options.view_as(DebugOptions)
    cloud = options.view_as(GoogleCloudOptions)
    return worker, debug.experiments or [], cloud.dataflow_service_options or [], options


def problems(*argv, **environ):
    # What parse() itself finds wrong would raise; this asks for the workers' part, with environ.
    texts = dict(arg[2:].partition("=")[::2] for arg in argv)
    values = parse(GOOD).settings.values
    ours = {n: int(v) if n.startswith("stop_after") else v for n, v in texts.items() if n in values}
    settings = settings_of({**values, **ours})
    options = PipelineOptions([f"--{n}={v}" for n, v in texts.items() if n not in ours])
    workers, models, run = settings.workers, settings.models, settings.run
    return list(dataflow_workers.problems(workers, models, run, options, environ))


@pytest.mark.parametrize(
    "image",
    [
        "Not An Image",
        "https://gcr.io/p/i",
        "gs://b/i",
        "gcr.io/p/Image:1",
        "gcr.io/p/i:",
        "p/i@sha",
    ],
)
def test_what_is_no_name_of_an_image_is_refused(image):
    (problem,) = problems("--runner=DataflowRunner", f"--sdk_container_image={image}")
    assert problem.startswith(f"--sdk_container_image: found '{image}', expected the name of an")


@pytest.mark.parametrize(
    "image", ["i", "localhost:5000/a/b", "gcr.io/p/i:1.2-x", "r.dev/p/i:t@sha256:" + "0f" * 32]
)
def test_names_of_images_are_taken(image):
    assert problems("--runner=DataflowRunner", f"--sdk_container_image={image}") == []


def test_a_gpu_brings_machine_driver_disk_and_one_process():
    worker, experiments, service, _ = configured(*DATAFLOW, "--accelerator=nvidia-l4:1")
    assert service == ["worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"]
    assert (worker.machine_type, worker.disk_size_gb) == ("g2-standard-4", 50)
    assert experiments == ["no_use_multiple_sdk_containers"]


def test_what_the_user_says_goes_first():
    worker, experiments, service, options = configured(
        *DATAFLOW,
        "--accelerator=nvidia-l4",
        "--worker_machine_type=g2-standard-16",
        "--disk_size_gb=200",
        "--gpu_driver=5xx",
        "--sdk_processes=per_core",
        "--number_of_worker_harness_threads=8",
        "--dataflow_service_options=enable_prime",
        "--experiments=x",
    )
    assert service == [
        "enable_prime",
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx",
    ]
    assert (worker.machine_type, worker.disk_size_gb) == ("g2-standard-16", 200)
    assert experiments == ["x"]
    assert options.view_as(DebugOptions).number_of_worker_harness_threads == 8


def test_driver_can_be_left_to_the_image():
    _, _, service, _ = configured(*DATAFLOW, "--accelerator=nvidia-tesla-t4:2", "--gpu_driver=none")
    assert service == ["worker_accelerator=type:nvidia-tesla-t4;count:2"]


def test_without_gpu_nothing_is_set():
    worker, experiments, service, _ = configured(*DATAFLOW)
    assert (worker.machine_type, worker.disk_size_gb, experiments, service) == (None, None, [], [])


def test_workers_run_the_image_that_launches_them_unless_another_is_named():
    worker, *_ = configured(ENSEMBLE_IMAGE="registry/ensemble:7")
    assert worker.sdk_container_image == "registry/ensemble:7"
    worker, *_ = configured(*DATAFLOW, ENSEMBLE_IMAGE="registry/ensemble:7")
    assert worker.sdk_container_image == "registry/ensemble:1"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--accelerator=nvidia-l5:1"], "--accelerator: found 'nvidia-l5', expected one of nvi"),
        (["--accelerator=nvidia-l4:3"], "found 'nvidia-l4:3', expected nvidia-l4:COUNT with one"),
        (["--accelerator=nvidia-l4:"], "found 'nvidia-l4:', expected nvidia-l4:COUNT"),
        (
            ["--accelerator=nvidia-l4:1", "--worker_machine_type=n1-standard-4"],
            "--worker_machine_type: found n1-standard-4, expected one of g2-standard-4, ",
        ),
        (
            ["--accelerator=nvidia-l4:1", "--worker_machine_type=g2-standard-24"],
            "--worker_machine_type: found g2-standard-24",
        ),
        (["--accelerator=nvidia-l4:1", "--worker_machine_type=g2-custom-6-24576"], None),
        (
            ["--accelerator=nvidia-tesla-t4:1", "--machine_type=g2-standard-4"],
            "expected an N1 machine for --accelerator=nvidia-tesla-t4:1",
        ),
        (["--accelerator=nvidia-tesla-t4:1", "--machine_type=n1-highmem-8"], None),
        (
            ["--accelerator=nvidia-l4:1", "--resource_hint=accelerator=type:nvidia-l4;count:1"],
            "--accelerator and --resource_hint=accelerator=type:nvidia-l4;count:1 exclude each",
        ),
        (
            ["--accelerator=nvidia-l4:1", "--experiments=worker_accelerator=type:nvidia-l4"],
            "--accelerator and --experiments=worker_accelerator=type:nvidia-l4 exclude each other",
        ),
        (
            ["--accelerator=nvidia-l4:1", "--dataflow_service_options=worker_accelerator=type:x"],
            "--accelerator and --dataflow_service_options=worker_accelerator=type:x exclude each",
        ),
        (["--accelerator=nvidia-l4:1", "--disk_size_gb=30"], "--disk_size_gb: found 30, expected"),
        (["--accelerator=nvidia-l4:1", "--device=cpu"], "--accelerator and --device=cpu exclude"),
        (["--gpu_driver=5xx"], "--gpu_driver needs --accelerator"),
        (["--device=gpu"], "--device=gpu needs --accelerator on Dataflow"),
        (["--stop_after_secs=5"], "--stop_after_secs is for local streams"),
    ],
)
def test_what_does_not_go_together_is_named(argv, said):
    found = problems(*DATAFLOW, *argv)
    assert (len(found), said) == (0, None) or (len(found) == 1 and said in found[0]), found


def test_a_job_without_image_is_refused():
    (found,) = problems("--runner=DataflowRunner")
    assert "--sdk_container_image is missing" in found
    assert problems("--runner=DataflowRunner", ENSEMBLE_IMAGE="registry/ensemble:7") == []
    assert problems("--runner=DirectRunner") == []


def test_cpu_image_does_not_serve_a_gpu():
    gpu = ("--runner=DataflowRunner", "--accelerator=nvidia-l4:1")
    image = {"ENSEMBLE_IMAGE": "registry/ensemble:7"}
    (found,) = problems(*gpu, ENSEMBLE_IMAGE_TARGET="cpu", **image)
    assert "needs the GPU image" in found
    assert problems(*gpu, ENSEMBLE_IMAGE_TARGET="gpu", **image) == []
    # The CPU image may launch workers that run the GPU image.
    two = (*gpu, "--sdk_container_image=registry/ensemble-gpu:7")
    assert problems(*two, ENSEMBLE_IMAGE_TARGET="cpu", **image) == []


def test_all_problems_are_reported_with_those_of_the_other_parameters():
    from pipeline.errors import ParameterError

    with pytest.raises(ParameterError) as error:
        parse(
            [
                "--accelerator=nvidia-l5",
                "--gpu_driver=none",
                "--max_batch_size=-1",
                "--refresh_mod=x",
            ]
        )
    text = "\n".join(error.value.problems)
    for name in ("--ensemble_spec", "--accelerator", "--max_batch_size", "--refresh_mod"):
        assert name in text
