"""Commands in this process."""

import pytest

from tests.commands.running import runner


@pytest.fixture
def run(capsys):
    return runner(capsys)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the working folder as well."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
