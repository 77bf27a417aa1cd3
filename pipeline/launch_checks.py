"""Inputs, outputs and subscriptions, looked at before a job starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pipeline.connectors import paths, pubsub_checks
from pipeline.errors import PathError
from pipeline.settings import Settings

SUFFIX = ".jsonl"

Check = Callable[[], object]


def path_problems(settings: Settings) -> list[str]:
    """Everything that is wrong with where records come from and go to, by parameter."""
    problems: list[str] = []
    failed: set[str] = set()
    for parameter, check in _checks(settings):
        if parameter == "dead_letter_path" and "output_path" in failed:
            continue  # by default beside the output: it would only repeat the problem
        try:
            check()
        except PathError as error:
            failed.add(parameter)
            problems += [f"--{parameter}: {problem}" for problem in error.problems]
    return problems


def _checks(settings: Settings) -> Iterator[tuple[str, Check]]:
    if settings.input_file_pattern and not settings.streaming:
        yield "input_file_pattern", partial(paths.match_input, settings.input_file_pattern)
    for parameter in ("input_subscription", "refresh_subscription"):
        if name := getattr(settings, parameter):
            yield parameter, partial(pubsub_checks.check_subscription, name)
    if settings.input_topic:
        yield "input_topic", partial(pubsub_checks.check_input_topic, settings.input_topic)
    for parameter in ("output_topic", "dead_letter_topic", "release_events_topic"):
        if name := getattr(settings, parameter):
            yield parameter, partial(pubsub_checks.check_topic, name)
    for parameter in ("output_path", "dead_letter_path", "release_events_path"):
        if prefix := getattr(settings, parameter):
            yield parameter, partial(paths.check_writable, prefix)
            if not settings.streaming:
                yield parameter, partial(_check_earlier, prefix, settings.overwrite)
    if settings.release_dir:
        manifests = f"{settings.release_dir.rstrip('/')}/release"
        yield "release_dir", partial(paths.check_writable, manifests)


def _check_earlier(prefix: str, overwrite: bool) -> None:
    earlier = paths.existing_outputs(prefix, SUFFIX)
    if earlier and overwrite:
        paths.delete(earlier)
    elif earlier:
        raise PathError(
            f"found {len(earlier)} files of an earlier run, {earlier[0]} the first; give another "
            "prefix, or --overwrite=true to delete them"
        )
