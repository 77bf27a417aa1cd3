"""The promises of DESIGN section 1 under load: no pause, last known good, atomic, true labels.

Four threads send batches through real models, each served by whatever release is active, while
releases change. What each batch computed tells which versions did it.
"""

import itertools
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline.batch.batch import Batch
from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving.activation import Timing
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import OnnxModel
from tests.backends.cases import AFFINE, load
from tests.support import models

ROOT = Path(__file__).parents[2]
THREADS = 4
ROWS = Batch(ids=tuple(range(8)), payloads=(b"",) * 8, columns={"x": np.ones((8, 4), np.float32)})


def onnx_spec(name, inputs, outputs):
    return OnnxModel.model_validate(
        {"name": name, "framework": "onnx", "uri": name, "inputs": inputs, "outputs": outputs}
    )


def version_of(model, path):
    return ModelVersion(model, str(path), digest_of(path))


def single(generation, path):
    return Release(generation, (version_of("m", path),))


AFFINE_SPEC = onnx_spec("m", {"x": "x"}, {"y": "y"})


def load_onnx(version, spec=AFFINE_SPEC):
    return load(Path(version.uri), spec)


class Stream:
    """Threads that keep running batches until told to stop; every finished batch is kept."""

    def __init__(self, manager, specs, first):
        self.finished = []  # (time, batch); list.append is atomic
        self._manager = manager
        self._specs = specs
        self._first = first
        self._stop = threading.Event()
        self._reached = threading.Condition()
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]

    def _run(self):
        steps = {spec.name: ModelStep(spec) for spec in self._specs}
        while not self._stop.is_set():
            batch = ROWS.with_release(self._manager.wait_active(self._first))
            for name, step in steps.items():
                with self._manager.use(batch.release, name) as servable:
                    batch = step.run(batch, servable)
            with self._reached:
                self.finished.append((time.monotonic(), batch))
                self._reached.notify_all()

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, condition, secs=30):
        with self._reached:
            assert self._reached.wait_for(condition, timeout=secs)

    def wait_for_more(self, batches):
        wanted = len(self.finished) + batches
        self.wait_for(lambda: len(self.finished) >= wanted)

    def generations(self):
        return [batch.release.generation for _, batch in self.finished]


@contextmanager
def streaming(manager, specs, first):
    stream = Stream(manager, specs, first)
    stream.start()
    try:
        yield stream
    finally:
        stream.stop()
        manager.close()


def longest_gap(times):
    return max(after - before for before, after in itertools.pairwise(times))


def test_no_pause_while_a_model_that_takes_three_seconds_is_refreshed(tmp_path):
    one, two = (single(n, models.onnx_file(tmp_path / str(n), scale=n)) for n in (1, 2))
    slow = threading.Event()  # never set: a wait that nobody ends takes its whole time

    def load_slowly(version):
        if version == two.version_of("m"):
            slow.wait(3.0)
        return load_onnx(version)

    manager = ReleaseManager(load_slowly)
    with streaming(manager, [AFFINE_SPEC], one) as stream:
        stream.wait_for_more(2000)
        steady_until = len(stream.finished)
        manager.aspire(two)
        stream.wait_for(lambda: stream.generations()[-1] == 2)
        stream.wait_for_more(200)
    times = [at for at, _ in stream.finished]
    assert times[-1] - times[steady_until] > 3.0
    # Benchmarks hold it against the steady gaps. On a busy machine a thread may wait for its turn,
    # but never for the load: that would be all of the 3 s, as with stock RunInference.
    assert longest_gap(times[steady_until:]) < 1.5


def test_nothing_is_mislabelled_when_a_version_is_corrupt(tmp_path):
    good = {n: single(n, models.onnx_file(tmp_path / str(n), scale=n)) for n in (1, 3)}
    corrupt_file = tmp_path / "2" / "model.onnx"
    corrupt_file.parent.mkdir()
    corrupt_file.write_bytes(b"not a model")
    corrupt = single(2, corrupt_file)
    manager = ReleaseManager(load_onnx, timing=Timing(retry_secs=()))
    attempts = []
    with streaming(manager, [AFFINE_SPEC], good[1]) as stream:
        stream.wait_for_more(50)
        manager.aspire(corrupt)
        stream.wait_for(
            lambda: (
                attempts.extend(manager.drain_activations())
                or any(a.release == corrupt for a in attempts)
            )
        )
        stream.wait_for_more(50)
        manager.aspire(good[3])
        stream.wait_for(lambda: stream.generations()[-1] == 3)
        stream.wait_for_more(50)
    for _, batch in stream.finished:
        weights, bias = models.affine_weights(batch.release.generation)
        np.testing.assert_allclose(
            batch.columns["y"], ROWS.columns["x"] @ weights + bias, rtol=1e-5
        )
        assert len(batch) == len(ROWS), "no record is lost"
    assert set(stream.generations()) == {1, 3}
    (failure,) = [a for a in attempts if a.release == corrupt]
    assert isinstance(failure.error, LoadError)
    assert str(corrupt_file) in str(failure.error)


def test_models_of_one_release_change_together(tmp_path):
    """The first model puts out its generation, the second compares that with its own."""

    def embedding(n):
        return models.save_onnx(
            tmp_path / f"embedding/{n}/model.onnx",
            [("ReduceSum", ["x", "axis"], ["sum"], {}), ("Mul", ["sum", "zero"], ["none"], {}),
             ("Add", ["none", "n"], ["e"], {})],
            {"x": ("float32", ["rows", 4])},
            {"e": ("float32", ["rows", 1])},
            {"axis": np.array([1]), "zero": np.float32(0), "n": np.float32(n)},
        )  # fmt: skip

    def classifier(n):
        return models.save_onnx(
            tmp_path / f"classifier/{n}/model.onnx",
            [("Sub", ["e", "n"], ["difference"], {})],
            {"e": ("float32", ["rows", 1])},
            {"difference": ("float32", ["rows", 1])},
            {"n": np.float32(n)},
        )

    specs = [
        onnx_spec("embedding", {"x": "x"}, {"e": "e"}),
        onnx_spec("classifier", {"e": "e"}, {"difference": "difference"}),
    ]
    by_name = {spec.name: spec for spec in specs}
    releases = [
        Release(n, (version_of("embedding", embedding(n)), version_of("classifier", classifier(n))))
        for n in range(1, 22)
    ]
    manager = ReleaseManager(
        lambda version: load_onnx(version, by_name[version.model]), timing=Timing(grace_secs=0.0)
    )
    with streaming(manager, specs, releases[0]) as stream:
        for release in releases:
            manager.aspire(release)
            stream.wait_for(lambda: stream.generations()[-1:] == [release.generation])  # noqa: B023
    assert len(set(stream.generations())) == 21
    for _, batch in stream.finished:
        assert batch.columns["e"].ravel().tolist() == [batch.release.generation] * len(ROWS)
        assert not batch.columns["difference"].any()


@pytest.mark.parametrize("case", AFFINE, ids=str)
def test_every_framework_and_format_refreshes(case, tmp_path):
    spec = case.spec()
    releases = [
        Release(n, (version_of(spec.name, case.build(tmp_path / str(n), scale=n)),)) for n in (1, 2)
    ]
    manager = ReleaseManager(lambda version: load(Path(version.uri), spec))
    step = ModelStep(spec)
    (column,) = spec.columns_read()
    (values,) = case.rows(1).values()
    rows = Batch(ids=(0,), payloads=(b"",), columns={column: values})
    outputs = []
    for release in releases:
        manager.ensure(release)
        batch = rows.with_release(manager.active())
        with manager.use(batch.release, spec.name) as servable:
            (output,) = step.run(batch, servable).columns.keys() - {column}
            outputs.append(step.run(batch, servable).columns[output])
    np.testing.assert_allclose(outputs[1], 2 * outputs[0], rtol=1e-3)
    manager.close()


SWAPS = """
import sys
from pathlib import Path
import numpy as np
from pipeline.batch.release import ModelVersion, Release
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager
from tests.support import models
from tests.releases.test_refresh_promises import load_onnx

def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20

folder = Path(sys.argv[1])
manager = ReleaseManager(load_onnx, timing=Timing(grace_secs=0.0))
for n in range(1, 26):
    path = models.save_onnx(
        folder / "model.onnx",
        [("Mul", ["x", "n"], ["y0"], {}), ("ReduceSum", ["big"], ["total"], {"keepdims": 0}),
         ("Add", ["y0", "total"], ["y"], {})],
        {"x": ("float32", ["rows", 4])}, {"y": ("float32", ["rows", 4])},
        {"n": np.float32(n), "big": np.random.default_rng(n).random(50 * 2**18, np.float32)},
    )
    release = Release(n, (ModelVersion("m", str(path), str(n)),))
    manager.ensure(release)
    with manager.use(release, "m") as servable:
        servable.predict({"x": np.ones((1, 4), np.float32)})
    manager.evict()
    if n in (5, 25):
        print(resident_mib())
"""


def test_memory_stays_level_over_25_swaps_of_a_50_mb_model(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SWAPS, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    after_5, after_25 = map(float, done.stdout.split())
    assert after_25 <= 1.15 * after_5
