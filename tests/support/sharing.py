"""Processes that share models: each does what its test asks, one thing at a time."""

import multiprocessing
import os
import sys
from pathlib import Path

from pipeline.batch.release import ModelVersion
from pipeline.connectors.vm_sharing import VmSharing
from pipeline.serving.files.artifacts import ArtifactCache, digest_of
from pipeline.serving.loader import FrameworkLoader
from tests.backends.cases import model_spec

LOOK_SECS = 0.05


class Client:
    """A process of a machine. The first that loads a shared model starts the host, its child."""

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        self.process.start()
        theirs.close()

    def begin(self, function, *args):
        """Has `function(servables, *args)` called there; `servables` is a dict that stays."""
        self._connection.send((function, args))

    def end(self):
        """What it returned; raises what it raised."""
        outcome = self._connection.recv()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def ask(self, function, *args):
        self.begin(function, *args)
        return self.end()

    def kill(self):
        self.process.kill()
        self.process.join()

    def stop(self):
        if self.process.is_alive():
            self.begin(None)
        self.process.join()


def _serve(connection):
    servables = {}
    while True:
        function, args = connection.recv()
        if function is None:
            os._exit(0)  # multiprocessing would wait for the host, which ends after its parent
        try:
            outcome = function(servables, *args)
        except Exception as error:
            outcome = error
        connection.send(outcome)


def open_model(servables, loader, version):
    servables[version] = loader(version)
    return servables[version].signature


def predict(servables, version, inputs):
    return servables[version].predict(inputs)


def close_model(servables, version):
    servables.pop(version).close()


def close_all(servables):
    while servables:
        servables.popitem()[1].close()


def has_imported(servables, module):
    return module in sys.modules


def watched_spec(**changes):
    entry = {"framework": "python", "uri": "tests.support.steps:Watched", "path": "models/1"}
    binding = {"inputs": {"x": "x"}, "outputs": {"y": "y"}}
    return model_spec(**{**entry, **binding, "model_sharing": "vm", **changes})


def loader_of(spec, folder, job_key, **settings):
    sharing = VmSharing(job_key, LOOK_SECS)
    return FrameworkLoader(
        (spec,), ArtifactCache(folder / "cache", None), "cpu", 1, sharing=sharing, **settings
    )


def version_of(spec, path):
    return ModelVersion(spec.name, str(path), digest_of(path))


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
