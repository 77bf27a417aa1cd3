"""Modules of a hub (tfhub.dev, Kaggle, servers like them), fetched by way of tensorflow_hub.

Its own download waits for ever, and accepts an archive that was cut off between two of its files;
so the request is made in :mod:`pipeline.backends.tensorflow.hub.response`. tensorflow_hub (0.16.1)
does the rest: it keeps the cache, lets one process download at a time, unpacks the archive, and
refuses links and paths that lead out of it.
"""

from __future__ import annotations

import os
import tarfile
import time
import warnings

from pipeline.backends.failures import needs_package
from pipeline.backends.reasons import own_words
from pipeline.backends.tensorflow.formats import refuse_old_format
from pipeline.backends.tensorflow.hub.response import (
    EXPECTED,
    InterruptedDownloadError,
    Patience,
    ask,
)
from pipeline.errors import ArtifactError, LoadError

_ABANDONED_SECS = 60  # after so long without progress, a lock is ignored


def module_folder(url: str, patience: Patience | None = None) -> str:
    """The folder of a module, fetched unless it is in tensorflow_hub's cache.

    The cache is the folder in the environment variable ``TFHUB_CACHE_DIR``, else a temporary one of
    this machine. Threads and processes may ask for the same module at once.

    Raises:
      ArtifactNotFoundError: the hub has no such module.
      ArtifactError: the hub does not answer or refuses, or the module cannot be stored.
      LoadError: the answer is not a SavedModel; asking again would not help.
    """
    patience = patience or Patience()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read at import: errors only
    with needs_package("tensorflow_hub"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources", UserWarning)
        import tensorflow as tf
        from tensorflow_hub import resolver
        from tensorflow_hub.compressed_module_resolver import (
            _module_dir,
        )

    def download(handle: str, folder: str) -> None:
        _download(handle, folder, patience)

    folder = _module_dir(url)
    for pause in (*patience.pauses_secs, None):
        try:
            return str(resolver.atomic_download(url, download, folder, _ABANDONED_SECS))
        except InterruptedDownloadError as error:
            if pause is None:
                attempts = len(patience.pauses_secs) + 1
                raise ArtifactError(
                    f"{url} cannot be fetched, after {attempts} attempts: {error}"
                ) from error
            time.sleep(pause)
        except (OSError, tf.errors.OpError) as error:
            raise ArtifactError(
                f"{url} cannot be stored in '{folder}': {own_words(error)}"
            ) from error
    raise AssertionError("the last attempt returns or raises")


def _download(url: str, folder: str, patience: Patience) -> None:
    """Fills an existing folder, or raises; tensorflow_hub then removes it again."""
    import tensorflow as tf
    from tensorflow_hub import resolver

    with ask(url, patience) as response:
        try:
            resolver.DownloadManager(url).download_and_uncompress(response, folder)
        except ValueError as error:
            raise LoadError(f"{url}: its archive is refused: {error}; {EXPECTED}") from error
        except (OSError, EOFError, tarfile.TarError) as error:
            raise LoadError(f"{url}: found {response.described()}, {EXPECTED}") from error
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    refuse_old_format(url, names)
    if "saved_model.pb" not in names:
        found = ", ".join(sorted(names)[:5]) or "nothing"
        raise LoadError(f"{url}: found an archive without saved_model.pb ({found}), {EXPECTED}")
