"""A module of a hub, and an empty cache."""

import pytest

from tests.support import models
from tests.support.hub_server import archive


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """tensorflow_hub's own cache, empty."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    return tmp_path / "tfhub"


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return models.saved_model(tmp_path_factory.mktemp("hub") / "affine")


@pytest.fixture(scope="module")
def packed(module):
    return archive(module)
