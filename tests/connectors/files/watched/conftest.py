"""How often folders are looked at."""

import pytest

from pipeline.connectors.files.watched import reader as folder_reader
from tests.connectors.files.watched.streams import Looks


@pytest.fixture
def looks(monkeypatch):
    counting = Looks()
    monkeypatch.setattr(folder_reader, "list_files", counting)
    return counting
