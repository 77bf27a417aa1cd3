"""Launches a job with a large TorchScript model and refreshes it four times.

Prints by how many versions the memory of the process has grown after each refresh. Usage:
``python -m tests.releases.refresh_a_job FOLDER MEMORY_POLICY``.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import yaml

from pipeline.batch.release import ModelVersion, Release
from pipeline.jobs import run
from pipeline.launch import job as launch
from pipeline.launch.options import parse
from pipeline.launch.placement import Placement
from pipeline.serving.activation import Timing
from pipeline.serving.files.local_files import digest_of

WIDTH = 6000


def write_model(folder: Path) -> Path:
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, 1))
    torch.jit.script(network.eval()).save(folder / "model.pt")
    return folder / "model.pt"


def write_ensemble(folder: Path, model: Path) -> Path:
    entry = {
        "name": "net",
        "framework": "torch",
        "uri": str(model),
        "inputs": {"input": "x"},
        "outputs": {"output_0": "y"},
    }
    fields = {"x": {"dtype": "float32", "shape": [WIDTH]}}
    spec = {"name": "large", "record": {"fields": fields}, "models": [entry]}
    (folder / "ensemble.yaml").write_text(yaml.safe_dump(spec))
    return folder / "ensemble.yaml"


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(folder: Path, policy: str) -> None:
    model = write_model(folder)
    given = [
        f"--ensemble_spec={write_ensemble(folder, model)}",
        f"--input_file_pattern={folder}/in/*.jsonl",
        f"--output_path={folder}/out/p",
        "--streaming=true",
        "--refresh_mode=watch",
        f"--release_pattern={folder}/proposed/*.json",
        f"--memory_policy={policy}",
        "--device=cpu",
    ]
    placement = Placement(intra_op_threads=1, threads_share_models=False, several_processes=False)
    impatient = Timing(retry_secs=(), grace_secs=0.0)
    launch.ManagerFactory = partial(launch.ManagerFactory, timing=impatient)
    job = launch.check_job(
        parse(given).settings, run.beam_options([]), placement, lambda text: None
    )
    manager = job.handle.get()
    manager.ensure(job.release)
    before, size = resident_bytes(), model.stat().st_size
    for generation in range(2, 6):
        copy = folder / f"{generation}.pt"
        copy.hardlink_to(model)
        version = ModelVersion("net", str(copy), digest_of(copy))
        manager.ensure(Release(generation, (version,)))
        manager.evict()
        print((resident_bytes() - before) / size)
    job.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
