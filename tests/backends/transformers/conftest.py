"""Fixtures of the tests of transformers."""

import shutil

import pytest


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Builder -> a folder of it, made once."""
    made = {}

    def folder(build):
        if build not in made:
            made[build] = build(tmp_path_factory.mktemp("folder"))
        return made[build]

    return folder


@pytest.fixture
def copy(folders, tmp_path):
    """Builder -> a folder of it to change."""
    return lambda build: shutil.copytree(folders(build), tmp_path / "model")
