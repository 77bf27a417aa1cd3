"""Processes times threads of a call: never more than there are cores, wherever a job runs."""

import pytest

from pipeline.jobs.engines import local
from pipeline.jobs.engines.local import Local
from pipeline.jobs.engines.service import Service
from pipeline.jobs.run import beam_options
from pipeline.launch import dataflow_workers
from pipeline.launch.options import parse
from pipeline.launch.placement import Placement, RemotePlacement

USABLE, COUNTED_BY_BEAM = 8, 16
GOOD = ("--ensemble_spec=e.yaml", "--input_file_pattern=in*", "--output_path=out/p")


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(local, "usable_cores", lambda: USABLE)
    monkeypatch.setattr(local.os, "cpu_count", lambda: COUNTED_BY_BEAM)


@pytest.mark.parametrize(
    ("workers", "mode", "threads", "shared", "several"),
    [
        (1, "in_memory", 8, False, False),
        (4, "in_memory", 8, True, False),  # threads, all the same
        (4, "multi_threading", 8, True, False),
        (1, "multi_processing", 8, False, False),
        (3, "multi_processing", 2, False, True),
        (0, "multi_processing", 1, False, True),  # 0: one for each core, as Beam counts them
    ],
)
def test_local_workers_share_the_cores_of_the_machine(workers, mode, threads, shared, several):
    options = beam_options([f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"])
    assert Local().placement(options) == Placement(threads, shared, several)


@pytest.mark.parametrize(
    ("args", "processes"),
    [(["--direct_num_workers=2"], 2), (["--direct_num_workers=1"], 1), ([], 1)],
)
def test_number_of_workers_alone_is_that_of_processes(args, processes):
    placement = Local().placement(beam_options(args))
    assert placement.several_processes == (processes > 1)
    assert not placement.threads_share_models


@pytest.mark.parametrize(
    ("args", "threads", "several"),
    [
        ((), 1, True),
        (("--sdk_processes=one",), 0, False),
        (("--accelerator=nvidia-l4:1",), 0, False),
        (("--accelerator=nvidia-l4:1", "--sdk_processes=per_core"), 1, True),
        (("--experiments=no_use_multiple_sdk_containers",), 0, False),
    ],
)
def test_process_on_dataflow_has_one_core_or_all_of_its_worker(args, threads, several):
    parsed = parse([*GOOD, "--runner=DataflowRunner", "--sdk_container_image=i", *args])
    options = beam_options(parsed.beam_args)
    dataflow_workers.configure(parsed.settings.workers, options, {})
    assert Service().placement(options) == RemotePlacement(threads, True, several)
