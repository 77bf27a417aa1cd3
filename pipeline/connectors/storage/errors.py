"""What went wrong in a storage: one answer out of the many shapes in which Beam reports it.

Beam nests the cause in ``BeamIOError.exception_details`` (operations on several paths, sometimes
twice over), as an exception or as a bare HTTP status. Opening and writing raise the errors of
google-cloud-storage themselves, and local files those of Python.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from apache_beam.io.filesystem import BeamIOError
from google.api_core.exceptions import RetryError

from pipeline.errors import OutputError
from pipeline.spec.uris import bucket_of, is_local, split_scheme

READER_ROLE = "roles/storage.objectViewer"
WRITER_ROLE = "roles/storage.objectUser"

CREDENTIALS = (
    "run `gcloud auth application-default login`; in a container, mount the file that it writes, "
    "and name that in GOOGLE_APPLICATION_CREDENTIALS"
)
_LOCAL = {
    errno.EROFS: "its file system is read-only; in a container, mount a folder for it",
    errno.EISDIR: "it is a folder, expected a file",
}


def status_of(error: BaseException | int) -> int | None:
    """The HTTP status behind an error; 404 and 403 for the local equivalents; None if unknown."""
    cause = _innermost(error)
    if isinstance(cause, FileNotFoundError):
        return 404
    if isinstance(cause, PermissionError):
        return 403
    response = getattr(cause, "response", None)
    for status in (cause, getattr(cause, "code", None), getattr(response, "status_code", None)):
        if isinstance(status, int):
            return int(status)
    return None


def explain(uri: str, error: BaseException, role: str) -> str:
    """Why `uri` cannot be used, in the words of somebody who can change it.

    Args:
      uri: file, folder, prefix or pattern.
      error: as Beam or the storage client raised it. Of a missing *object* the callers know
        themselves, so "not found" is the bucket here.
      role: the role that the operation needs on the bucket.
    """
    status = status_of(error)
    bucket = bucket_of(uri)
    if bucket and status == 404:
        return f"bucket '{bucket}' does not exist"
    if bucket and status == 401:  # of a call without credentials
        return f"no valid Google Cloud credentials for bucket '{bucket}' (HTTP 401): {CREDENTIALS}"
    if bucket and status == 403:
        return (
            f"no permission for bucket '{bucket}' (HTTP {status}): the account that runs the job "
            f"needs the role {role} there"
        )
    if status == 403:
        return f"no permission for user {os.geteuid()}" if is_local(uri) else "no permission"
    cause = _innermost(error)
    if isinstance(cause, RetryError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, requests.ConnectionError | requests.Timeout):
        return f"the storage does not answer ({type(cause).__name__})"
    if isinstance(cause, OSError) and cause.errno in _LOCAL:
        return _LOCAL[cause.errno]
    scheme = split_scheme(uri)[0]
    if scheme not in ("", "gs://") and isinstance(cause, ImportError | AssertionError | ValueError):
        # Beam's words name a package that nobody here has tried.
        return f"found {scheme}, expected a local path or one in Cloud Storage (gs://)"
    return (
        f"{type(cause).__name__}: {cause}" if isinstance(cause, BaseException) else f"HTTP {cause}"
    )


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Writes a file of the job's output, or says which one is not taken, and why.

    Raises:
      OutputError: the disk or the storage does not take it: there is no room left, or no right.
    """
    try:
        yield
    except Exception as error:
        of_storage = isinstance(error, OSError) or type(error).__module__.startswith("google.")
        if not of_storage and status_of(error) is None:
            raise
        why = explain(path, error, WRITER_ROLE)
        raise OutputError(f"'{path}' cannot be written: {why}") from error


def _innermost(error: BaseException | int) -> BaseException | int:
    while isinstance(error, BeamIOError) and error.exception_details:
        error = next(iter(error.exception_details.values()))
    # LocalFileSystem wraps: OSError(FileNotFoundError(...)).
    while type(error) is OSError and error.args and isinstance(error.args[0], OSError):
        error = error.args[0]
    return error
