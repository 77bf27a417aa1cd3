"""Files of a release folder in a bucket that refuses everything."""

import pytest

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError

URI = "gs://secret/releases/release-000001.json"


def test_missing_permission_names_the_role(forbidden_gcs):
    files = LogFiles()
    for call, role in (
        (lambda: files.read(URI), "objectViewer"),
        (lambda: files.for_polling().read(URI), "objectViewer"),
        (lambda: files.names("gs://secret/releases", "release-"), "objectViewer"),
        (lambda: files.create(URI, "{}"), "objectUser"),
    ):
        with pytest.raises(ArtifactError, match=rf"gs://secret/releases.*storage\.{role}"):
            call()
    assert len([request for request in forbidden_gcs if "/upload/" in request]) == 1
