"""A mark tells the next launch that the last one did not come back."""

import pytest

from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError
from pipeline.releases.launch_marks import LaunchMarks
from pipeline.releases.log import ReleaseLog


@pytest.fixture(params=["local", "bucket"])
def folder(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "releases")
    return request.getfixturevalue("gcs").new_bucket() + "/releases"


def test_mark_is_there_while_a_release_is_loaded_and_gone_afterwards(folder):
    marks = LaunchMarks(folder, BeamArtifactStore())
    assert not marks.is_left(3)
    with marks.around(3):
        assert marks.is_left(3)
        assert not marks.is_left(4)
    assert not marks.is_left(3)


def test_load_that_raises_leaves_no_mark(folder):
    marks = LaunchMarks(folder, BeamArtifactStore())
    with pytest.raises(ValueError, match="no model"), marks.around(3):
        raise ValueError("no model")
    assert not marks.is_left(3)


def test_mark_is_no_release(folder):
    with LaunchMarks(folder, BeamArtifactStore()).around(3):
        assert ReleaseLog(folder, LogFiles()).load_history() == []


def test_folder_that_cannot_be_written_is_no_obstacle(tmp_path, caplog):
    class ReadOnly(BeamArtifactStore):
        def write_text(self, uri, text, mime_type="text/plain"):
            raise ArtifactError(f"{uri} cannot be written")

    with LaunchMarks(str(tmp_path), ReadOnly()).around(3):
        pass
    assert "no mark is left" in caplog.text
