"""Keeps the ports of Beam's local runner on this machine.

Between the runner and its worker processes everything is unencrypted, and nobody is asked for a
name: whoever reaches a port may hand a worker code. Beam 2.77 opens all of them to every network.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc

_EVERYWHERE = "[::]:"
# The name by which Beam's workers call their runner.
_HERE = "localhost:"


def stay_on_loopback() -> None:
    """Makes the servers that this process starts from now on answer this machine only."""
    from apache_beam.runners.portability import local_job_service
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.runners.worker import worker_pool_main

    for module in (worker_handlers, local_job_service, worker_pool_main):
        if module.grpc is grpc:
            module.grpc = SimpleNamespace(**{**vars(grpc), "server": _server})


def _server(*settings: Any, **more: Any) -> Any:
    server = grpc.server(*settings, **more)
    add_port = server.add_insecure_port

    def add_insecure_port(address: str) -> int:
        port: int = add_port(address.replace(_EVERYWHERE, _HERE))
        return port

    server.add_insecure_port = add_insecure_port
    return server
