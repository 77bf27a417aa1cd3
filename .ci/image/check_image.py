"""Checks the image it stands in, and tells on which device each framework computes.

The build runs it, and a worker of the GPU image when it starts. By hand, on a machine with a GPU:

    docker run --rm --gpus all --entrypoint python IMAGE /template/check_image.py --device gpu

A line names the device of a result that was just computed, so that none says more than was seen.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported: errors only

# What an ensemble may need besides the frameworks themselves; most of it is imported late.
MODULES = ("apache_beam", "zstandard", "pipeline.jobs.run")
MODULES_OF = {"tensorflow": ("tensorflow_hub", "tf_keras"), "sklearn": ("skops.io",)}

# The graph y = x + x on a float32[1], IR 10, opset 21. Nothing in the image writes ONNX files.
ONNX_GRAPH = (
    b'\x08\n:5\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04'
    b"\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x15"
)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def tensorflow() -> tuple[str, str]:
    """Its version, and where it computes when nothing is said."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        # Otherwise it takes the whole memory and leaves the other frameworks none.
        tf.config.experimental.set_memory_growth(gpu, True)
    ones = tf.ones((2, 2))
    return tf.__version__, "gpu" if "GPU" in (ones @ ones).device else "cpu"


def torch() -> tuple[str, str]:
    """Its version, and where it computes: on a GPU if it sees one."""
    import torch

    ones = torch.ones((2, 2), device="cuda:0" if torch.cuda.is_available() else "cpu")
    return torch.__version__, "gpu" if (ones @ ones).is_cuda else "cpu"


def onnxruntime() -> tuple[str, str]:
    """Its version, and where it computes: on a GPU if its build and the machine have it."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # the errors arrive as exceptions

    def device_of(*providers: str) -> str:
        session = ort.InferenceSession(ONNX_GRAPH, options, list(providers), enable_fallback=0)
        session.run(None, {"x": np.ones(1, np.float32)})
        # A provider whose libraries are missing is dropped in silence: ask what the session has.
        return "gpu" if session.get_providers()[0] == CUDA else "cpu"

    device = "cpu"
    if CUDA in ort.get_available_providers():
        ort.preload_dlls()  # CUDA lies in the nvidia-* packages, where the linker does not look
        try:
            device = device_of(CUDA, CPU)
        except Exception as error:  # CUDA's own, for want of a driver or a GPU
            print(f"ONNX Runtime cannot use CUDA: {error}".splitlines()[0], file=sys.stderr)
    return ort.__version__, device if device == "gpu" else device_of(CPU)


def sklearn() -> tuple[str, str]:
    """Its version; it has no GPU support."""
    import sklearn as package

    return package.__version__, "cpu"


# By their names in FRAMEWORKS of the Dockerfile.
FRAMEWORKS: dict[str, tuple[str, Callable[[], tuple[str, str]]]] = {
    "tensorflow": ("TensorFlow", tensorflow),
    "torch": ("PyTorch", torch),
    "onnx": ("ONNX Runtime", onnxruntime),
    "sklearn": ("scikit-learn", sklearn),
}


def check_devices(expected: str, frameworks: Iterable[str] = FRAMEWORKS) -> Iterator[str]:
    """Prints a line for each framework; yields what is not as expected ("auto", "cpu" or "gpu")."""
    for name, compute in (FRAMEWORKS[each] for each in frameworks):
        try:
            found, device = compute()
        except Exception as error:  # the others are still worth a line
            yield f"{name} cannot compute: {type(error).__name__}: {error}"
            continue
        print(f"{name:<12}  {found:<12}  {device}", flush=True)
        if expected not in ("auto", device) and name != "scikit-learn":
            yield f"{name} computes on the {device}, expected the {expected}"


def check_build(beam_version: str, frameworks: Iterable[str] = FRAMEWORKS) -> Iterator[str]:
    """Imports what no check of a device imports; yields what is not as expected."""
    if version("apache-beam") != beam_version:
        yield (
            f"Apache Beam {version('apache-beam')} is installed, but boot is the one of "
            f"{beam_version}: BEAM_VERSION and the requirements have to agree"
        )
    for module in (*MODULES, *(m for each in frameworks for m in MODULES_OF.get(each, ()))):
        importlib.import_module(module)


def check_cuda(family: str) -> Iterator[str]:
    """Yields what is not of the CUDA `family`, such as "12", or not there to be loaded.

    No GPU is needed. PyTorch's libraries were loaded with it; TensorFlow finds its own by the same
    relative paths, and only once there is a GPU.
    """
    import onnxruntime as ort
    import tensorflow as tf
    import torch

    built_for = {
        "TensorFlow": tf.sysconfig.get_build_info().get("cuda_version"),
        "PyTorch": torch.version.cuda,
        "ONNX Runtime": getattr(ort, "cuda_version", None),
    }
    for name, found in built_for.items():
        if str(found).partition(".")[0] != family:
            yield f"{name} was built for CUDA {found or 'none'}, expected {family}"
    libraries = Path(ort.__file__).parent / "capi"
    try:
        ort.preload_dlls()
        for name in ("shared", "cuda"):  # in this order: the second stands on the first
            ctypes.CDLL(str(libraries / f"libonnxruntime_providers_{name}.so"), ctypes.RTLD_GLOBAL)
    except OSError as error:
        yield f"ONNX Runtime's CUDA provider cannot be loaded: {error}"


def main() -> int:
    """The exit status: 0 all as expected, 1 not."""
    parser = argparse.ArgumentParser(description="Checks the image and the devices it computes on.")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--beam_version", help="in a build: the Beam that boot is of")
    parser.add_argument("--cuda_family", help="in a build: the first number of CUDA's version")
    parser.add_argument(
        "--frameworks",
        default=os.environ.get("ENSEMBLE_FRAMEWORKS", " ".join(FRAMEWORKS)),
        help="what the image has, with a space between (default: what it was built with, or all)",
    )
    options = parser.parse_args()
    frameworks = options.frameworks.split()

    problems = list(check_devices(options.device, frameworks))
    if options.beam_version:
        problems += check_build(options.beam_version, frameworks)
    if options.cuda_family:
        problems += check_cuda(options.cuda_family)
    for problem in problems:
        print(f"not as expected: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
