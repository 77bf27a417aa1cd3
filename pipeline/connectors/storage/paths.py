"""What is done with paths at launch: checks of inputs and outputs, small reads, clearing up."""

from __future__ import annotations

import glob
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from apache_beam.io.filesystem import CompressionTypes, FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud.storage import Blob

from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.errors import READER_ROLE, WRITER_ROLE, explain, status_of
from pipeline.connectors.storage.gcs_client import gcs_client
from pipeline.connectors.storage.hidden_names import is_hidden, say_hidden
from pipeline.connectors.storage.listing import match_files, spellings
from pipeline.connectors.storage.temporary_folder import is_unfinished
from pipeline.errors import ArtifactError, PathError
from pipeline.readable import logger
from pipeline.spec.uris import is_local, split_scheme

_LOGGER = logger(__name__)

_WILDCARD = re.compile(r"[*?\[]")
_CLOSED = (
    "folder '{}' may not be read, so what is in it is not known; let this user read it, or let the "
    "pattern leave it out"
)


def match_input(pattern: str) -> list[Any]:
    """The files that match, as Beam's FileMetadata (`path`, `size_in_bytes`), sorted by path.

    Those with hidden names are left out, and the log says so (see `hidden_names`). Of local paths,
    folders do not match.

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``, in any storage Beam reaches; ``**/``
        stands for any number of folders, also for none.

    Raises:
      PathError: nothing matches, the storage refuses, or a name that matches is a link to nowhere,
        a pipe or a device; it says which.
    """
    matching = [] if pattern.endswith("/") else _match(pattern, strict=True)
    found = [file for file in matching if not is_hidden(file.path, pattern)]
    hidden = [file.path for file in matching if is_hidden(file.path, pattern)]
    if found:
        say_hidden(hidden, pattern)
        return found
    if hidden:
        raise PathError(
            f"input '{pattern}' matches only files that it does not mean, since their names, or "
            "those of folders, begin with '.' or '_' or are the system's, such as "
            f"{hidden[0]}; a pattern that has this character or name there does"
        )
    inside = f"{pattern.rstrip('/')}/*"
    if not _WILDCARD.search(pattern) and _match(inside):
        raise PathError(f"input '{pattern}' is a folder; '{inside}' matches the files in it")
    raise PathError(f"input '{pattern}' matches no file")


def check_watched(pattern: str) -> None:
    """Makes sure that files can be looked for, of which none need be there yet.

    Raises:
      PathError: nobody here knows the storage.
    """
    if split_scheme(pattern)[0] not in ("", "gs://"):
        _match(pattern)


def check_writable(prefix: str) -> None:
    """Makes sure that files can be written and removed beside `prefix`, by doing it.

    Leaves nothing behind: a local folder that is missing is not made. The one in which it would be
    made is tried instead.

    Raises:
      PathError: they cannot, or `prefix` is not the beginning of a file name.
    """
    if prefix.rpartition("/")[2] in ("", ".", ".."):
        raise PathError(
            f"output '{prefix}' is a folder, expected the beginning of file names, such as "
            f"'{prefix.rstrip('/')}/part'"
        )
    if prefix.startswith("~"):
        raise PathError(
            f"output '{prefix}' would be in a folder '{prefix.partition('/')[0]}' here: no shell "
            "takes '~' behind '=' for a home folder; write $HOME"
        )
    if _WILDCARD.search(prefix):
        raise PathError(f"output '{prefix}' must not contain any of the characters * ? [")
    try:
        probe = f"{_tried(prefix)}.probe-{uuid.uuid4().hex}"
        with FileSystems.create(probe) as file:
            file.write(b"probe")
            # In here: a GCS writer whose upload failed must leave by __exit__, which gives it up.
            # Otherwise it uploads once more when it is garbage-collected, for minutes at worst.
            file.close()
        FileSystems.delete([probe])
    except Exception as error:
        reason = explain(prefix, error, WRITER_ROLE)
        for folder in Path(prefix).parents if is_local(prefix) else ():
            if folder.is_file():
                reason = f"'{folder}' is a file, expected a folder"
        raise PathError(f"output '{prefix}' cannot be written: {reason}") from error


def say_beside_folder(prefix: str) -> None:
    """Logs where files will be whose names begin as a folder is called: beside it, not in it.

    In a bucket, names of objects make a folder.
    """
    if is_local(prefix):
        there = Path(prefix).is_dir()
    else:
        try:
            there = bool(FileSystems.match([f"{prefix}/**"], [1])[0].metadata_list)
        except Exception:  # whether files can be written is another check's question
            there = False
    if there:
        _LOGGER.warning(
            "output '%s' is the beginning of file names, and there is a folder of that name: the "
            "files will be beside it, '%s-...'; '%s/part' puts them into it",
            prefix,
            prefix,
            prefix,
        )


def _tried(prefix: str) -> str:
    """The prefix itself, or one of the same name in the nearest folder above it that exists.

    Raises:
      OSError: a folder that is to be made has no possible name.
    """
    if not is_local(prefix):
        return prefix
    path = Path(prefix)
    folder = path.parent
    missing: list[str] = []
    while not folder.exists() and not folder.is_symlink():
        missing.append(folder.name)
        folder = folder.parent
    for name in missing:
        _ = (folder / name).exists()  # raises for names that are too long for the file system
    return str(folder / path.name)


def read_text(location: str) -> str:
    """The text of a small file.

    Raises:
      PathError: it does not exist, cannot be read or is not UTF-8.
    """
    try:
        with FileSystems.open(location, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return str(file.read(), "utf-8-sig")
    except UnicodeDecodeError as error:
        raise PathError(f"'{location}' is not UTF-8 text: {error}") from error
    except Exception as error:
        if status_of(error) == 404:
            _match(f"{location}/*")  # complains if it is the bucket that is missing
            raise PathError(f"'{location}' does not exist") from error
        raise PathError(
            f"'{location}' cannot be read: {explain(location, error, READER_ROLE)}"
        ) from error


def read_head(location: str, count: int, options: PipelineOptions | None = None) -> bytes:
    """The first bytes of a file as it is stored, fewer where it is shorter.

    Args:
      location: the file.
      count: how many bytes.
      options: Beam's. With them no more is fetched of an object in Cloud Storage; Beam itself
        fetches 16 MiB. The object is not empty then.

    Raises:
      PathError: it cannot be read.
    """
    try:
        if options is not None and split_scheme(location)[0] == "gs://":
            blob = Blob.from_uri(location, client=gcs_client(options))
            return bytes(blob.download_as_bytes(end=count - 1, raw_download=True))
        with FileSystems.open(location, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return bytes(file.read(count))
    except Exception as error:
        reason = explain(location, error, READER_ROLE)
        raise PathError(f"'{location}' cannot be read: {reason}") from error


def write_text(location: str, text: str, mime_type: str = "text/plain") -> None:
    """Writes a small file, which replaces an older one; readers see it whole or not at all.

    Args:
      location: where to write; the folder of a local file is created.
      text: what to write.
      mime_type: what a bucket says of it.

    Raises:
      PathError: it cannot be written.
    """
    try:
        BeamArtifactStore().write_text(location, text, mime_type)
    except ArtifactError as error:
        raise PathError(str(error)) from error


def shard_path(prefix: str, shard: int, shards: int, suffix: str) -> str:
    """``prefix-00000-of-00003.jsonl`` for shard 0 of 3."""
    return f"{prefix}-{shard:05d}-of-{shards:05d}{suffix}"


class Output(NamedTuple):
    """A finished file of some run, as it was listed: a file that replaced it is another value.

    Attributes:
      path: where it is.
      size_bytes: as stored.
      updated_secs: when it was written, seconds since 1970.
    """

    path: str
    size_bytes: int
    updated_secs: float


def existing_outputs(prefix: str, suffixes: Sequence[str]) -> list[Output]:
    """The finished files that earlier runs left under a prefix, sorted by path.

    Args:
      prefix: up to the shard number. Files of a longer prefix are not meant.
      suffixes: the ends that their names may have.

    Raises:
      PathError: the storage refuses to list them.
    """
    ends = "|".join(map(re.escape, suffixes))
    shard = re.compile(re.escape(prefix) + rf"-\d{{5,}}-of-\d{{5,}}({ends})")
    return [
        Output(file.path, file.size_in_bytes, file.last_updated_in_seconds)
        for file in _match(f"{prefix}-*")
        if shard.fullmatch(file.path)
    ]


def exists(path: str) -> bool:
    """Whether there is a file of this name.

    Raises:
      PathError: the storage refuses to tell.
    """
    return any(file.path == path for file in _match(path))


def delete(files: Sequence[str]) -> None:
    """Deletes files; one that is gone already is no error.

    Raises:
      PathError: one of them cannot be deleted.
    """
    try:
        FileSystems.delete(list(files))
    except Exception as error:
        left = [file for file in files if exists(file)]
        if left:
            reason = explain(left[0], error, WRITER_ROLE)
            raise PathError(f"'{left[0]}' and others cannot be deleted: {reason}") from error


def _match(pattern: str, *, strict: bool = False) -> list[Any]:
    """The files that match, sorted by path.

    Args:
      pattern: as of `match_input`.
      strict: whether local names that are neither files nor folders are refused.
    """
    try:
        if is_local(pattern):
            named = {path for spelling in spellings(pattern) for path in _local_names(spelling)}
            return _local_files(sorted(named), pattern, strict)
        return sorted(match_files(pattern), key=lambda file: file.path)
    except PathError:
        raise
    except Exception as error:
        raise PathError(f"'{pattern}': {explain(pattern, error, READER_ROLE)}") from error


def _local_names(pattern: str) -> Iterable[str]:
    # Beam would walk the whole tree below the folder, finds nothing where no folder is named, and
    # passes over links to nowhere.
    if os.path.lexists(pattern):
        return [pattern]
    if "**" not in pattern:
        _check_folders(pattern)
        return glob.glob(pattern, include_hidden=True)  # noqa: PTH207  # may be absolute
    literal = _WILDCARD.split(pattern, maxsplit=1)[0]
    top = literal[: literal.rfind("/") + 1]
    matches = re.compile(FileSystem.translate_pattern(pattern)).match
    return filter(matches, _below(top, pattern))


def _below(top: str, pattern: str) -> Iterator[str]:
    """Every name below a folder but those of folders, beginning as it does."""

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            _refuse_closed(error.filename, pattern)
        elif not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for folder, _, names in os.walk(top or ".", onerror=refuse):
        inside = folder if top else folder.removeprefix(".").removeprefix("/")
        yield from (os.path.join(inside, name) for name in names)  # noqa: PTH118  # as it is written


def _check_folders(pattern: str) -> None:
    """Makes sure that folders whose names matter may be read: to glob, one that may not is empty.

    Raises:
      PathError: one may not.
    """
    parts = pattern.split("/")
    first = next((i for i, part in enumerate(parts) if _WILDCARD.search(part)), len(parts))
    for depth in range(first, len(parts)):
        above = "/".join(parts[:depth]) or ("/" if depth else ".")
        for folder in glob.glob(above, include_hidden=True):  # noqa: PTH207  # may be absolute
            may = os.access(folder, os.R_OK | os.X_OK, effective_ids=True)
            if not may and Path(folder).is_dir():
                _refuse_closed(folder, pattern)


def _refuse_closed(folder: str, pattern: str) -> None:
    if not is_hidden(f"{folder}/name", pattern):
        raise PathError(_CLOSED.format(folder))


def _local_files(names: Iterable[str], pattern: str, strict: bool) -> list[Any]:
    files, others = [], []
    for path in names:
        if is_unfinished(path, pattern):
            continue
        try:
            found = Path(path).stat()
        except OSError:
            if not Path(path).is_symlink():
                raise
            others.append(path)
            continue
        if stat.S_ISREG(found.st_mode):
            files.append(FileMetadata(path, found.st_size, found.st_mtime))
        elif not stat.S_ISDIR(found.st_mode):
            others.append(path)
    others = [path for path in others if not is_hidden(path, pattern)]
    if strict and others:
        more = f" (and {len(others) - 1:,} more)" if len(others) > 1 else ""
        raise PathError(
            f"input '{pattern}' matches '{others[0]}'{more}, {_what_it_is(others[0])}; remove it, "
            "or let the pattern leave it out"
        )
    return files


def _what_it_is(path: str) -> str:
    if Path(path).is_symlink() and not Path(path).exists():
        return f"a link to '{Path(path).readlink()}', which is not there"
    return "a pipe, a socket or a device, which cannot be read twice"
