"""Why a path cannot be used, in words that say what is to be done."""

import errno
import os

import pytest
import requests
from apache_beam.io.filesystem import BeamIOError
from google.api_core import exceptions

from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.errors import PathError


@pytest.mark.parametrize(
    ("uri", "error", "said"),
    [
        ("/out/p", OSError(errno.EROFS, "Read-only file system"), "read-only; in a container"),
        ("/out/p", PermissionError(errno.EACCES, "denied"), f"for user {os.geteuid()}$"),
        ("gs://b/x", exceptions.Unauthorized("Anonymous caller"), "no valid Google Cloud cred"),
        ("gs://b/x", exceptions.Forbidden("no"), f"needs the role {READER_ROLE}"),
        ("gs://b/x", requests.ConnectionError("url"), r"does not answer \(ConnectionError\)$"),
        (
            "gs://b/x",
            exceptions.RetryError("Timeout of 120.0s exceeded", requests.ReadTimeout("url")),
            r"does not answer \(ReadTimeout\)$",
        ),
    ],
)
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: BeamIOError("failed", {"x": e})])
def test_reason_says_what_is_to_be_done(uri, error, said, wrap):
    with pytest.raises(ValueError, match=said):
        raise ValueError(explain(uri, wrap(error), READER_ROLE))


def test_folder_that_should_be_a_file_is_called_one(tmp_path):
    with pytest.raises(PathError, match=r"cannot be read: it is a folder, expected a file$"):
        paths.read_text(str(tmp_path))
