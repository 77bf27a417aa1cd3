"""Files that earlier runs left where a job writes: found at launch, deleted when its own are there.

A launch only looks. What it found is deleted by the step that gives the new files their names, so a
job that is refused or fails before leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.connectors.storage import paths
from pipeline.connectors.storage.paths import Output


class Names(NamedTuple):
    """What the files of one output are called, see `paths.existing_outputs`.

    Attributes:
      prefix: up to the shard number.
      suffixes: the ends that their names may have.
    """

    prefix: str
    suffixes: tuple[str, ...]

    def existing(self) -> list[Output]:
        """The files of such names, now.

        Raises:
          PathError: the storage refuses to list them.
        """
        return paths.existing_outputs(self.prefix, self.suffixes)


@dataclass(frozen=True)
class EarlierFiles:
    """What a launch found.

    Attributes:
      names: where it looked.
      files: what was there.
    """

    names: tuple[Names, ...] = ()
    files: frozenset[Output] = frozenset()

    def added(self) -> Iterator[Output]:
        """The files that were written, or written anew, since the launch.

        Raises:
          PathError: the storage refuses to list them.
        """
        for names in self.names:
            yield from (file for file in names.existing() if file not in self.files)

    def delete(self, kept: Collection[str]) -> None:
        """Deletes the files, those that are gone already excepted.

        Args:
          kept: names that must stay: new files are, or will be, moved there.

        Raises:
          PathError: one cannot be deleted.
        """
        if files := sorted({file.path for file in self.files} - set(kept)):
            paths.delete(files)


NO_EARLIER_FILES = EarlierFiles()


def found_at_launch(names: Collection[Names]) -> EarlierFiles:
    """What is there now.

    Raises:
      PathError: the storage refuses to list it.
    """
    found = (file for some in names for file in some.existing())
    return EarlierFiles(tuple(names), frozenset(found))
