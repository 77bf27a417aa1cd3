"""A folder that is missing, a file that cannot be read, a storage that is silent."""

import contextlib
import logging
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from pipeline.connectors.files.watched import reader as folder_reader
from tests.connectors.files.watched.streams import place, reading
from tests.support.waiting import wait_until


def said(caplog, part):
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


def test_missing_folder_is_said_once_waited_for_and_loses_nothing(tmp_path, caplog, looks):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "in"
    with reading(folder / "*") as stream:
        looks.wait_for(3)
        folder.mkdir()
        place(folder / "a.jsonl", b"a\n")
        stream.wait_for_lines(b"a")
        folder.rename(tmp_path / "away")
        looks.wait_for(3)
        (tmp_path / "away").rename(folder)
        place(folder / "b.jsonl", b"b\n")
        stream.wait_for_lines(b"a", b"b")
    assert len(said(caplog, "cannot be read")) == len(said(caplog, "can be read again")) == 2


def test_file_that_cannot_be_read_ends_in_a_block_that_says_so(gcs, bucket):
    from google.cloud.storage import Blob, Client

    client = Client.create_anonymous_client()
    bad = Blob.from_uri(f"{bucket}/in/a.jsonl", client=client)
    bad.content_encoding = "gzip"  # with this type, Beam refuses to read it
    bad.upload_from_string(b"x\n", content_type="application/gzip")
    gcs.upload(f"{bucket}/in/b.jsonl", b"b\n")
    with reading(f"{bucket}/in/*") as stream:
        stream.wait_for_lines(b"b")
    (block,) = (block for block in stream.blocks if block.error)
    assert block.payloads == ()
    assert block.error.startswith(f"{bucket}/in/a.jsonl: cannot be read (")
    assert "`Content-Encoding: gzip` and a type of gzip as well" in block.error


class _Proxy(BaseHTTPRequestHandler):
    """Forwards to the emulator; what it fetches objects through may hold it up."""

    def do_GET(self):
        if not self.server.pass_by(self.path):
            self.send_error(403)
            return
        answer = requests.get(f"{self.server.upstream}{self.path}", timeout=20)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(gcs, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        server.upstream = os.environ["STORAGE_EMULATOR_HOST"]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_small_objects_are_fetched_several_at_once(gcs, bucket, proxy):
    for number in range(8):
        gcs.upload(f"{bucket}/in/{number}.jsonl", b"%d\n" % number)
    four = threading.Barrier(4, timeout=10)

    def meet(path):
        if "/o/in" not in path:
            return True
        with contextlib.suppress(threading.BrokenBarrierError):
            four.wait()
        return not four.broken

    proxy.pass_by = meet
    with reading(f"{bucket}/in/*") as stream:
        stream.wait_for_lines(*(b"%d" % number for number in range(8)))
    assert [block.source[-7:] for block in stream.blocks] == [f"{n}.jsonl" for n in range(8)]


def test_storage_that_does_not_answer_holds_up_neither_stream_nor_stop(proxy, bucket, tmp_path):
    release = threading.Event()
    proxy.pass_by = lambda path: release.wait(60) and False
    place(tmp_path / "a.jsonl", b"a\n")
    with reading(f"{bucket}/in/*") as silent:
        with reading(tmp_path) as stream:
            stream.wait_for_lines(b"a")
        began = time.monotonic()
        silent.stop = True
    assert time.monotonic() - began < 10
    release.set()


def test_silence_of_the_storage_is_said_once_and_reading_goes_on_after_it(
    gcs, proxy, bucket, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(folder_reader, "PATIENCE_SECS", 1.0)
    release = threading.Event()
    proxy.pass_by = lambda path: release.wait(60)
    gcs.upload(f"{bucket}/in/a.jsonl", b"a\n")
    with reading(f"{bucket}/in/*") as stream:
        wait_until(lambda: said(caplog, "no answer"))
        release.set()
        stream.wait_for_lines(b"a")
    assert len(said(caplog, "cannot be read")) == len(said(caplog, "can be read again")) == 1
