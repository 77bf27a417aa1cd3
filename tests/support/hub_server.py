"""A hub on this machine, and modules for it.

It speaks the protocol of tfhub.dev: ``GET /path?tf-hub-format=compressed`` answers with an archive,
and without the query with a page for people.
"""

from __future__ import annotations

import io
import ssl
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import numpy as np

PAGE = b"<!DOCTYPE html><html><title>Find models</title></html>"
VOCABULARY = ("good", "bad", "film")
VECTORS = np.arange(12, dtype="float32").reshape(4, 3) ** 2  # the last one for unknown words


@dataclass
class Answer:
    """What the hub says for one path.

    Attributes:
      body: bytes that are sent.
      length: what is announced; None for the true length, -1 for nothing.
      silent: never answers at all.
      raw: writes the whole answer, headers too, and ends when it is told to or cannot write.
    """

    body: bytes = PAGE
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    silent: bool = False
    raw: Callable[[io.BufferedIOBase, threading.Event], None] | None = None


class Hub:
    """Serves what `put` was given, on a port of its own, until `close`.

    Args:
      tls: for https; None for http.

    Attributes:
      requests: path -> how often it was asked for.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: Counter[str] = Counter()
        self._answers: dict[str, list[Answer]] = {}
        self._closing = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer_to(self)

            def log_message(self, *message: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, *answers: Answer | bytes) -> str:
        """Gives these answers at a path, in turn, the last one again and again; returns the URL.

        An answer is an archive, or an Answer.
        """
        self._answers[path] = [
            one if isinstance(one, Answer) else Answer(one, headers={"Content-Type": "x/tar"})
            for one in answers
        ]
        return self.base + path

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer_to(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        self.requests[url.path] += 1
        answers = self._answers.get(url.path, [Answer(b"no such model", status=404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.silent:
            self._closing.wait(30)
            return
        if answer.raw is not None:
            with suppress(OSError):
                answer.raw(request.wfile, self._closing)
            return
        stored = url.path.endswith(".tar.gz")  # where a redirect leads
        if not stored and parse_qs(url.query).get("tf-hub-format") != ["compressed"]:
            answer = Answer(headers={"Content-Type": "text/html"})
        request.send_response(answer.status)
        for name, value in answer.headers.items():
            request.send_header(name, value)
        if answer.length != -1:
            length = len(answer.body) if answer.length is None else answer.length
            request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(answer.body)


def archive(
    folder: Path | None,
    mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w:gz",
    top: str = "./",
    **more: bytes | str,
) -> bytes:
    """The files of a module, packed as hubs do, and further members; a str is a link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        if folder is not None:
            tar.add(folder, arcname=top)
        for name, content in more.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def save_embedding(folder: Path, scale: float = 1.0) -> Path:
    """Texts in, vectors out, without signature: ``sentences`` string [] -> ``output_0`` [3].

    The sum of the vectors of a text's words, times `scale`. The words are in an asset, as in the
    text modules of tfhub.dev.
    """
    import tensorflow as tf

    class Embedding(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
        def __init__(self, words: str) -> None:
            super().__init__()
            self.vectors = tf.Variable(scale * VECTORS)
            self.words = tf.lookup.StaticVocabularyTable(
                tf.lookup.TextFileInitializer(
                    tf.saved_model.Asset(words),
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                num_oov_buckets=1,
            )

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[tf.TensorSpec([None], tf.string)]
        )
        def __call__(self, sentences: Any) -> Any:
            words = tf.strings.split(sentences)
            ids = tf.ragged.map_flat_values(self.words.lookup, words)
            return tf.reduce_sum(tf.gather(self.vectors, ids), axis=1)

    vocabulary = folder.with_name(f"{folder.name}-words.txt")
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("\n".join(VOCABULARY))
    tf.saved_model.save(Embedding(str(vocabulary)), str(folder), signatures={})
    return folder


def embedded(text: str, scale: float = 1.0) -> np.ndarray:
    """What such a module computes, by numpy."""
    known = {word: row for row, word in enumerate(VOCABULARY)}
    rows = [known.get(word, len(VOCABULARY)) for word in text.split()]
    vector: np.ndarray = VECTORS[rows].sum(axis=0)
    return scale * vector
