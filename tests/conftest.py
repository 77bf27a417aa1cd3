"""Fixtures for all tests: emulators of Cloud Storage and Pub/Sub, a proxy before them, Prism."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import main
from pipeline.backends import import_order
from tests.support import models, traces
from tests.support.bigquery_service import PROJECT, BigQueryService
from tests.support.emulators import EmulatorError, Proxy, PubSub, PubSubEmulator
from tests.support.jobs import Job
from tests.support.storage import Gcs

import_order.keep_import_order()  # tests import frameworks to make models, before any backend does

# Without a stopwatch: a busy machine must not fail a test.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

_ROOT = Path(__file__).parents[1]
_LONGEST_FILES = ("test_readme.py", "test_batch_benchmark_runs.py", "test_streaming_demo.py")


def pytest_collection_modifyitems(items):
    """The longest files begin first, or one core would still have them when the others are done."""
    items.sort(key=lambda item: item.path.name not in _LONGEST_FILES)


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory):
    """What is kept for this user between runs, such as models that were tried, lies elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))
        yield


@pytest.fixture(scope="session")
def gcs(tmp_path_factory):
    """Starts a storage emulator; every client here and in child processes is sent to it."""
    from google.cloud import storage

    folder = tmp_path_factory.mktemp("gcs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.support.storage_emulator", "start", "--in-memory"]
    with (folder / "log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        emulator = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={port}"], cwd=_ROOT, stdout=log, stderr=log
        )
        try:
            _wait_until_it_answers(url, emulator, folder / "log")
            patch.setenv("STORAGE_EMULATOR_HOST", url)
            patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_credentials(folder)))
            yield Gcs(storage.Client.create_anonymous_client())
        finally:
            emulator.terminate()
            emulator.wait(timeout=10)


@pytest.fixture
def bucket(gcs):
    """The URI of an empty bucket, one for each test."""
    return gcs.new_bucket()


@pytest.fixture(params=["local", "gcs"])
def folder(request, tmp_path):
    """A folder on this disk, and then one in a bucket: its URI."""
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")


@pytest.fixture(autouse=True)
def refusals_leave_no_trace(request, monkeypatch):
    """No launch that is refused changes a file of the test that made it, whatever it tests."""
    if "tmp_path" not in request.fixturenames:
        return
    tmp_path = request.getfixturevalue("tmp_path")
    gcs, bucket = (
        request.getfixturevalue(name) if "bucket" in request.fixturenames else None
        for name in ("gcs", "bucket")
    )
    look = lambda: (traces.everything(tmp_path), gcs and traces.objects(gcs, bucket))  # noqa: E731
    monkeypatch.setattr(main, "main", traces.checked_main(look))


@pytest.fixture
def put(folder, gcs, tmp_path):
    """Stores a file below `folder`."""

    def put(relative, content=b"x"):
        if folder.startswith("gs://"):
            gcs.upload(f"{folder}/{relative}", content)
        else:
            path = tmp_path / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return put


@pytest.fixture
def bigquery(gcs, monkeypatch):
    """A stub of BigQuery's REST API; Beam's and Google's own clients are sent to it."""
    from apache_beam.io.gcp.internal.clients.bigquery import BigqueryV2

    service = BigQueryService(gcs)
    # Beam's client knows no environment variable for its endpoint, so this is for one process only.
    monkeypatch.setattr(BigqueryV2, "BASE_URL", f"{service.url}/bigquery/v2/")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", service.url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    yield service
    service.close()


@pytest.fixture(scope="session")
def pubsub(tmp_path_factory):
    """Starts a Pub/Sub emulator; every client here and in child processes is sent to it."""
    try:
        emulator = PubSubEmulator(tmp_path_factory.mktemp("pubsub"))
    except EmulatorError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PUBSUB_EMULATOR_HOST", emulator.address)
            yield PubSub(emulator.address)
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def prism():
    """The options of a job that runs there; fails where Prism can neither be found nor built."""
    # The tests have a cache of their own, which ends with them.
    environment = {name: text for name, text in os.environ.items() if name != "XDG_CACHE_HOME"}
    script = _ROOT / ".ci" / "prism"
    built = subprocess.run(
        [script], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    if built.returncode:
        pytest.fail(f"Prism is needed (.ci/prism):\n{built.stderr[-2000:]}", pytrace=False)
    return ["--runner=PrismRunner", f"--prism_location={built.stdout.strip()}"]


@pytest.fixture
def proxy():
    """Makes a proxy in front of an address, ``proxy("127.0.0.1:8085")``; ends it with the test."""
    proxies = []

    def make(target):
        proxies.append(Proxy(target))
        return proxies[-1]

    yield make
    for each in proxies:
        each.close()


def _credentials(folder):
    # Without any, every process looks for some for about 20 s when it first meets gs://, whatever
    # `--no_auth` says: Beam's file system does not read that option. These never expire.
    path = folder / "credentials.json"
    names = ("client_id", "client_secret", "refresh_token", "token")
    path.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "expiry": "2999-01-01T00:00:00Z",
                **dict.fromkeys(names, "emulator"),
            }
        )
    )
    return path


def _wait_until_it_answers(url, emulator, log):
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    session.mount(url, HTTPAdapter(max_retries=Retry(connect=4, backoff_factor=0.1)))
    for _ in range(20):
        try:
            session.get(url, timeout=10)
            return
        except requests.ConnectionError:
            if emulator.poll() is not None:
                break
    pytest.fail(f"the storage emulator does not answer at {url}:\n{log.read_text()}")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    """Two affine models that compute the same, times 1 and times 3."""
    folder = tmp_path_factory.mktemp("artifacts")
    models.sklearn_skops(folder / "linear" / "1", scale=1.0)
    models.onnx_file(folder / "net" / "2", scale=3.0)
    return folder


@pytest.fixture
def job(tmp_path, artifacts):
    """A batch job with these two models, in a folder of its own."""
    return Job(tmp_path, artifacts)
