"""Ray Data: `map_batches` over an actor that holds the models.

Tables go in and come out as Arrow, the form in which Ray holds them. JSON lines are read by
`read_json`, that is by pyarrow's parser, and written with orjson: Ray's own `write_json` goes
through pandas.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import ray
import ray.data
from pyarrow.fs import LocalFileSystem
from ray.data.block import BlockAccessor

from benchmarks.batch import jobs
from benchmarks.batch.arrow_lists import list_array, matrix
from benchmarks.batch.vectors.bare_loop import load

if TYPE_CHECKING:  # where types are checked, Ray is not installed

    class BlockBasedFileDatasink:
        """Writes each block to a file of its own."""

        def __init__(self, path: str, **options: Any) -> None: ...

else:
    from ray.data.datasource import BlockBasedFileDatasink

BATCH_ROWS = 8192
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


class Ensemble:
    """The models, held by an actor.

    Args:
      models: the folder of the workload's models.
    """

    def __init__(self, models: Path) -> None:
        self._predict = load(models)

    def __call__(self, table: pa.Table) -> pa.Table:
        proba = self._predict(matrix(table["x"]))
        return pa.table(
            {"id": table["id"], "label": proba.argmax(axis=1), "proba": list_array(proba)}
        )


class Lines(BlockBasedFileDatasink):
    """Files of JSON lines."""

    def write_block_to_file(self, block: BlockAccessor, file: Any) -> None:
        table = block.to_arrow()
        proba = table["proba"].combine_chunks()
        rows = proba.flatten().to_numpy().reshape(len(proba), -1)
        for record in zip(table["id"].to_pylist(), table["label"].to_pylist(), rows, strict=True):
            line = dict(zip(("id", "label", "proba"), record, strict=True))
            file.write(orjson.dumps(line, option=_LINE))


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the benchmark's ensemble on Ray Data.")
    jobs.add_options(parser)
    parser.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl")
    options = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    here = LocalFileSystem()

    def job(inputs: str, output: str) -> None:
        if options.format == "jsonl":
            records = ray.data.read_json(inputs, filesystem=here, file_extensions=["jsonl"])
        else:
            records = ray.data.read_parquet(inputs, filesystem=here)
        predictions = records.map_batches(
            Ensemble,
            fn_constructor_args=[options.models.resolve()],
            batch_format="pyarrow",
            batch_size=BATCH_ROWS,
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=1,
        )
        if options.format == "jsonl":
            predictions.write_datasink(Lines(output, filesystem=here, file_format="json"))
        else:
            predictions.write_parquet(output, filesystem=here)

    jobs.run(job, options)
    ray.shutdown()


if __name__ == "__main__":
    main()
