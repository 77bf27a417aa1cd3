"""The steps of a batch job's pipeline, called block by block in this process, and timed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from benchmarks.batch.workload import Format
from pipeline.batch.batch import Batch
from pipeline.batch.block import Block
from pipeline.connectors.files.parquet_file import ParquetFile
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.connectors.files.write import lines_file
from pipeline.formats.decoder import Decoder, Part
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
from pipeline.transforms.prepare import Prepare

PARSE = "parse, into columns"
MODELS = "the models themselves"

T = TypeVar("T")
Step = Callable[[Any], Any]


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
        prepare = Prepare(graph.prepare, graph.read_after_prepare)
        self._prepare: list[tuple[str, Step]] = []
        if graph.prepare:
            prepare.setup()
            self._prepare.append(("prepare", lambda batch: _only(prepare.process(batch))))
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
        wanted = PREDICTION_TABLES if form == "parquet" else PREDICTION_LINES
        self._encode = Encode(graph.output, [wanted], handle.job_key)
        self._decode.setup()
        self._assign.setup()

    def close(self) -> None:
        self._job.close()

    def compute(self, blocks: Iterable[Block]) -> None:
        """What happens to blocks between reading and writing."""
        for block in blocks:
            element: Any = block
            for _, step in self._steps():
                element = step(element)

    def blocks(self, path: Path, scheme: str = "") -> Generator[Block]:
        """The blocks of a file.

        Args:
          path: of the file.
          scheme: of the storage that it is read from, with its separator; empty for the disk.
        """
        part = FileRange(f"{scheme}{path}", 0, path.stat().st_size, self._form)
        return read_range(part, build.reading(self._job))

    def run(self, inputs: Sequence[Path], output: Path) -> Mapping[str, float]:
        """Seconds that each stage takes for all blocks of some files, in the stages' order."""
        spent: defaultdict[str, float] = defaultdict(float)

        def timed(stage: str, call: Callable[[], T]) -> T:
            began = perf_counter()
            result = call()
            spent[stage] += perf_counter() - began
            return result

        file = ParquetFile(str(output)) if self._form == "parquet" else lines_file(str(output))
        for path in inputs:
            blocks = self.blocks(path)
            while (block := timed("read", partial(next, blocks, None))) is not None:
                element: Any = block
                for stage, step in self._steps():
                    element = timed(stage, partial(step, element))
                timed("write", partial(file.write, element))
        timed("write", file.close)
        return spent

    def run_parts(self, inputs: Sequence[Path]) -> Mapping[str, float]:
        """Seconds that parts of the stages take by themselves, for all blocks of some files."""
        spent = {PARSE: 0.0, MODELS: 0.0}
        spec = self._job.graph.spec
        decoder = decoders(spec.record, spec.pass_through)[self._form]
        for path in inputs:
            for block in self.blocks(path):
                spent[PARSE] += _secs(partial(_parsed, decoder, block))
                spent[MODELS] += self._models_alone(block)
        return spent

    def _models_alone(self, block: Block) -> float:
        batch = _only(self._decode.process(block))
        for _, prepare in self._prepare:
            batch = prepare(batch)
        columns = batch.columns
        secs = 0.0
        for model in self._job.graph.models:
            inputs = {
                tensor: columns[bound.column] for tensor, bound in model.column_inputs.items()
            }
            with self._manager.use(self._job.release, model.name) as servable:
                secs += _secs(partial(servable.predict, inputs))
        return secs

    def _steps(self) -> Sequence[tuple[str, Step]]:
        """What happens to a block between reading and writing."""
        return [
            ("decode", lambda block: _only(self._decode.process(block))),
            *self._prepare,
            ("assign release", lambda batch: _only(self._assign.process(batch))),
            *(
                (f"model {name}", partial(self._infer, handler))
                for name, handler in self._handlers.items()
            ),
            ("combine", lambda batch: _only(self._combine.process(batch))),
            ("encode", lambda batch: _only(self._encode.process(batch)).value),
        ]

    def _infer(self, handler: EnsembleModelHandler, batch: Batch) -> Any:
        return _only(handler.run_inference(batch, self._manager))


def _parsed(decoder: Decoder, block: Block) -> Part:
    return decoder.plain(block) or decoder.part(block, range(len(block.payloads)))


def _secs(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _only(results: Any) -> Any:
    [result] = results
    return result
