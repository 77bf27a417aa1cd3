"""Files that a batch job would mix with, replace or delete: looked for before it starts.

Nothing is deleted here: see `connectors.files.earlier_files`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from pipeline.connectors.files import earlier_files
from pipeline.connectors.files.earlier_files import EarlierFiles, Names
from pipeline.connectors.storage import paths
from pipeline.errors import PathError
from pipeline.formats.registry import OUTPUT_FORMATS
from pipeline.launch.settings import (
    Content,
    Medium,
    Outputs,
    Sink,
    default_dead_letter_path,
)
from pipeline.spec.uris import is_local

LINES_SUFFIX = ".jsonl"
_PREDICTION_SUFFIXES = tuple(f".{form}" for form in OUTPUT_FORMATS)


def names_of(outputs: Outputs) -> dict[str, tuple[Names, ...]]:
    """What the files of a batch job, and of earlier ones with its prefixes, are called.

    Returns:
      parameter -> names. With the predictions go dead letters that an earlier run left beside them
      by default, also where those of this job go elsewhere; and predictions of another format.
    """
    names: dict[str, tuple[Names, ...]] = {}
    for sink in outputs.of(Medium.FILES):
        if sink.content is Content.PREDICTIONS:
            names[sink.parameter] = (Names(sink.place, _PREDICTION_SUFFIXES),)
            beside = default_dead_letter_path(sink.place)
            if beside != outputs.place(Content.DEAD_LETTERS, Medium.FILES):
                names[sink.parameter] += (Names(beside, (LINES_SUFFIX,)),)
        elif sink.content is Content.DEAD_LETTERS:
            names[sink.parameter] = (Names(sink.place, (LINES_SUFFIX,)),)
    return names


def earlier_of(outputs: Outputs) -> EarlierFiles:
    """What a checked batch job replaces.

    Raises:
      PathError: the storage refuses to list it.
    """
    names = [some for several in names_of(outputs).values() for some in several]
    if outputs.overwrite:
        return earlier_files.found_at_launch(names)
    return EarlierFiles(tuple(names))  # of files that come from now on, none is deleted


def check_prefix(sink: Sink, outputs: Outputs) -> None:
    """Makes sure that no other output has the prefix of this one: files would mix, or be lost.

    Raises:
      PathError: one of the sinks before it has.
    """
    sinks = outputs.of(Medium.FILES)
    for other in sinks[: sinks.index(sink)]:
        if _absolute(other.place) == _absolute(sink.place):
            raise PathError(
                f"found '{sink.place}', the --{other.parameter} as well, expected a prefix of its "
                "own"
            )


def check_earlier(sink: Sink, outputs: Outputs) -> None:
    """Makes sure that no files of an earlier run are there, unless they may be deleted.

    Raises:
      PathError: there are some.
    """
    earlier = [] if outputs.overwrite else _earlier(sink, outputs)
    if earlier:
        raise PathError(
            f"found {len(earlier)} files of an earlier run, {earlier[0]} the first; give another "
            "prefix, or --overwrite=true to delete them"
        )


def check_input_stays(sink: Sink, outputs: Outputs, input_file_pattern: str) -> None:
    """Makes sure that no files of an earlier run that would be deleted are the job's input.

    Raises:
      PathError: some are.
    """
    if not outputs.overwrite:
        return
    earlier = {_absolute(path) for path in _earlier(sink, outputs)}
    if read := {_absolute(path) for path in _files_of(input_file_pattern)} & earlier:
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


def check_seen(outputs: Outputs, earlier: EarlierFiles, written: Mapping[Content, int]) -> None:
    """Makes sure that the local files of a batch job that ended are seen from here.

    Workers in containers or on other machines may have written to their own disks.

    Args:
      outputs: of the job.
      earlier: what was there before.
      written: how many records of each content the workers counted.

    Raises:
      PathError: a content that has records has no new file.
    """
    for sink in outputs.of(Medium.FILES):
        count = written.get(sink.content)
        if not count or not is_local(sink.place):
            continue
        if earlier.files.issuperset(names_of(outputs)[sink.parameter][0].existing()):
            raise PathError(
                f"--{sink.parameter}: {count:,} records were written, but no file "
                f"'{sink.place}-*' is here: the workers have disks of their own; give a folder "
                "that they and this process share, or gs://"
            )


def _earlier(sink: Sink, outputs: Outputs) -> list[str]:
    return [file.path for names in names_of(outputs)[sink.parameter] for file in names.existing()]


def _files_of(input_file_pattern: str) -> Iterator[str]:
    if input_file_pattern:
        try:
            found = paths.match_input(input_file_pattern)
        except PathError:
            return  # reported of the input itself
        yield from (file.path for file in found)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path and is_local(path) else path  # noqa: PTH100  # no links
