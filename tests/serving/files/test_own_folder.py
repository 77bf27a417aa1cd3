"""What processes find again lies where nobody else can write."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from pipeline.serving.files.own_folder import own_folder, private


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_folder_lies_in_the_cache_of_the_user_and_is_found_again(cache_home):
    folder = own_folder("models")
    assert folder == cache_home / "ensemble-inference" / "models"
    assert own_folder("models") == folder
    assert [mode(folder), mode(folder.parent)] == [0o700, 0o700]


def test_folder_that_others_could_read_is_closed_to_them(cache_home):
    folder = own_folder("models")
    folder.chmod(0o755)
    assert own_folder("models") == folder
    assert mode(folder) == 0o700


def test_folder_that_others_could_write_to_is_not_used(cache_home):
    """They may have left something there."""
    folder = own_folder("models")
    folder.chmod(0o777)
    assert own_folder("models") != folder


def test_user_without_home_has_a_folder_too(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert own_folder("models") == tmp_path / f"ensemble-inference-{os.getuid()}" / "models"


def no_home(path):
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("made", ["link", "file", "owner"])
def test_folder_that_somebody_else_made_is_not_used(cache_home, tmp_path, made):
    theirs = cache_home / "ensemble-inference"
    cache_home.mkdir()
    if made == "link":
        (tmp_path / "elsewhere").mkdir()
        theirs.symlink_to(tmp_path / "elsewhere")
    elif made == "file":
        theirs.touch()
    else:
        theirs.mkdir()
        os.chown(theirs, 12345, 12345)
    folder = own_folder("models")
    assert theirs not in folder.parents
    assert mode(folder) == 0o700
    assert own_folder("models") == folder


def test_folder_of_somebody_else_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        private(tmp_path / "file")


def test_cache_home_that_is_not_absolute_is_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.chdir(tmp_path)
    assert own_folder("models").is_absolute()
    assert not (tmp_path / "cache").exists()
