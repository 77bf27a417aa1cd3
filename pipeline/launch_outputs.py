"""Files that a batch job would mix with, replace or delete: looked for before it starts.

Nothing is deleted here: see `connectors.earlier_files`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.connectors import earlier_files, paths
from pipeline.connectors.earlier_files import EarlierFiles, Names
from pipeline.core.formats import OUTPUT_FORMATS
from pipeline.errors import PathError
from pipeline.serving.artifacts import is_local
from pipeline.settings import Settings, default_dead_letter_path

PREFIXES = ("output_path", "dead_letter_path", "release_events_path")
LINES_SUFFIX = ".jsonl"
_PREDICTION_SUFFIXES = tuple(f".{form}" for form in OUTPUT_FORMATS)


def names_of(settings: Settings) -> dict[str, tuple[Names, ...]]:
    """What the files of a batch job, and of earlier ones with its prefixes, are called.

    Returns:
      parameter -> names. With the predictions go dead letters that an earlier run left beside them
      by default, also where those of this job go elsewhere; and predictions of another format.
    """
    names: dict[str, tuple[Names, ...]] = {}
    if prefix := settings.output_path:
        names["output_path"] = (Names(prefix, _PREDICTION_SUFFIXES),)
        beside = default_dead_letter_path(prefix)
        if beside != settings.dead_letter_path:
            names["output_path"] += (Names(beside, (LINES_SUFFIX,)),)
    if settings.dead_letter_path:
        names["dead_letter_path"] = (Names(settings.dead_letter_path, (LINES_SUFFIX,)),)
    return names


def earlier_of(settings: Settings) -> EarlierFiles:
    """What a checked batch job replaces.

    Raises:
      PathError: the storage refuses to list it.
    """
    if settings.dry_run or settings.streaming:
        return EarlierFiles()
    names = [some for several in names_of(settings).values() for some in several]
    if settings.overwrite:
        return earlier_files.found_at_launch(names)
    return EarlierFiles(tuple(names))  # of files that come from now on, none is deleted


def check_prefix(parameter: str, settings: Settings) -> None:
    """Makes sure that no other output has the prefix of this one: files would mix, or be lost.

    Raises:
      PathError: one of PREFIXES before it has.
    """
    prefix = getattr(settings, parameter)
    for other in PREFIXES[: PREFIXES.index(parameter)]:
        if _absolute(getattr(settings, other)) == _absolute(prefix):
            raise PathError(
                f"found '{prefix}', the --{other} as well, expected a prefix of its own"
            )


def check_earlier(parameter: str, settings: Settings) -> None:
    """Makes sure that no files of an earlier run are there, unless they may be deleted.

    Raises:
      PathError: there are some; or, of those that may be deleted, some are the job's input.
    """
    earlier = [file.path for names in names_of(settings)[parameter] for file in names.existing()]
    if earlier and not settings.overwrite:
        raise PathError(
            f"found {len(earlier)} files of an earlier run, {earlier[0]} the first; give another "
            "prefix, or --overwrite=true to delete them"
        )
    if read := {_absolute(path) for path in _inputs(settings)} & set(map(_absolute, earlier)):
        raise PathError(
            f"--overwrite=true would delete {len(read)} files that --input_file_pattern reads, "
            f"{min(read)} the first; give another prefix, or a narrower pattern"
        )


def check_earlier_report(path: str, overwrite: bool) -> None:
    """Makes sure that no report is lost unasked. A page is replaced as a whole, never deleted.

    Raises:
      PathError: there is one.
    """
    if not overwrite and paths.exists(path):
        raise PathError(
            f"'{path}' exists, the report of an earlier run; give another name, or "
            "--overwrite=true to replace it"
        )


def _inputs(settings: Settings) -> Iterator[str]:
    if settings.input_file_pattern:
        try:
            found = paths.match_input(settings.input_file_pattern)
        except PathError:
            return  # reported of the input itself
        yield from (file.path for file in found)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path and is_local(path) else path  # noqa: PTH100  # no links
