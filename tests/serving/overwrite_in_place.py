"""Overwrites the files of a model that serves, then cuts them to nothing; the answers must stay.

In a process of its own, because a file that is mapped into memory and cut off ends the process.
Usage: ``python -m tests.serving.overwrite_in_place FOLDER CASE``, a case of the conformance suite.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipeline.batch.release import ModelVersion
from pipeline.serving.files.artifacts import ArtifactCache, LocalCopies
from pipeline.serving.loader import FrameworkLoader
from tests.backends.cases import CASES


def files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path, *(other for other in path.parent.iterdir() if other != path)]
    return [file for file in path.rglob("*") if file.is_file()]


def main(folder: Path, name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    serving, other = (case.build(folder / number, scale=int(number)) for number in ("1", "2"))
    relative = serving.relative_to(folder / "1")
    cache = ArtifactCache(
        folder / "cache", None, copies=LocalCopies((f"{folder}/*/{relative}".rstrip("/."),))
    )
    spec = case.spec(uri=str(serving))
    fetched = cache.fetch(str(serving))
    version = ModelVersion(spec.name, str(serving), fetched.digest)
    servable = FrameworkLoader((spec,), cache, "cpu", 1)(version)
    rows = case.rows(3)
    before = servable.predict(rows)

    def check(what: str) -> None:
        for tensor, values in servable.predict(rows).items():
            np.testing.assert_array_equal(values, before[tensor], err_msg=what)
        print(what)

    for file in files_of(serving):
        counterpart = folder / "2" / file.relative_to(folder / "1")
        file.write_bytes(counterpart.read_bytes())  # the same inode
    assert other.exists()
    check("overwritten")
    for file in files_of(serving):
        with file.open("r+b") as stream:
            stream.truncate(0)
    check("cut off")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
