"""The versions of the forest, and how one is put in place."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from data import SEED, split

ARTIFACT = "model.skops"
KEPT_OF_CORRUPT = 0.6
_TICK_SECS = 0.01


def prepare(trained: Path, folder: Path) -> None:
    """Makes the folder that the stream starts with: ensemble file, version 1 of every model.

    Args:
      trained: what train.py wrote; its forest is kept back for a version 2.
      folder: of the run.
    """
    shutil.copy(trained / "ensemble-streaming.yaml", folder / "ensemble.yaml")
    for model in (trained / "models").iterdir():
        if model.name != "forest":
            shutil.copytree(model / "1", folder / "models" / model.name / "1")
    first = folder / "models" / "forest" / "1"
    first.mkdir(parents=True)
    train_tree(first / ARTIFACT)


def train_tree(path: Path) -> None:
    """A worse model of the same kind: a single tree, where the forest of train.py has sixty."""
    from sklearn.ensemble import RandomForestClassifier
    from skops.io import dump

    images, _ = split()
    tree = RandomForestClassifier(n_estimators=1, random_state=SEED)
    dump(tree.fit(images.pixels, images.digits), path)


def place(source: Path, version: Path, *, corrupt: bool = False) -> None:
    """Copies a version into place in the one way that nobody can see half of: a rename.

    Args:
      source: folder with the forest.
      version: where it goes. It comes about under a name with a dot in front, which patterns do not
        match, in the same folder: only within a file system is a rename one step.
      corrupt: cut the file short, as a copy does that was broken off.
    """
    unseen = version.with_name(f".{version.name}")
    shutil.copytree(source, unseen)
    if corrupt:
        with (unseen / ARTIFACT).open("r+b") as file:
            file.truncate(int((unseen / ARTIFACT).stat().st_size * KEPT_OF_CORRUPT))
    unseen.rename(version)


def write_in_one_step(path: Path, content: bytes) -> None:
    """Writes a file that appears whole, as `place` does with folders."""
    unseen = path.with_name(f".{path.name}")
    unseen.write_bytes(content)
    # The two times of a file tell when it was written and renamed, in ticks of some milliseconds.
    # A file that was renamed later is complete at the first look, others only at the second one.
    time.sleep(_TICK_SECS)
    unseen.rename(path)
