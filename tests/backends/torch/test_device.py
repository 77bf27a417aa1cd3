"""What surrounds the calls of a GPU, on the CPU; tests/gpu has the same with a real one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from pipeline.backends.torch.device import Gpu
from pipeline.errors import ProcessLostError


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


def test_call_that_comes_meanwhile_has_a_thread_of_its_own():
    gpu, both = StandIn(), threading.Barrier(2, timeout=30)

    def call():
        both.wait()  # breaks unless two calls are inside
        return threading.get_ident()

    with ThreadPoolExecutor(2) as callers:
        assert len(set(callers.map(gpu.run, [call, call]))) == 2


def test_third_call_takes_the_thread_that_is_idle_first():
    gpu = StandIn()
    let_go = {name: threading.Event() for name in ("long", "short")}
    inside = threading.Semaphore(0)

    def hold(name):
        inside.release()
        assert let_go[name].wait(30)
        return threading.get_ident()

    with ThreadPoolExecutor(3) as callers:
        for begun, first in enumerate([["long", "short"], ["short", "long"]]):
            held = {name: callers.submit(gpu.run, partial(hold, name)) for name in first}
            for _ in held:
                assert inside.acquire(timeout=30)
            third = callers.submit(gpu.run, threading.get_ident)
            let_go["short"].set()
            assert third.result(30) == held["short"].result(30), begun
            let_go["long"].set()
            assert held["long"].result(30) != held["short"].result(30)
            for event in let_go.values():
                event.clear()


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

    monkeypatch.setattr("pipeline.backends.torch.device.os._exit", leave)
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
