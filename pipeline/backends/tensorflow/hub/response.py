"""The request for a module, and the answer of the hub.

The protocol: ``GET URL?tf-hub-format=compressed`` answers, after redirects, with a tar archive of a
SavedModel (https://www.tensorflow.org/hub/hosting).
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.backends.tensorflow.hub import transport
from pipeline.backends.tensorflow.hub.transport import Deadline
from pipeline.errors import ArtifactError, ArtifactNotFoundError, LoadError
from pipeline.readable import shown_uri

EXPECTED = (
    "expected the tar archive of a TensorFlow 2 SavedModel, as hubs send it for one version of a "
    "model (https://tfhub.dev/PUBLISHER/MODEL/VERSION, "
    "https://www.kaggle.com/models/PUBLISHER/MODEL/tensorFlow2/VARIATION/VERSION)"
)
OTHER_WAY = "download it in another way, and give its folder as `uri`"
_HEAD_BYTES = 64
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a hub. One that never answers is given up after about a minute.

    Attributes:
      silence_secs: a connection counts as dead after so long without a byte.
      pauses_secs: before each further attempt.
      module_secs: the longest that the download of one module may take, all attempts together.
    """

    silence_secs: float = 18.0
    pauses_secs: tuple[float, ...] = (1.0, 3.0)
    module_secs: float = 3600.0


class InterruptedDownloadError(Exception):
    """The next attempt may succeed. It is not an OSError, which tarfile would take for bad data."""


@dataclass(frozen=True)
class Download:
    """What is asked for, and what it may cost.

    Attributes:
      url: of the module.
      patience: how long is waited.
      deadline: when all of it must be here.
      most_bytes: of the answer.
    """

    url: str
    patience: Patience
    deadline: Deadline
    most_bytes: int

    @property
    def shown(self) -> str:
        """The URL for people."""
        return shown_uri(self.url)

    def late(self, progress: str) -> ArtifactError:
        """It takes too long altogether."""
        limit = f"{self.patience.module_secs:g} s"
        return ArtifactError(f"{self.shown} is not here after {limit}{progress}; {OTHER_WAY}")


def ask(download: Download) -> Response:
    """Asks for a module.

    Raises:
      ArtifactNotFoundError: the hub has none there.
      ArtifactError: the hub refuses, leads to where nobody may follow, or takes too long.
      LoadError: it announces more than it may.
      InterruptedDownloadError: it does not answer, or asks to come back later.
    """
    from tensorflow_hub import compressed_module_resolver

    protocol = compressed_module_resolver.HttpCompressedFileResolver()
    try:
        request = protocol._append_compressed_format_query(download.url)
        # tensorflow_hub's context respects TFHUB_DISABLE_CERT_VALIDATION.
        answer = transport.get(request, download.deadline, protocol._context)
    except transport.RefusedAddressError as error:
        raise ArtifactError(f"{download.shown}: {error}; {OTHER_WAY}") from error
    except transport.LateError as error:
        raise download.late("") from error
    except (http.client.InvalidURL, ValueError):
        # Without its cause, whose text repeats the URL.
        raise ArtifactNotFoundError(
            f"{download.shown} is not a URL that can be asked, or leads to none"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            reason = f"no answer within {download.patience.silence_secs:g} s"
        raise InterruptedDownloadError(
            own_words(reason) if isinstance(reason, Exception) else str(reason)
        ) from error
    if not 200 <= answer.status < 300:
        answer.close()
        raise _refusal(download.shown, answer.status, answer.reason)
    return Response(answer, download)


def _refusal(url: str, status: int, reason: str) -> Exception:
    said = f"the hub answers HTTP {status} ({reason})"
    if status in (404, 410):
        return ArtifactNotFoundError(f"{url}: {said}, {EXPECTED}")
    if status in (401, 403):
        return ArtifactError(
            f"{url}: {said}, expected a public model; download it with an account that has access, "
            "and give its folder as `uri`"
        )
    if status in (408, 429) or status >= 500:
        return InterruptedDownloadError(said)
    return ArtifactError(f"{url}: {said}, {EXPECTED}")


def too_large(url: str, verb: str, most_bytes: int) -> str:
    """What to do about an archive that has, or unpacks to, more bytes than it may."""
    most = f"more than {most_bytes >> 20:,} MiB"
    return f"{url}: its archive {verb} {most}; a larger --max_hub_model_mb takes it"


class Response:
    """The body of an answer, as tarfile reads it: all of it and in time, or an error.

    Raises:
      LoadError: it announces more than it may.
    """

    def __init__(self, answer: Any, download: Download) -> None:
        self._answer = answer
        self._download = download
        length = answer.headers.get("Content-Length") or ""
        self._expected = int(length) if length.isdecimal() else None
        self._received = 0
        self._head = b""
        if self._expected is not None and self._expected > download.most_bytes:
            answer.close()
            raise self._too_large()

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
          LoadError: it is larger than it may be.
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
        if self._expected is not None:
            size = min(size, self._expected - self._received)
        try:
            chunk: bytes = self._answer.read1(size) if size else b""
        except transport.LateError as error:
            raise self._download.late(f", only {self._progress()}") from error
        except TimeoutError as error:
            silence = f"nothing came for {self._download.patience.silence_secs:g} s"
            raise InterruptedDownloadError(f"{silence}, after {self._progress()}") from error
        except (OSError, http.client.HTTPException) as error:
            raise InterruptedDownloadError(f"cut off after {self._progress()}") from error
        if size and not chunk and self._expected is not None:
            raise InterruptedDownloadError(f"cut off after {self._progress()}")
        self._received += len(chunk)
        if self._received > self._download.most_bytes:
            raise self._too_large()
        self._head += chunk[: _HEAD_BYTES - len(self._head)]
        return chunk

    def _too_large(self) -> LoadError:
        return LoadError(too_large(self._download.shown, "has", self._download.most_bytes))

    def _progress(self) -> str:
        of = "" if self._expected is None else f" of {self._expected}"
        return f"{self._received}{of} bytes"
