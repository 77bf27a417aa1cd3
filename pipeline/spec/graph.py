"""The ensemble as a graph: the maker of each column, and the order in which the steps run.

Prepare steps run first, then the models, then the combine steps, each of the three in topological
order whatever the order in the file.
Nothing is loaded here: :mod:`pipeline.serving.rehearsal.rehearsal` checks what the models
themselves say of their tensors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from typing import Protocol, TypeVar

from pipeline.batch.names import some
from pipeline.batch.tensors import describe
from pipeline.errors import SHOWN_PROBLEMS, SpecError
from pipeline.spec.column_types import Gaps, Type, TypesError
from pipeline.spec.combine import CombineStep
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.gaps import gaps_of
from pipeline.spec.model import ModelSpec
from pipeline.spec.prepare import DecodeAudio, PrepareStep


class _Step(Protocol):
    def columns_read(self) -> list[str]: ...
    def columns_written(self) -> list[str]: ...


_S = TypeVar("_S", bound=_Step)


@dataclass(frozen=True)
class Graph:
    """A resolved ensemble.

    Attributes:
      spec: the ensemble.
      prepare: the prepare steps in the order in which they run.
      models: the models in the order in which they run.
      combine: the combine steps in the order in which they run.
      producers: column -> what makes it, in words: "the record", "model 'forest'"...
      types: dtype and row shape of the columns that are known without the models: the record's and
        those of the prepare steps.
      gaps: where each column may lack values; those of models never do.
    """

    spec: EnsembleSpec
    prepare: tuple[PrepareStep, ...]
    models: tuple[ModelSpec, ...]
    combine: tuple[CombineStep, ...]
    producers: Mapping[str, str]
    types: Mapping[str, Type]
    gaps: Mapping[str, Gaps]

    @cached_property
    def prepare_step_of(self) -> Mapping[str, PrepareStep]:
        """Column -> the prepare step that makes it, of those that one makes."""
        return {column: step for step in self.prepare for column in step.columns_written()}

    @property
    def read_after_prepare(self) -> frozenset[str]:
        """The columns of the record and of prepare steps that are needed once these have run."""
        readers: list[_Step] = [*self.models, *self.combine]
        read = {column for step in readers for column in step.columns_read()}
        return frozenset(self.types) & (read | set(self.output))

    @property
    def output(self) -> tuple[str, ...]:
        """The columns of a prediction."""
        return self.spec.output_columns()

    @property
    def sparse(self) -> frozenset[str]:
        """The columns that may stay sparse.

        What transformers of scikit-learn make, if nothing reads it but its estimators, as one
        matrix.
        """
        made = {
            model.outputs["transform"]
            for model in self.models
            if model.framework == "sklearn" and "transform" in model.outputs
        }
        others: list[_Step] = [*self.prepare, *self.combine]
        others += [m for m in self.models if m.framework != "sklearn" or len(m.inputs) > 1]
        read = {column for step in others for column in step.columns_read()}
        return frozenset(made - read - {*self.output})


def resolve(spec: EnsembleSpec) -> Graph:
    """Connects the steps of an ensemble.

    Raises:
      SpecError: a column is missing or made twice, steps wait for each other, or a prepare step
        cannot read its input; lists all such problems, with the names of both ends.
    """
    problems: list[str] = []
    producers = dict.fromkeys(spec.record.fields, "the record")
    _claim(producers, ((s.columns_written(), s.title) for s in spec.prepare), problems)
    before_models = dict(producers)
    _claim(producers, ((m.columns_written(), f"model '{m.name}'") for m in spec.models), problems)
    before_combine = dict(producers)
    _claim(producers, ((s.columns_written(), s.title) for s in spec.combine), problems)
    for reader, column, made, rule in _reads(spec, before_models, before_combine, producers):
        if column in producers and column not in made:
            problems.append(
                f"{reader} reads column '{column}', which {producers[column]} makes; {rule}"
            )
        else:
            _require(column, reader, made, problems)
    if spec.record.source is not None and spec.pass_through:
        whole = "a file" if spec.record.whole_files else "only bytes"
        problems.append(
            f"pass_through: found {some([*map(str, spec.pass_through)])}; with `source: "
            f"{spec.record.source}` a record is {whole} and has no keys"
        )
    for name in spec.pass_through:
        if key := spec.record.key_meant(name):
            problems.append(f"pass_through: found the field '{name}', expected its key {key}")
    problems += _rates(spec)
    if problems:
        raise SpecError(problems)
    prepare = _in_order(spec.prepare, "prepare steps", [s.column for s in spec.prepare])
    combine = _in_order(spec.combine, "combine steps", [s.column for s in spec.combine])
    types = _types(spec, prepare, producers)
    return Graph(
        spec=spec,
        prepare=prepare,
        models=_in_order(spec.models, "models", [m.name for m in spec.models]),
        combine=combine,
        producers=producers,
        types=types,
        gaps=gaps_of(spec, (*prepare, *combine), types, producers),
    )


def _types(
    spec: EnsembleSpec, steps: Sequence[PrepareStep], producers: Mapping[str, str]
) -> dict[str, Type]:
    types: dict[str, Type] = {n: (f.dtype, f.shape) for n, f in spec.record.fields.items()}
    problems = []
    for step in steps:
        read = step.columns_read()
        if not types.keys() >= set(read):
            continue  # made by a step that has a problem itself
        try:
            types |= step.types(*(types[column] for column in read))
        except TypesError as needs:
            found = " and ".join(
                f"column '{column}' of {producers[column]} is {describe(*types[column])}"
                for column in read
            )
            problems.append(f"{step.title} ({step.op}) {needs}, but {found}")
    if problems:
        raise SpecError(problems)
    return types


def _rates(spec: EnsembleSpec) -> Iterator[str]:
    """Models that say of waveforms another rate than the step that makes them."""
    made = {step.column: step for step in spec.prepare if isinstance(step, DecodeAudio)}
    for model in spec.models:
        said = getattr(model, "sampling_rate", None)
        for tensor, column in _bindings(model) if said is not None else ():
            step = made.get(column)
            if step is None or step.sampling_rate == said:
                continue
            found = f"`sampling_rate: {step.sampling_rate}`"
            if step.sampling_rate is None:
                found = f"`rate: {step.rate}`, so each file has its own"
            yield (
                f"model '{model.name}' has `sampling_rate: {said}`, but input '{tensor}' reads "
                f"column '{column}', and {step.title} has {found}"
            )


def _bindings(model: ModelSpec) -> Iterable[tuple[str, str]]:
    for tensor, binding in model.inputs.items():
        column = getattr(binding, "column", None)
        if column is not None:
            yield tensor, column


def _claim(
    producers: dict[str, str], makers: Iterable[tuple[list[str], str]], problems: list[str]
) -> None:
    for names, maker in makers:
        for name in names:
            if name in producers:
                problems.append(f"column '{name}' is made twice: by {producers[name]} and {maker}")
            else:
                producers[name] = maker


def _reads(
    spec: EnsembleSpec,
    before_models: Mapping[str, str],
    before_combine: Mapping[str, str],
    producers: Mapping[str, str],
) -> Iterator[tuple[str, str, Mapping[str, str], str]]:
    """Who reads which column, the columns that exist by then, and why there are no others."""
    rule = "prepare steps run before all models"
    for prepare in spec.prepare:
        for column in prepare.columns_read():
            yield prepare.title, column, before_models, rule
    rule = "combine steps run after all models"
    for model in spec.models:
        for tensor, column in _bindings(model):
            yield f"model '{model.name}' input '{tensor}'", column, before_combine, rule
    for step in spec.combine:
        for column in step.columns_read():
            yield step.title, column, producers, ""
    for column in spec.output:
        yield "output", column, producers, ""


def _require(column: str, reader: str, producers: Mapping[str, str], problems: list[str]) -> None:
    if column in producers:
        return
    told = len(problems) < SHOWN_PROBLEMS  # each look for a name like it compares it with all
    near = difflib.get_close_matches(column, producers, n=1) if told else []
    hint = f"did you mean '{near[0]}'?" if near else f"the columns are {some(producers)}"
    problems.append(f"{reader} reads column '{column}', which nothing makes; {hint}")


def _in_order(steps: Sequence[_S], kind: str, names: Sequence[str]) -> tuple[_S, ...]:
    """Topological order, then the order of the file (Kahn 1962, doi:10.1145/368996.369025)."""
    maker = {column: i for i, step in enumerate(steps) for column in step.columns_written()}
    waits = [{maker[c] for c in step.columns_read() if c in maker} for step in steps]
    readers: list[list[int]] = [[] for _ in steps]
    for i, makers in enumerate(waits):
        for each in makers:
            readers[each].append(i)
    left = [len(makers) for makers in waits]
    ready = [i for i, count in enumerate(left) if not count]  # sorted, so a heap
    done: list[int] = []
    while ready:
        done.append(heappop(ready))
        for i in readers[done[-1]]:
            left[i] -= 1
            if not left[i]:
                heappush(ready, i)
    if len(done) < len(steps):
        raise SpecError(f"{kind} wait for each other: {_cycle(waits, set(done), names)}")
    return tuple(steps[i] for i in done)


def _cycle(waits: Sequence[set[int]], done: set[int], names: Sequence[str]) -> str:
    """One cycle among the steps that are not done, written as ``a -> b -> a``."""
    path = [next(i for i in range(len(waits)) if i not in done)]
    while True:
        following = min(waits[path[-1]] - done)
        if following in path:
            cycle = [*path[path.index(following) :], following]
            return " -> ".join(names[i] for i in reversed(cycle))
        path.append(following)
