"""The request for a module, and the answer of the hub.

The protocol: ``GET URL?tf-hub-format=compressed`` answers, after redirects, with a tar archive of a
SavedModel (https://www.tensorflow.org/hub/hosting).
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.errors import ArtifactError, ArtifactNotFoundError

EXPECTED = (
    "expected the tar archive of a TensorFlow 2 SavedModel, as hubs send it for one version of a "
    "model (https://tfhub.dev/PUBLISHER/MODEL/VERSION, "
    "https://www.kaggle.com/models/PUBLISHER/MODEL/tensorFlow2/VARIATION/VERSION)"
)
_HEAD_BYTES = 64
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a hub. One that never answers is given up after about a minute.

    Attributes:
      silence_secs: a connection counts as dead after so long without a byte.
      pauses_secs: before each further attempt.
      module_secs: the longest that the download of one module may take.
    """

    silence_secs: float = 18.0
    pauses_secs: tuple[float, ...] = (1.0, 3.0)
    module_secs: float = 3600.0


class InterruptedDownloadError(Exception):
    """The next attempt may succeed. It is not an OSError, which tarfile would take for bad data."""


def ask(url: str, patience: Patience) -> Response:
    """Asks for a module.

    Raises:
      ArtifactNotFoundError: the hub has none there.
      ArtifactError: the hub refuses.
      InterruptedDownloadError: it does not answer, or asks to come back later.
    """
    from tensorflow_hub import compressed_module_resolver

    protocol = compressed_module_resolver.HttpCompressedFileResolver()
    request = protocol._append_compressed_format_query(url)
    try:
        # tensorflow_hub's context respects TFHUB_DISABLE_CERT_VALIDATION.
        answer = urllib.request.urlopen(
            request, timeout=patience.silence_secs, context=protocol._context
        )
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from error
    except http.client.InvalidURL as error:
        raise ArtifactNotFoundError(f"{url} is not a URL: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            reason = f"no answer within {patience.silence_secs:g} s"
        raise InterruptedDownloadError(
            own_words(reason) if isinstance(reason, Exception) else str(reason)
        ) from error
    return Response(answer, url, patience)


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = f"the hub answers HTTP {error.code} ({error.reason})"
    if error.code in (404, 410):
        return ArtifactNotFoundError(f"{url}: {said}, {EXPECTED}")
    if error.code in (401, 403):
        return ArtifactError(
            f"{url}: {said}, expected a public model; download it with an account that has access, "
            "and give its folder as `uri`"
        )
    if error.code in (408, 429) or error.code >= 500:
        return InterruptedDownloadError(said)
    return ArtifactError(f"{url}: {said}, {EXPECTED}")


class Response:
    """The body of an answer, as tarfile reads it: all of it and in time, or an error."""

    def __init__(self, answer: Any, url: str, patience: Patience) -> None:
        self._answer = answer
        self._url = url
        self._patience = patience
        self._deadline = time.monotonic() + patience.module_secs
        length = answer.headers.get("Content-Length") or ""
        self._expected = int(length) if length.isdecimal() else None
        self._received = 0
        self._head = b""

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._answer.close()

    def read(self, size: int) -> bytes:
        """The next bytes: `size`, or fewer at the end.

        Raises:
          InterruptedDownloadError: it ended before its announced length, or nothing came for long.
          ArtifactError: it takes too long altogether.
        """
        chunks = []
        while size > 0 and (chunk := self._chunk(size)):
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def described(self) -> str:
        """What the answer is, for somebody who expected an archive."""
        kind = self._answer.headers.get_content_type()
        if self._head.lstrip().startswith(b"<"):
            return f"a web page ({kind})"
        if self._head.startswith(_ARCHIVES):
            return "an archive that is damaged or cut off"
        return f"{kind} that begins with {self._head[:20]!r}"

    def _chunk(self, size: int) -> bytes:
        if time.monotonic() > self._deadline:
            limit = f"{self._patience.module_secs:g} s"
            raise ArtifactError(f"{self._url} is not here after {limit}, only {self._progress()}")
        if self._expected is not None:
            size = min(size, self._expected - self._received)
        try:
            chunk: bytes = self._answer.read1(size) if size else b""
        except TimeoutError as error:
            silence = f"nothing came for {self._patience.silence_secs:g} s"
            raise InterruptedDownloadError(f"{silence}, after {self._progress()}") from error
        except (OSError, http.client.HTTPException) as error:
            raise InterruptedDownloadError(f"cut off after {self._progress()}") from error
        if size and not chunk and self._expected is not None:
            raise InterruptedDownloadError(f"cut off after {self._progress()}")
        self._received += len(chunk)
        self._head += chunk[: _HEAD_BYTES - len(self._head)]
        return chunk

    def _progress(self) -> str:
        of = "" if self._expected is None else f" of {self._expected}"
        return f"{self._received}{of} bytes"
