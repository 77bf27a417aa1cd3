"""Writes metadata.json, and the reference tables of docs/, from the code that they describe.

Usage: python .ci/reference.py [--check]
"""

from __future__ import annotations

import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
DOCS, METADATA = ROOT / "docs", ROOT / "metadata.json"
sys.path.insert(0, str(ROOT))

from template_metadata import metadata  # noqa: E402

from pipeline.batch.metrics import METRICS  # noqa: E402
from pipeline.parameters import PARAMETERS  # noqa: E402
from pipeline.spec import combine as combine_spec  # noqa: E402
from pipeline.spec import ensemble  # noqa: E402
from pipeline.spec import model as model_spec  # noqa: E402
from pipeline.spec import prepare as prepare_spec  # noqa: E402
from pipeline.spec import record as record_spec  # noqa: E402
from pipeline.spec.entries import tasks as task_texts  # noqa: E402


def parameters() -> str:
    """The template parameters."""
    rows = ["| parameter | value | default | what it does |", "|---|---|---|---|"]
    for p in PARAMETERS:
        value = " \\| ".join(p.choices) or p.kind
        default = "required" if p.required else f"`{p.default}`" if p.default else ""
        rows.append(f"| `--{p.name}` | {value} | {default} | {_cell(p.help)} |")
    return "\n".join(rows)


def spec_keys() -> str:
    """The keys of the ensemble file, section by section."""
    sections: list[tuple[str, type[BaseModel], type[BaseModel] | None]] = [
        ("Top level", ensemble.EnsembleSpec, None),
        ("`record`", record_spec.RecordSpec, None),
        ("`record.csv`", record_spec.CsvSpec, None),
        ("each of `record.fields`", record_spec.FieldSpec, None),
        ("each of `models`", model_spec.ModelEntry, None),
        *(
            (f"`framework: {_only(model, 'framework')}`", model, model_spec.ModelEntry)
            for model in typing.get_args(model_spec.ModelSpec)
        ),
        ("a model input from a column", model_spec.ColumnInput, None),
        ("a constant model input", model_spec.ConstantInput, None),
    ]
    parts = []
    for title, model, base in sections:
        inherited = set(base.model_fields) if base else set()
        parts.append(f"**{title}** {_first_paragraph(model) if base else ''}".rstrip() + "\n")
        parts.append(_example(model))
        parts.append(_key_table(model, inherited | ({"framework"} if base else set())))
    return "\n".join(part for part in parts if part)


def operations(steps: object) -> str:
    """The operations of the prepare or the combine steps, and their keys."""
    rows = ["| `op` | keys besides `column` | what it computes |", "|---|---|---|"]
    for model in typing.get_args(steps):
        ops = ", ".join(f"`{op}`" for op in typing.get_args(model.model_fields["op"].annotation))
        keys = []
        for name, field in model.model_fields.items():
            if name not in ("column", "op"):
                optional = "" if field.is_required() else " (optional)"
                keys.append(f"`{name}`{optional}: {field.description}")
        rows.append(f"| {ops} | {_cell(' '.join(keys))} | {_cell(model.__doc__ or '')} |")
    return "\n".join(rows)


def tasks() -> str:
    """The tasks of `framework: transformers`."""
    rows = ["| `task` | inputs | outputs | keys of its own |", "|---|---|---|---|"]
    for name, task in task_texts.TASKS.items():
        options = ", ".join(f"`{option}`" for option in task.options)
        rows.append(f"| `{name}` | {_cell(task.inputs)} | {_cell(task.outputs)} | {options} |")
    return "\n".join(rows)


def metrics() -> str:
    """The metrics of a job."""
    rows = ["| name | kind | unit | what it says |", "|---|---|---|---|"]
    rows += [f"| `{m.name}` | {m.kind} | {m.unit} | {_cell(m.meaning)} |" for m in METRICS]
    return "\n".join(rows)


def _only(model: type[BaseModel], key: str) -> str:
    """The one value that a discriminating key of `model` may have."""
    (value,) = typing.get_args(model.model_fields[key].annotation)
    return str(value)


def _key_table(model: type[BaseModel], leave_out: set[str]) -> str:
    rows = ["| key | value | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        need = "" if field.is_required() else " (optional)"
        value = _type(field.annotation)
        rows.append(f"| `{name}`{need} | {value} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n" if len(rows) > 2 else ""


def _type(annotation: object) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(args[0])
    if origin in (typing.Union, types.UnionType):
        named = [_type(arg) for arg in args if arg is not type(None)]
        return " or ".join(dict.fromkeys(named))
    if origin is typing.Literal:
        written = (str(arg).lower() if isinstance(arg, bool) else arg for arg in args)
        return ", ".join(f"`{arg}`" for arg in written)
    if origin is tuple:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names = {str: "text", int: "integer", float: "number", bool: "boolean"}
    return names.get(annotation, "any")  # type: ignore[call-overload]


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _example(model: type[BaseModel]) -> str:
    """The example in its docstring, which a test runs."""
    text = inspect.getdoc(model) or ""
    example = textwrap.dedent(text.partition("Example::\n")[2]).strip()
    return f"```yaml\n{example}\n```\n" if example else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _filled(document: str, tables: Mapping[str, str]) -> str:
    """A document with its marked parts made anew."""
    for name, text in tables.items():
        begin, end = f"<!-- {name}: made by `make reference` -->\n", f"<!-- /{name} -->"
        before, _, rest = document.partition(begin)
        after = rest.partition(end)[2]
        document = f"{before}{begin}\n{text}\n\n{end}{after}"
    return document


def main(check: bool) -> int:
    """Rewrites metadata.json and the marked parts, or says whether they are current."""
    tables = {
        "parameters.md": {"parameters": parameters()},
        "operations.md": {"metrics": metrics()},
        "ensemble-file.md": {
            "spec": spec_keys(),
            "tasks": tasks(),
            "prepare": operations(prepare_spec.PrepareStep),
            "combine": operations(combine_spec.CombineStep),
        },
    }
    made = {METADATA: metadata()}
    for name, of_document in tables.items():
        made[DOCS / name] = _filled((DOCS / name).read_text(), of_document)
    if check:
        return int(any(path.read_text() != text for path, text in made.items()))
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
