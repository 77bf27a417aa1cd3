"""``release``: propose other versions of models, or a rollback, to a running job."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from pipeline.batch.message import Message
from pipeline.commands import manifest_file, parsers, trial_options, wanted_release
from pipeline.commands.trial_options import ModelLimits
from pipeline.commands.wanted_release import WantedRelease
from pipeline.connectors.pubsub import checks as pubsub_checks
from pipeline.connectors.pubsub.publisher import publisher
from pipeline.connectors.storage import paths
from pipeline.errors import LaunchError, ParameterError
from pipeline.jobs.progress import Progress
from pipeline.launch import job as launch
from pipeline.launch.options import RaisingParser
from pipeline.readable import without_secrets
from pipeline.releases import manifest
from pipeline.spec import text as spec_text
from pipeline.spec.uris import plain_paths

REFUSED = "Not released"

_GIVE_UP_SECS = 30.0


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "release",
        "propose other versions of models, or a rollback, to a running job",
        """
        Writes a proposal to the job's --release_dir, which its gate takes up within seconds, or
        that of the next job. Besides, a job in event mode reads what is published to --topic, one
        in watch mode what is written to --manifest, below its --release_pattern.

        What can be told before is told before: names, places, whether something is there, and with
        --release_dir whether the gate would pass over it as too old. With --set, everything that
        the gate checks is also checked here first: the models are loaded and compute their golden
        examples. A rollback goes to what served before, and is not held up by that.

        A relative URI starts at the folder of the ensemble file, as in that file.
        examples:
          python -m pipeline release gs://BUCKET/ensemble.yaml --set clf=gs://BUCKET/clf/7 \\
            --release_dir gs://BUCKET/releases
          python -m pipeline release ensemble.yaml --set clf=models/clf/7 --set emb=models/emb/3 \\
            --manifest proposed/000012.json
          python -m pipeline release ensemble.yaml --rollback --topic projects/P/topics/refresh
        """,
    )
    parser.add_argument(
        "spec", metavar="SPEC", help="the job's ensemble file, written as in its --ensemble_spec"
    )
    what = parser.add_argument_group("what to release, one of")
    what.add_argument(
        "--set",
        metavar="MODEL=URI",
        action="append",
        default=[],
        help="a version of a model; may be repeated, all change together",
    )
    what.add_argument("--rollback", action="store_true", help="to the release before the current")
    what.add_argument("--rollback_to", metavar="N", help="to the versions of generation N")
    where = parser.add_argument_group("where to, if not to --release_dir")
    where.add_argument("--topic", help="projects/PROJECT/topics/NAME, which gets a message")
    where.add_argument(
        "--manifest",
        metavar="FILE",
        help="local or gs:// file. Models that are not --set are in it as well: as in the release "
        "accepted last with --release_dir, else as a job would start with now",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a manifest that is there")
    parser.add_argument("--release_dir", metavar="DIR", default="", help="as the job has it")
    parser.add_argument(
        "--allowed_model_uris", metavar="URIS", default="", help="as the job has it"
    )
    parser.add_argument(
        "--verify",
        choices=("true", "false"),
        nargs="?",
        const="true",
        help="load and check everything here first. Default: true with --set, false for a rollback",
    )
    trial_options.add(parser)
    return parser


def run_command(arguments: argparse.Namespace) -> None:
    """Checks what is proposed, then writes or publishes it.

    Raises:
      LaunchError: something is wrong; names as many problems as possible at once.
      ServiceError: Pub/Sub refuses the message.
    """
    say = Progress().say
    wanted = _read(arguments)
    wrong = wanted_release.problems(wanted)
    if arguments.topic:
        wrong += _named("--topic", lambda: pubsub_checks.check_topic(arguments.topic))
    if arguments.manifest:
        file, replace = arguments.manifest, arguments.overwrite
        wrong += _named("--manifest", lambda: manifest_file.check_location(file, overwrite=replace))
    if wrong:
        raise LaunchError(wrong)
    state = wanted_release.gate_state(wanted, say)
    wanted_release.refuse_ignored(wanted, state, say)
    verify = arguments.verify or ("false" if wanted.rollback_to is not None else "true")
    release = wanted_release.pass_gate(wanted, state, say) if verify == "true" else None
    if arguments.manifest:
        text = manifest.text_of(wanted_release.manifest_of(wanted, state, release, say))
        paths.write_text(arguments.manifest, text, "application/json")
        print(f"wrote {arguments.manifest}")
    if not (arguments.topic or arguments.manifest):
        print(f"wrote {wanted_release.propose(wanted, state)}")
    if arguments.topic:
        message = json.dumps(_message(wanted), ensure_ascii=False)
        publisher(arguments.topic).publish([Message(message.encode())], _GIVE_UP_SECS)
        print(f"published {without_secrets(message)} to {arguments.topic}")


def _read(arguments: argparse.Namespace) -> WantedRelease:
    """What the arguments propose.

    Raises:
      LaunchError: they contradict each other or lack something, or the ensemble file is at fault.
    """
    given = {
        "--set": bool(arguments.set),
        "--rollback": arguments.rollback,
        "--rollback_to": arguments.rollback_to is not None,
    }
    chosen = [name for name, is_given in given.items() if is_given]
    wrong = []
    if len(chosen) != 1:
        found = f"found {' and '.join(chosen)}" if chosen else "nothing to release"
        wrong.append(f"{found}, expected one of {', '.join(given)}")
    if not (arguments.topic or arguments.manifest or arguments.release_dir):
        wrong.append("nowhere to release to: give --release_dir, --topic or --manifest")
    if arguments.overwrite and not arguments.manifest:
        wrong.append("--overwrite needs --manifest")
    back: int | None = 0 if arguments.rollback else None
    if arguments.rollback_to is not None:
        if arguments.rollback_to.isdecimal() and int(arguments.rollback_to) > 0:
            back = int(arguments.rollback_to)
        else:
            wrong.append(
                f"--rollback_to: found '{arguments.rollback_to}', expected a generation, which is "
                "1 or more"
            )
    changes: dict[str, str] = {}
    limits = ModelLimits()
    allowed: tuple[str, ...] = ()
    try:
        allowed = plain_paths(arguments.allowed_model_uris)
    except ValueError as error:
        wrong.append(f"--allowed_model_uris: {error}")
    try:
        changes = wanted_release.parse_changes(arguments.set)
    except LaunchError as error:
        wrong += error.problems
    try:
        limits = trial_options.limits_of(arguments)
    except ParameterError as error:
        wrong += error.problems
    if wrong:
        raise ParameterError(wrong)
    folder = spec_text.folder_of(arguments.spec)
    return WantedRelease(
        launch.read_graph(arguments.spec),
        {name: spec_text.resolved(uri, folder).rstrip("/") for name, uri in changes.items()},
        back,
        arguments.release_dir,
        allowed,
        limits,
    )


def _message(wanted: WantedRelease) -> dict[str, object]:
    """The message as `releases.message` reads it."""
    if wanted.rollback_to is None:
        return {"models": dict(wanted.changes)}
    return {"rollback_to": wanted.rollback_to} if wanted.rollback_to else {"rollback": True}


def _named(option: str, check: Callable[[], None]) -> list[str]:
    try:
        check()
    except LaunchError as error:
        return [f"{option}: {problem}" for problem in error.problems]
    return []
