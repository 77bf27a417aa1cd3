"""What a person reads before and after a run: the dry run's description, the summary."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.batch.metrics import (
    CUT_TEXTS,
    MISSING_VALUES,
    REPORT_PAGES,
    ROW_DIFFERENCES,
    ROW_SAMPLES,
    UNREAD_RECORDS,
)
from pipeline.batch.tensors import Signature
from pipeline.drawing.text import draw_text
from pipeline.launch.job import Job
from pipeline.launch.outputs import LINES_SUFFIX
from pipeline.launch.settings import Content, Medium, Outputs
from pipeline.readable import shown_uri
from pipeline.report import quantities
from pipeline.report.dead_letter_share import percentage


def dry_run(job: Job) -> str:
    """The resolved graph, the models and their signatures, as text."""
    spec, rehearsal = job.graph.spec, job.rehearsal
    lines = [f"Ensemble '{spec.name}', release {job.release.release_id}", ""]
    lines += [draw_text(job.drawing()), "", "Models"]
    for model in job.graph.models:
        version = job.release.version_of(model.name)
        facts = rehearsal.models.get(model.name)
        loaded = (
            f"on {facts.device}, {quantities.size(facts.size_bytes)}" if facts else "not loaded"
        )
        lines.append(
            f"  {model.name}: {model.framework}, version {version.label}, {loaded}, "
            f"{shown_uri(version.uri)}"
        )
        lines += _signature(facts.signature) if facts else []
        if not model.independent_rows:
            lines.append("    independent_rows: false, so its rows are not compared")
    if rehearsal.unknown:
        lines += ["", "Not compared", *(f"  {sentence}" for sentence in rehearsal.unknown)]
    return "\n".join(lines)


def summary(counters: Mapping[str, int], job: Job, elapsed_secs: float) -> str:
    """What became of the records.

    Args:
      counters: names as in `transforms.encode`, and their values.
      job: the job that ran.
      elapsed_secs: how long it ran.
    """
    predictions, dead = counters.get("predictions", 0), counters.get("dead_letters", 0)
    page = ""
    inputs, outputs = job.settings.inputs, job.settings.outputs
    if outputs.report_path:
        written = counters.get(REPORT_PAGES)
        page = f"\nReport: {outputs.report_path if written else 'not written'}"
    if not predictions + dead:
        source = "table is" if inputs.input_table else "query's result is"
        source = "files are" if inputs.input_file_pattern else source
        return f"No records: the input {source} empty. Nothing was predicted.{page}"
    lines = [f"{predictions + dead:,} records in {elapsed_secs:.1f} s"]
    if predictions:
        to = _places(outputs, Content.PREDICTIONS, outputs.prediction_suffix)
        lines.append(f"{predictions:>9,} predictions   {to}")
    if dead:
        to = _places(outputs, Content.DEAD_LETTERS)
        lines.append(f"{dead:>9,} dead letters  {to}, {percentage(dead, predictions + dead)}")
        kinds = {n: c for n, c in counters.items() if n.startswith("dead_letters/")}
        for name, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"{count:>19,} {name.removeprefix('dead_letters/').replace('/', ': ')}")
    if unread := counters.get(UNREAD_RECORDS):
        lines.append(f"warning: {unread:,} records were in parts of files that cannot be read")
    for name, count in sorted(counters.items()):
        if name.startswith(f"{MISSING_VALUES}/") and count >= predictions + dead:
            field = name.removeprefix(f"{MISSING_VALUES}/")
            lines.append(
                f"warning: no record has a value of field '{field}'; is its name, or its key "
                "`name`, what the records have?"
            )
        if name.startswith(f"{CUT_TEXTS}/"):
            lines.append(
                f"warning: model '{name.removeprefix(f'{CUT_TEXTS}/')}' read the beginning only of "
                f"{count:,} texts or sounds, which are longer than it takes; `truncation: error` "
                "refuses them"
            )
    if differ := counters.get(ROW_DIFFERENCES):
        lines.append(
            f"warning: {differ:,} of {counters[ROW_SAMPLES]:,} rows computed once more "
            "were given something else by their model; the log says which"
        )
    return "\n".join(lines) + page


def _places(outputs: Outputs, content: Content, suffix: str = LINES_SUFFIX) -> str:
    files = [f"{sink.place}-*{suffix}" for sink in outputs.of(content, Medium.FILES)]
    tables = [sink.place for sink in outputs.of(content, Medium.TABLE)]
    return ", ".join(files + tables)


def _signature(signature: Signature) -> list[str]:
    lines = []
    for kind, tensors in (("in ", signature.inputs), ("out", signature.outputs)):
        if tensors is None:
            lines.append(f"    {kind} not declared by this format")
        else:
            lines += [f"    {kind} {tensor}" for tensor in tensors]
    if signature.fixed_batch_rows:
        lines.append(f"    takes exactly {signature.fixed_batch_rows} rows a call")
    return lines
