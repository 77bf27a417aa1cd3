"""What surrounds the calls of a GPU, on the CPU; tests/gpu has the same with a real one."""

import threading

import pytest
import torch

from pipeline.backends.torch_device import Gpu
from pipeline.errors import ProcessLostError
from tests.waiting import wait_until


class StandIn(Gpu):
    """Without streams; it works as long as the test wants."""

    works = True

    def _take_stream(self):
        pass

    def _works(self):
        return self.works


def test_lone_caller_meets_the_same_thread_whoever_it_is():
    gpu = StandIn()
    found = [gpu.run(threading.get_ident) for _ in range(5)]
    others = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: others.append(gpu.run(threading.get_ident)))
        thread.start()
        thread.join()
    assert len({*found, *others}) == 1
    assert threading.get_ident() not in found


def test_call_that_comes_meanwhile_has_a_thread_of_its_own_and_a_third_waits():
    gpu, both = StandIn(), threading.Barrier(3, timeout=30)
    found = []

    def call():
        both.wait()
        return threading.get_ident()

    callers = [
        threading.Thread(target=lambda: found.append(gpu.run(call)), daemon=True) for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    both.wait()  # two calls are inside at the same time
    for caller in callers:
        caller.join()
    assert len(set(found)) == 2

    held, let_go = threading.Event(), threading.Event()

    def hold():
        held.set()
        assert let_go.wait(30)

    callers = [threading.Thread(target=gpu.run, args=(hold,)) for _ in range(3)]
    for caller in callers:
        caller.start()
    wait_until(lambda: sorted(lane.calls for lane in gpu._lanes) == [1, 2])
    let_go.set()
    for caller in callers:
        caller.join()
    assert [lane.calls for lane in gpu._lanes] == [0, 0]


def test_calls_are_made_in_inference_mode():
    assert StandIn().run(torch.is_inference_mode_enabled)


def fail():
    raise RuntimeError("CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert'")


def test_error_of_a_gpu_that_works_is_passed_on():
    gpu = StandIn()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="device-side assert triggered"):
            gpu.run(fail)
    assert gpu.run(lambda: 1) == 1


def test_lost_gpu_is_told_at_once_and_the_next_call_ends_the_process(monkeypatch, caplog):
    class ExitError(BaseException):
        pass

    def leave(status):
        raise ExitError(status)

    monkeypatch.setattr("pipeline.backends.torch_device.os._exit", leave)
    gpu = StandIn()
    gpu.works = False
    told = (
        r"^the GPU is lost to this process: CUDA error: device-side assert triggered; a value out"
    )
    with pytest.raises(ProcessLostError, match=told) as lost:
        gpu.run(fail)
    assert str(lost.value) in caplog.text
    with pytest.raises(ExitError):
        gpu.run(lambda: 1)
    assert "this process ends: its GPU is lost, CUDA error: device-side assert" in caplog.text
