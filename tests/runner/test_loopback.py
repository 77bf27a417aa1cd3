import os

from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from pipeline.runner.loopback import stay_on_loopback
from tests.support.sockets import is_loopback, listening


def test_workers_in_the_process_that_launches_answer_this_machine_only():
    stay_on_loopback()
    before = listening(os.getpid())
    _address, server = BeamFnExternalWorkerPoolServicer.start()
    try:
        opened = listening(os.getpid()) - before
        assert opened
        assert all(is_loopback(address) for address, _port in opened), opened
    finally:
        server.stop(None)
