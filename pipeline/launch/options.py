"""From the command line to typed settings; what is not ours goes on to Beam.

The template launcher passes every parameter as text, ``--name=value``, also booleans and empty
values, and appends options of its own. So all parameters are read as text and converted here, an
empty value means the default, and every problem is reported at once, by the parameter's name.
"""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline.errors import ParameterError
from pipeline.launch import dataflow_workers, portable, table_names
from pipeline.launch.settings import (
    SINKS,
    Content,
    Inputs,
    Medium,
    Outputs,
    RunSettings,
    Settings,
    Value,
    default_dead_letter_path,
    settings_of,
)
from pipeline.parameters import BY_NAME, PARAMETERS, Parameter
from pipeline.spec.uris import plain_path, plain_paths

_INPUTS = (
    *("input_file_pattern", "input_subscription", "input_topic"),
    *("input_table", "input_query"),
)
_OUTPUTS = tuple(p for p, (content, _) in SINKS.items() if content is Content.PREDICTIONS)
_DEAD_LETTERS = tuple(p for p, (content, _) in SINKS.items() if content is Content.DEAD_LETTERS)
_OF_STREAMS = (
    *("output_file_secs", "max_batch_latency_ms"),
    *("stop_after_secs", "stop_after_records"),
)
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True)
class Parsed:
    """A command line, read.

    Attributes:
      settings: our parameters.
      beam_args: for Beam: its own options, and our parameters that are options of Beam.
      warnings: options that neither we nor Beam know.
    """

    settings: Settings
    beam_args: tuple[str, ...]
    warnings: tuple[str, ...]


def parse(argv: Sequence[str]) -> Parsed:
    """Reads a command line.

    Raises:
      ParameterError: parameters are missing, misspelt or have a wrong value: all of them at once.
      SystemExit: with status 0, after ``--help``.
    """
    texts, rest = _split(argv)
    values, problems = values_of(PARAMETERS, texts)
    beam = BeamParser()
    known = beam.flags
    if _names_flink(rest):
        known = {**known, **portable.FLINK_FLAGS}
    beam_args, warnings, meant = _check_rest(rest, known, problems)
    for parameter in PARAMETERS:
        if parameter.to_beam and (value := values.pop(parameter.name, "")):
            beam_args.append(f"--{parameter.name}={value}")
    # A misspelt parameter is not reported as missing as well.
    given = {name for name in BY_NAME if values.get(name)} | meant
    streaming = bool(given & {"streaming", "input_subscription", "input_topic"})
    for parameter in PARAMETERS:
        if parameter.required and parameter.name not in given:
            problems.append(f"--{parameter.name} is missing: {_first_sentence(parameter.help)}")
    problems += _check_together(given, str(values.get("refresh_mode")), streaming)
    if not streaming:
        warnings += (
            f"--{name} has no effect on a batch job" for name in _OF_STREAMS if name in given
        )
    if not given & set(_DEAD_LETTERS) and "output_path" in given:
        values["dead_letter_path"] = default_dead_letter_path(str(values["output_path"]))
    # What could not be read counts as not given in the checks below, and is reported already.
    ours = {p.name: values.get(p.name, "") for p in PARAMETERS if not p.to_beam}
    settings = settings_of(ours | {"streaming": streaming})
    try:
        beam.parse_known_args(beam_args)  # Beam itself would print a long usage and exit
    except ParameterError as error:
        problems += error.problems
    else:
        options = PipelineOptions(beam_args)
        inputs, outputs, run = settings.inputs, settings.outputs, settings.run
        problems += dataflow_workers.problems(settings.workers, settings.models, run, options)
        problems += table_names.problems(inputs, outputs, options, dry_run=run.dry_run)
        problems += _check_attributes(inputs, run, options)
        problems += _check_formats(inputs, outputs, run)
        problems += _check_share(run.max_dead_letter_percent, streaming)
    if problems:
        raise ParameterError(problems)
    return Parsed(settings, tuple(beam_args), tuple(warnings))


def _split(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    parser = RaisingParser(
        prog="main.py",
        allow_abbrev=False,
        description="Runs an ensemble of models over records. Options of Apache Beam and of its "
        "runners (--runner, --project, --direct_num_workers, ...) are passed on.",
    )
    add_parameters(parser, PARAMETERS)
    known, rest = parser.parse_known_args(list(argv))
    return {name: text.strip() for name, text in vars(known).items() if text is not None}, rest


def add_parameters(parser: argparse.ArgumentParser, parameters: Sequence[Parameter]) -> None:
    """Makes parameters options of a parser, which leaves their values as text."""
    for parameter in parameters:
        text = parameter.help.replace("%", "%%")
        if parameter.default:
            text += f" Default: {parameter.default}."
        parser.add_argument(
            f"--{parameter.name}",
            help=text,
            # A bare --dry_run is what people type; --dry_run=true is what the launcher passes.
            nargs="?" if parameter.kind == "boolean" else None,
            const="true" if parameter.kind == "boolean" else None,
            metavar="|".join(parameter.choices) or parameter.kind.upper(),
        )


def values_of(
    parameters: Sequence[Parameter], texts: Mapping[str, str | None]
) -> tuple[dict[str, Value], list[str]]:
    """The values of parameters by name, "" for one that cannot be read, and what is wrong.

    Args:
      parameters: that were asked for.
      texts: name -> what was given; where that is nothing, the default counts.
    """
    values: dict[str, Value] = {}
    problems: list[str] = []
    for parameter in parameters:
        text = texts.get(parameter.name) or parameter.default or ""
        values[parameter.name] = ""
        try:
            values[parameter.name] = _convert(parameter, text) if text else ""
        except ValueError as error:
            problems.append(f"--{parameter.name}: {error}")
    return values, problems


def _convert(parameter: Parameter, text: str) -> Value:
    if parameter.kind == "boolean":
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(f"found '{text}', expected true or false")
        return text.lower() in _TRUE
    if parameter.kind == "integer":
        try:
            number = int(text)
        except ValueError:
            number = parameter.minimum - 1
        if number < parameter.minimum:
            raise ValueError(f"found '{text}', expected an integer of at least {parameter.minimum}")
        return number
    if parameter.kind == "number":
        return _number(text, parameter.minimum, parameter.maximum)
    if parameter.kind == "choice" and text not in parameter.choices:
        raise ValueError(f"found '{text}', expected one of {', '.join(parameter.choices)}")
    if parameter.is_list:
        plain_paths(text)  # read where it is used: what is decoded may hold commas
        return text
    return plain_path(text)


def _number(text: str, least: int, most: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:  # NaN is neither
        raise ValueError(f"found '{text}', expected a number from {least} to {most}")
    return number


def _check_together(given: set[str], refresh_mode: str, streaming: bool) -> Iterator[str]:
    """What is wrong with parameters that are right by themselves."""
    inputs = [name for name in _INPUTS if name in given]
    if len(inputs) > 1:
        yield f"--{' and --'.join(inputs)} exclude each other: give one"
    if "dry_run" not in given:
        if not inputs:
            yield f"no input: give one of {_listed(_INPUTS)}"
        if not given & set(_OUTPUTS):
            yield f"no output: give at least one of {_listed(_OUTPUTS)}"
        elif not given & {"output_path", *_DEAD_LETTERS}:
            yield f"no place for dead letters: give at least one of {_listed(_DEAD_LETTERS)}"
    if not streaming:
        for name in ("output_topic", "dead_letter_topic", "release_events_topic"):
            if name in given:
                yield f"--{name} needs a streaming job (--streaming=true, or a Pub/Sub input)"
        if refresh_mode in ("watch", "event", "both"):
            yield (
                f"--refresh_mode={refresh_mode} needs a streaming job (--streaming=true, or a "
                "Pub/Sub input); a batch job serves one release from begin to end"
            )
    for name in ("input_table", "input_query"):
        if name in given and streaming:
            yield f"--{name} is read once, by a batch job: leave out --streaming"
    if refresh_mode in ("event", "both") and "refresh_subscription" not in given:
        yield f"--refresh_mode={refresh_mode} needs --refresh_subscription"
    if refresh_mode == "follow" and "release_dir" not in given:
        yield "--refresh_mode=follow needs --release_dir, the folder of the job whose gate decides"
    if refresh_mode in ("off", "watch", "follow") and "refresh_subscription" in given:
        yield "--refresh_subscription needs --refresh_mode=event or both"
    if refresh_mode in ("off", "event", "follow") and "release_pattern" in given:
        yield "--release_pattern needs --refresh_mode=watch or both"


def _check_share(percent: float, streaming: bool) -> Iterator[str]:
    """What is wrong with the share of dead letters."""
    if streaming and percent not in ("", 100):
        yield (
            f"--max_dead_letter_percent={percent:g} needs a batch job: a stream has no end at "
            "which to count; watch its metric dead_letters"
        )


def _check_attributes(inputs: Inputs, run: RunSettings, options: PipelineOptions) -> Iterator[str]:
    """What is wrong with parameters that only Dataflow's own source of Pub/Sub has."""
    runner = options.view_as(StandardOptions).runner
    for name in ("id_label", "timestamp_attribute"):
        if not getattr(inputs, name):
            continue
        if not (inputs.input_subscription or inputs.input_topic or run.dry_run):
            yield f"--{name} needs --input_subscription or --input_topic"
        elif runner != "DataflowRunner" and not run.dry_run:
            yield (
                f"--{name} is for Dataflow's own source of Pub/Sub, found --runner={runner}: leave "
                "it out; messages then have their publish time, and each that is delivered counts"
            )


def _check_formats(inputs: Inputs, outputs: Outputs, run: RunSettings) -> Iterator[str]:
    """What is wrong with the formats of files."""
    if (page := outputs.report_path) and not page.endswith((".html", ".htm")):
        yield f"--report_path: found '{page}', expected a file name ending in .html"
    written = outputs.place(Content.PREDICTIONS, Medium.FILES)
    if (form := outputs.output_format) != "jsonl":
        if inputs.streaming:
            yield f"--output_format={form} needs a batch job: a stream writes JSON lines"
        elif not (written or run.dry_run):
            yield f"--output_format={form} needs --output_path"
    if inputs.input_format not in ("", "auto") and not (inputs.input_file_pattern or run.dry_run):
        yield f"--input_format={inputs.input_format} needs --input_file_pattern"
    if run.graph_path and not run.graph_path.endswith(".svg"):
        yield f"--graph_path: found '{run.graph_path}', expected a name that ends in .svg"


def _check_rest(
    rest: Sequence[str], known: Mapping[str, bool], problems: list[str]
) -> tuple[list[str], list[str], set[str]]:
    """What to hand to Beam, warnings about what nobody reads, and which parameters were meant."""
    meant: set[str] = set()
    beam_args: list[str] = []
    warnings: list[str] = []
    expects_value = False
    for token in rest:
        if not token.startswith("--"):
            if not expects_value:
                problems.append(f"found '{token}', expected --parameter=value")
            beam_args.append(token)
            expects_value = False
            continue
        name, equals, value = token[2:].partition("=")
        expects_value = not equals
        if name in known:
            if equals and not value:
                continue  # as for our own: the default
            if known[name] and value.lower() in _FALSE:
                continue  # Beam's switches take no value; absent is false
            beam_args.append(f"--{name}" if known[name] and value.lower() in _TRUE else token)
            continue
        ours = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.8)
        if ours:
            problems.append(f"--{name} is not a parameter; did you mean --{ours[0]}?")
            meant.add(ours[0])
            continue
        beams = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        hint = f"; did you mean --{beams[0]}?" if beams else ""
        warnings.append(f"neither this template nor Beam knows --{name}{hint}")
        beam_args.append(token)
    return beam_args, warnings, meant


class RaisingParser(argparse.ArgumentParser):
    """Raises instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser."""
        raise ParameterError(message.removeprefix("argument "))


class BeamParser(RaisingParser):
    """Knows all of Beam's options."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False, conflict_handler="resolve")
        for options in PipelineOptions.__subclasses__():
            options._add_argparse_args(self)

    @property
    def flags(self) -> Mapping[str, bool]:
        """Their names, each with whether it is a switch, which takes no value."""
        return {
            flag[2:]: action.nargs == 0
            for action in self._actions
            for flag in action.option_strings
            if flag.startswith("--")
        }


def _names_flink(rest: Sequence[str]) -> bool:
    """Whether the job server of Flink is asked, or may be."""
    runners = (portable.FLINK, portable.ANY)
    given = [token.removeprefix("--runner=") for token in rest]
    return any(portable.is_runner(name, token) for name in runners for token in given)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(f'--{name}' for name in names[:-1])} and --{names[-1]}"


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
