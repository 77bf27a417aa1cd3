"""The workers of a Dataflow job: from template parameters to Beam's options for that service.

Sources: https://cloud.google.com/dataflow/docs/gpu/use-gpus for the options,
https://cloud.google.com/compute/docs/gpus for which GPU goes with which machine type.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

from pipeline.launch.settings import ModelSettings, RunSettings, WorkerSettings

IMAGE_VARIABLE = "ENSEMBLE_IMAGE"
"""Environment variable of the image: its own full name, set when it was built."""
IMAGE_TARGET = "ENSEMBLE_IMAGE_TARGET"
"""Environment variable of the image: cpu or gpu."""

# Registry, path, tag, digest: https://pkg.go.dev/github.com/distribution/reference
_IMAGE_NAME = re.compile(
    r"([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_LEAST_GPU_DISK_GB = 50  # the CUDA libraries alone take 5 GB, and layers are unpacked beside them
_ONE_PROCESS = "no_use_multiple_sdk_containers"
_ON_N1 = "n1-standard-4"
# GPU type -> how many of them -> machine types that have just so many; the first is the default.
_MACHINES: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "nvidia-l4": {
        1: tuple(f"g2-standard-{vcpus}" for vcpus in (4, 8, 12, 16, 32)),
        2: ("g2-standard-24",),
        4: ("g2-standard-48",),
        8: ("g2-standard-96",),
    },
    "nvidia-tesla-a100": {n: (f"a2-highgpu-{n}g",) for n in (1, 2, 4, 8)}
    | {16: ("a2-megagpu-16g",)},
    "nvidia-a100-80gb": {n: (f"a2-ultragpu-{n}g",) for n in (1, 2, 4, 8)},
    "nvidia-h100-80gb": {n: (f"a3-highgpu-{n}g",) for n in (1, 2, 4, 8)},
    "nvidia-tesla-t4": dict.fromkeys((1, 2, 4), (_ON_N1,)),
    "nvidia-tesla-p4": dict.fromkeys((1, 2, 4), (_ON_N1,)),
    "nvidia-tesla-p100": dict.fromkeys((1, 2, 4), (_ON_N1,)),
    "nvidia-tesla-v100": dict.fromkeys((1, 2, 4, 8), (_ON_N1,)),
}


@dataclass(frozen=True)
class _Accelerator:
    type: str
    count: int

    @property
    def machines(self) -> tuple[str, ...]:
        return _MACHINES[self.type][self.count]

    def fits(self, machine: str) -> bool:
        if self.machines == (_ON_N1,):  # attached to a machine, not built into its type
            return machine.startswith(("n1-", "custom-"))
        custom = f"{self.machines[0].split('-')[0]}-custom-"
        return machine in self.machines or machine.startswith(custom)


def configure(
    settings: WorkerSettings, options: PipelineOptions, environ: Mapping[str, str] = os.environ
) -> None:
    """Sets Beam's options for the workers, where the user has not.

    Args:
      settings: what the user asks for, without `problems`.
      options: Beam's options; changed.
      environ: of this process: the image says here what it is.
    """
    worker, debug = options.view_as(WorkerOptions), options.view_as(DebugOptions)
    if not worker.sdk_container_image:
        worker.sdk_container_image = environ.get(IMAGE_VARIABLE) or None
    if settings.accelerator:
        accelerator = _parse(settings.accelerator)
        worker.machine_type = worker.machine_type or accelerator.machines[0]
        worker.disk_size_gb = worker.disk_size_gb or _LEAST_GPU_DISK_GB
        cloud = options.view_as(GoogleCloudOptions)
        cloud.dataflow_service_options = [
            *(cloud.dataflow_service_options or []),
            f"worker_accelerator={_service_option(accelerator, settings.gpu_driver)}",
        ]
    if one_process(settings):
        debug.add_experiment(_ONE_PROCESS)


def one_process(settings: WorkerSettings) -> bool:
    """Whether a worker has one SDK process instead of one for each vCPU."""
    return settings.sdk_processes == "one" or bool(
        settings.accelerator and not settings.sdk_processes
    )


def has_one_process(options: PipelineOptions) -> bool:
    """Whether configured workers have one SDK process, whoever asked for it."""
    return bool(options.view_as(DebugOptions).lookup_experiment(_ONE_PROCESS))


def describe_workers(options: PipelineOptions) -> str:
    """The configured workers, for a person."""
    worker, debug = options.view_as(WorkerOptions), options.view_as(DebugOptions)
    service = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    threads = debug.number_of_worker_harness_threads
    rows = {
        "--sdk_container_image": worker.sdk_container_image,
        "--worker_machine_type": worker.machine_type,
        "--disk_size_gb": worker.disk_size_gb,
        "--number_of_worker_harness_threads": threads,
        "--dataflow_service_options": ",".join(service),
        "--experiments": ",".join(debug.experiments or []),
    }
    return "\n".join(f"  {name}={value or '(of Dataflow)'}" for name, value in rows.items())


def problems(
    settings: WorkerSettings,
    models: ModelSettings,
    run: RunSettings,
    options: PipelineOptions,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[str]:
    """Parameters that do not go together, or that Dataflow does not know."""
    worker = options.view_as(WorkerOptions)
    runner = options.view_as(StandardOptions).runner
    if (image := worker.sdk_container_image) and not _IMAGE_NAME.fullmatch(image):
        yield (
            f"--sdk_container_image: found '{image}', expected the name of an image, such as "
            "us-central1-docker.pkg.dev/PROJECT/REPOSITORY/ensemble:TAG"
        )
    if runner == "DataflowRunner" and not run.dry_run:
        if not (worker.sdk_container_image or environ.get(IMAGE_VARIABLE)):
            yield (
                "--sdk_container_image is missing: the workers need this template's image, with "
                "the frameworks in it; an image built with --build-arg IMAGE=NAME knows its name"
            )
        for name, limit in (
            ("stop_after_secs", run.stop_after_secs),
            ("stop_after_records", run.stop_after_records),
        ):
            if limit:
                yield f"--{name} is for local streams; drain or cancel a job on Dataflow"
    if settings.accelerator:
        yield from _accelerator_problems(settings, models, options, environ)
        return
    if settings.gpu_driver != "default":
        yield "--gpu_driver needs --accelerator"
    on_dataflow = runner == "DataflowRunner"
    if on_dataflow and models.device == "gpu" and not any(_own_accelerators(options)):
        yield "--device=gpu needs --accelerator on Dataflow, such as nvidia-l4:1"


def _accelerator_problems(
    settings: WorkerSettings,
    models: ModelSettings,
    options: PipelineOptions,
    environ: Mapping[str, str],
) -> Iterator[str]:
    worker = options.view_as(WorkerOptions)
    for given in _own_accelerators(options):
        yield f"--accelerator and {given} exclude each other: give one"
    if models.device == "cpu":
        yield "--accelerator and --device=cpu exclude each other: no model would use the GPU"
    if worker.disk_size_gb and worker.disk_size_gb < _LEAST_GPU_DISK_GB:
        yield (
            f"--disk_size_gb: found {worker.disk_size_gb}, expected at least {_LEAST_GPU_DISK_GB} "
            "with --accelerator: the GPU image is large"
        )
    if environ.get(IMAGE_TARGET) == "cpu" and not worker.sdk_container_image:
        yield (
            "--accelerator needs the GPU image: this one is for CPUs; name the other in "
            "--sdk_container_image"
        )
    try:
        accelerator = _parse(settings.accelerator)
    except ValueError as error:
        yield f"--accelerator: {error}"
        return
    if worker.machine_type and not accelerator.fits(worker.machine_type):
        machines = accelerator.machines
        expected = "an N1 machine" if machines == (_ON_N1,) else f"one of {', '.join(machines)}"
        yield (
            f"--worker_machine_type: found {worker.machine_type}, expected {expected} for "
            f"--accelerator={settings.accelerator}"
        )


def _own_accelerators(options: PipelineOptions) -> Iterator[str]:
    """Accelerators that the user asks Dataflow for in other ways."""
    cloud, debug = options.view_as(GoogleCloudOptions), options.view_as(DebugOptions)
    for name, values in (
        ("--dataflow_service_options", cloud.dataflow_service_options),
        ("--experiments", debug.experiments),
    ):
        yield from (f"{name}={v}" for v in values or () if v.startswith("worker_accelerator="))
    hints = options.view_as(StandardOptions).resource_hints or ()  # right fitting
    yield from (f"--resource_hint={h}" for h in hints if "accelerator" in h.partition("=")[0])


def _parse(text: str) -> _Accelerator:
    """Reads TYPE or TYPE:COUNT.

    Raises:
      ValueError: with what was found and expected.
    """
    kind, colon, number = text.partition(":")
    number = number if colon else "1"
    if kind not in _MACHINES:
        raise ValueError(f"found '{kind}', expected one of {', '.join(_MACHINES)}")
    counts = _MACHINES[kind]
    if number not in map(str, counts):
        raise ValueError(
            f"found '{text}', expected {kind}:COUNT with one of {', '.join(map(str, counts))}"
        )
    return _Accelerator(kind, int(number))


def _service_option(accelerator: _Accelerator, driver: str) -> str:
    parts = [f"type:{accelerator.type}", f"count:{accelerator.count}"]
    if driver != "none":
        version = "" if driver == "default" else f":{driver}"
        parts.append(f"install-nvidia-driver{version}")
    return ";".join(parts)
