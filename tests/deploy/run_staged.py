"""Executes a staged pipeline proto on the local runner: ``run_staged.py URI``.

Run in a process that has the installed package and nothing of the repository. The proto stays as
it was staged but for where its steps run: a container in the job, this process here.
"""

import json
import sys

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import pipeline as package


def main(uri):
    options = PipelineOptions(["--no_auth"])
    FileSystems.set_options(options)
    with FileSystems.open(uri) as file:
        proto = beam_runner_api_pb2.Pipeline.FromString(file.read())
    for environment in proto.components.environments.values():
        assert environment.urn == common_urns.environments.DOCKER.urn
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
        del environment.dependencies[:]
    result = FnApiRunner().run_via_runner_api(proto, options)
    result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    predictions = sum(c.committed for c in counters if c.key.metric.name == "predictions")
    print(json.dumps({"package": package.__file__, "predictions": predictions}))


if __name__ == "__main__":
    main(sys.argv[1])
