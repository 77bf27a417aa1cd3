"""Modules of a hub (tfhub.dev, Kaggle, servers like them), fetched by way of tensorflow_hub.

Its own download waits for ever, knows no limit of size, and accepts an archive that was cut off
between two of its files; so the request is made in
:mod:`pipeline.backends.tensorflow.hub.response`, and its answer unpacked by
:mod:`pipeline.backends.archives`. tensorflow_hub (0.16.1) does the rest: it keeps the
cache and lets one process download at a time.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
import time
import warnings
from pathlib import Path

from pipeline.backends.archives import (
    COPY_BYTES,
    DEFAULT_BYTES,
    ArchiveError,
    OversizeError,
    is_macos_file,
    tar_members,
)
from pipeline.backends.failures import needs_package
from pipeline.backends.reasons import own_words
from pipeline.backends.tensorflow.formats import refuse_old_format
from pipeline.backends.tensorflow.hub.response import (
    EXPECTED,
    Download,
    InterruptedDownloadError,
    Patience,
    Response,
    ask,
    too_large,
)
from pipeline.backends.tensorflow.hub.transport import Deadline
from pipeline.errors import ArtifactError, LoadError

_ABANDONED_SECS = 60  # after so long without progress, a lock is ignored


def module_folder(
    url: str,
    patience: Patience | None = None,
    most_bytes: int = DEFAULT_BYTES,
    root: Path | None = None,
) -> str:
    """The folder of a module, fetched unless it is in tensorflow_hub's cache.

    The cache is the folder in the environment variable ``TFHUB_CACHE_DIR``, else `root`. Threads
    and processes may ask for the same module at once.

    Args:
      url: of the module.
      patience: how long the hub is waited for.
      most_bytes: of the archive, and of its files together.
      root: a folder that nobody else may write to; None for tensorflow_hub's own choice, a known
        name in the machine's temporary folder.

    Raises:
      ArtifactNotFoundError: the hub has no such module.
      ArtifactError: the hub does not answer or refuses, or the module cannot be stored.
      LoadError: the answer is not a SavedModel, or too large; asking again would not help.
    """
    patience = patience or Patience()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read at import: errors only
    with needs_package("tensorflow_hub"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources", UserWarning)
        import tensorflow as tf
        from tensorflow_hub import resolver

    deadline = Deadline(time.monotonic() + patience.module_secs, patience.silence_secs)
    wanted = Download(url, patience, deadline, most_bytes)

    def download(_: str, folder: str) -> None:
        _download(wanted, folder)

    cache = resolver.tfhub_cache_dir(root and str(root), use_temp=True)
    folder = resolver.create_local_module_dir(cache, hashlib.sha1(url.encode()).hexdigest())
    for pause in (*patience.pauses_secs, None):
        try:
            # It logs the URL that it gets, and writes it beside the module.
            fetched = resolver.atomic_download(wanted.shown, download, folder, _ABANDONED_SECS)
            return _inside(str(fetched))
        except InterruptedDownloadError as error:
            if pause is None:
                attempts = len(patience.pauses_secs) + 1
                raise ArtifactError(
                    f"{wanted.shown} cannot be fetched, after {attempts} attempts: {error}"
                ) from error
            time.sleep(pause)
        except (OSError, tf.errors.OpError) as error:
            raise ArtifactError(
                f"{wanted.shown} cannot be stored in '{folder}': {own_words(error)}"
            ) from error
    raise AssertionError("the last attempt returns or raises")


def _download(wanted: Download, folder: str) -> None:
    """Fills an existing folder, or raises; tensorflow_hub then removes it again."""
    url = wanted.shown
    with ask(wanted) as response:
        try:
            _unpack(response, folder, wanted.most_bytes)
        except OversizeError as error:
            raise LoadError(too_large(url, "unpacks to", wanted.most_bytes)) from error
        except ArchiveError as error:
            raise LoadError(f"{url}: its archive is refused: {error}; {EXPECTED}") from error
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise LoadError(f"{url}: found {response.described()}, {EXPECTED}") from error
    names = _names(_inside(folder))
    refuse_old_format(url, names)
    if "saved_model.pb" not in names:
        found = ", ".join(sorted(names)[:5]) or "nothing"
        raise LoadError(f"{url}: found an archive without saved_model.pb ({found}), {EXPECTED}")


def _unpack(response: Response, folder: str, most_bytes: int) -> None:
    """Writes what is in the answer to a folder, local or wherever TensorFlow writes."""
    import tensorflow as tf

    for path, content in tar_members(response, most_bytes):
        if is_macos_file(path):
            continue
        place = posixpath.join(folder, path) if path else folder
        if content is None:
            tf.io.gfile.makedirs(place)
            continue
        tf.io.gfile.makedirs(posixpath.dirname(place))
        with tf.io.gfile.GFile(place, "wb") as file:
            while chunk := content.read(COPY_BYTES):
                file.write(chunk)


def _inside(folder: str) -> str:
    """The folder in which the files are, below those around all of them (`tar czf m.tar.gz m/`)."""
    import tensorflow as tf

    while len(names := _names(folder)) == 1:
        only = posixpath.join(folder, names[0])
        if not tf.io.gfile.isdir(only):
            break
        folder = only
    return folder


def _names(folder: str) -> list[str]:
    import tensorflow as tf

    return [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
