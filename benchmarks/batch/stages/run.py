"""The steps of a batch job's pipeline, called block by block in this process, and timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from benchmarks.batch.workload import Format
from pipeline.batch.block import Block
from pipeline.connectors.files.parquet_file import ParquetFile
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.connectors.files.write import lines_file
from pipeline.formats.registry import decoders
from pipeline.jobs import batch as build
from pipeline.jobs.run import beam_options
from pipeline.launch import job as launch
from pipeline.launch import options
from pipeline.launch.placement import Placement
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
        placement = Placement(
            intra_op_threads=threads,
            threads_share_models=False,
            several_processes=False,
        )
        beam = beam_options(parsed.beam_args)
        self._job = launch.check_job(parsed.settings, beam, placement, lambda _: None)
        self._form = form
        graph, handle = self._job.graph, self._job.handle
        self._manager = handle.get()
        self._decode = Decode(graph.spec.record, graph.spec.pass_through)
        self._assign = AssignPinnedRelease(handle, self._job.release)
        self._handlers = {
            model.name: EnsembleModelHandler(
                handle,
                model,
                limits=self._job.row_limits,
                max_model_faults=parsed.settings.models.max_model_faults,
            )
            for model in graph.models
        }
        self._combine = Combine(graph.combine, graph.output)
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
