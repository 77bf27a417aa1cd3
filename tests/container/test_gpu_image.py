"""The GPU image, on a machine without a GPU. Collected with ENSEMBLE_TEST_GPU_IMAGE=1: 11 GB."""

import pytest

from tests.container.images import build, docker

pytestmark = pytest.mark.timeout(3600)
IMAGE = "ensemble-gpu:test"


@pytest.fixture(scope="module")
def gpu_image(base_images):
    """Built: pip finds no conflict, every framework imports and was built for CUDA 12."""
    built = build(target="gpu", tag=IMAGE)
    assert built.returncode == 0, (built.stdout + built.stderr)[-5000:]
    return IMAGE


def test_worker_names_the_device_of_each_framework_before_it_starts(gpu_image, stubs):
    done = docker("run", "--rm", "--network=none", *stubs, gpu_image, "--id=1-1")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("TensorFlow", "cpu"),
        ("PyTorch", "cpu"),
        ("ONNX", "cpu"),
        ("scikit-learn", "cpu"),
        ("boot:", "--id=1-1"),
    ]


def test_launch_checks_no_device(gpu_image, stubs):
    done = docker("run", "--rm", "--network=none", *stubs, gpu_image, "--help")
    assert "PyTorch  " not in done.stdout
    assert "--ensemble_spec" in done.stdout


def test_check_that_wants_a_gpu_names_each_framework_that_has_none(gpu_image):
    check = ["--entrypoint=python", gpu_image, "/template/check_image.py", "--device=gpu"]
    done = docker("run", "--rm", "--network=none", *check)
    assert done.returncode == 1
    for name in ("TensorFlow", "PyTorch", "ONNX Runtime"):
        assert f"{name} computes on the cpu, expected the gpu" in done.stderr


def test_driver_is_looked_for_where_dataflow_mounts_it(gpu_image):
    shown = docker("image", "inspect", gpu_image, "--format={{.Config.Env}}").stdout
    assert "LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64" in shown
    assert "ENSEMBLE_IMAGE_TARGET=gpu" in shown


def test_model_that_may_use_either_device_runs_on_the_cpu(gpu_image, digits):
    # ONNX Runtime's CUDA provider loads here but finds no driver: the session must not fail.
    run = [
        "--entrypoint=python",
        gpu_image,
        "/template/main.py",
        "--ensemble_spec=/d/ensemble.yaml",
    ]
    mounted = f"--volume={digits}:/d:ro"
    done = docker("run", "--rm", "--network=none", mounted, *run, "--dry_run=true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(", on cpu, ") == 4
