"""The steps of a batch job's pipeline, called block by block in this process, and timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import repository  # noqa: F401  # before pipeline
from workload import Format

from pipeline import build, launch, options
from pipeline.connectors.block_writer import lines_file
from pipeline.connectors.file_blocks import read_range
from pipeline.connectors.file_ranges import FileRange
from pipeline.connectors.parquet_file import ParquetFile
from pipeline.core.batch_rows import call_rows
from pipeline.core.block import Block
from pipeline.core.decoders import decoders
from pipeline.run import beam_options
from pipeline.transforms.assign_release import AssignPinnedRelease
from pipeline.transforms.combine import Combine
from pipeline.transforms.decode import Decode
from pipeline.transforms.encode import PREDICTION_LINES, PREDICTION_TABLES, Encode
from pipeline.transforms.inference import EnsembleModelHandler

PARSE = "parse, into columns"
MODELS = "the three models themselves"

T = TypeVar("T")


class Stages:
    """A job whose steps are called one after the other. Closed at its end.

    Args:
      command: the command line of main.py.
      form: of input and output.
      threads: that a model may use, as on one worker.
    """

    def __init__(self, command: Sequence[str], form: Format, threads: int) -> None:
        parsed = options.parse(command)
        placement = launch.Placement(
            on_service=False,
            intra_op_threads=threads,
            threads_share_models=False,
            several_processes=False,
        )
        beam = beam_options(parsed.beam_args)
        self._job = launch.prepare(parsed.settings, beam, placement, lambda _: None)
        self._form = form
        graph, handle = self._job.graph, self._job.handle
        self._manager = handle.get()
        self._decode = Decode(graph.spec.record, graph.spec.pass_through)
        self._assign = AssignPinnedRelease(handle, self._job.release)
        self._handlers = {
            model.name: EnsembleModelHandler(
                handle,
                model,
                max_batch_size=call_rows(parsed.settings.max_batch_size),
                quick_batch_size=build.rows_together(self._job),
                max_model_faults=parsed.settings.max_model_faults,
            )
            for model in graph.models
        }
        self._combine = Combine(graph.combine)
        wanted = PREDICTION_LINES if form == "jsonl" else PREDICTION_TABLES
        self._encode = Encode(graph.output, [wanted], handle.job_key)
        for step in (self._decode, self._assign, self._combine, self._encode):
            step.setup()

    def close(self) -> None:
        self._job.close()

    def run(self, inputs: Sequence[Path], output: Path) -> Counter[str]:
        """Seconds that each stage takes for all blocks of some files, in the stages' order."""
        spent: Counter[str] = Counter()

        def timed(stage: str, call: Callable[[], T]) -> T:
            result: list[T] = []
            spent[stage] += _secs(lambda: result.append(call()))
            return result[0]

        file = lines_file(str(output)) if self._form == "jsonl" else ParquetFile(str(output))
        for path in inputs:
            blocks = read_range(self._range(path), build.reading(self._job))
            while (block := timed("read", lambda b=blocks: next(b, None))) is not None:
                for stage, step in self._steps():
                    block = timed(stage, lambda s=step, b=block: s(b))
                timed("write", lambda chunk=block: file.write(chunk))
        timed("write", file.close)
        return spent

    def run_parts(self, inputs: Sequence[Path]) -> Counter[str]:
        """Seconds that parts of the stages take by themselves, for all blocks of some files."""
        spent: Counter[str] = Counter()
        spec = self._job.graph.spec
        decoder = decoders(spec.record, spec.pass_through)[self._form]
        for path in inputs:
            for block in read_range(self._range(path), build.reading(self._job)):
                rows = range(len(block.payloads))
                spent[PARSE] += _secs(lambda b=block, r=rows: decoder.part(b, r))
                spent[MODELS] += self._models_alone(block)
        return spent

    def _models_alone(self, block: Block) -> float:
        columns = _only(self._decode.process(block)).columns
        secs = 0.0
        for model in self._job.graph.models:
            inputs = {tensor: columns[bound.column] for tensor, bound in model.inputs.items()}
            with self._manager.use(self._job.release, model.name) as servable:
                secs += _secs(lambda s=servable, i=inputs: s.predict(i))
        return secs

    def _steps(self) -> Sequence[tuple[str, Callable[[Any], Any]]]:
        """What happens to a block between reading and writing."""
        return [
            ("decode", lambda block: _only(self._decode.process(block))),
            ("assign release", lambda batch: _only(self._assign.process(batch))),
            *(
                (
                    f"model {name}",
                    lambda batch, h=handler: _only(h.run_inference(batch, self._manager)),
                )
                for name, handler in self._handlers.items()
            ),
            ("combine", lambda batch: _only(self._combine.process(batch))),
            ("encode", lambda batch: _only(self._encode.process(batch)).value),
        ]

    def _range(self, path: Path) -> FileRange:
        return FileRange(str(path), 0, path.stat().st_size, self._form)


def _secs(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _only(results: Any) -> Any:
    [result] = results
    return result
