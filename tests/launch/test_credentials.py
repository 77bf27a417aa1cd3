"""A job that nobody is logged in to submit is refused, with how to log in."""

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.launch.checks import credential_problems


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "Is a directory"),
        ("{", "is not a valid json file"),
        ("{}", "does not have a valid type"),
    ],
    ids=["folder", "no JSON", "no login"],
)
def test_file_of_credentials_that_is_none_is_told(tmp_path, monkeypatch, content, reason):
    """Docker makes a folder where a file that is to be mounted is not there."""
    file = tmp_path / "adc.json"
    file.mkdir() if content is None else file.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    (problem,) = credential_problems(PipelineOptions([]))
    assert reason in problem
    assert "gcloud auth application-default login" in problem
    assert credential_problems(PipelineOptions(["--no_auth"])) == []
