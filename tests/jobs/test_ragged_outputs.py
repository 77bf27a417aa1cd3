"""Outputs whose rows differ in length, from the ensemble file to what is written."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support import models

COUNTS = (2, 0, 1, 1, 3, 0)


@pytest.fixture
def finds(job):
    """A detector, a model that reads what it finds, filled up, and steps that combine it."""
    job.spec["record"]["fields"] = {"n": {"dtype": "int64"}}
    graph = models.save_onnx(
        job.folder / "heaviest/1/model.onnx",
        [("ReduceMax", ["boxes", "axes"], ["heaviest"], {"keepdims": 0})],
        {"boxes": ("float32", ["rows", "found", 4])},
        {"heaviest": ("float32", ["rows"])},
        {"axes": np.array([1, 2])},
    )
    job.spec["models"] = [
        {
            "name": "finds",
            "framework": "python",
            "uri": "tests.support.steps:Finds",
            "inputs": {"x": "n"},
            "outputs": {"boxes": "boxes", "names": "names"},
        },
        {
            "name": "heaviest",
            "framework": "onnx",
            "uri": str(graph),
            "inputs": {"boxes": {"column": "boxes", "pad_value": -1.0}},
            "outputs": {"heaviest": "heaviest"},
        },
    ]
    job.spec |= {
        "combine": [{"column": "sums", "op": "sum", "of": "boxes"}],
        "output": ["boxes", "names", "heaviest", "sums"],
    }
    job.write_input(*({"id": f"r{i}", "n": n} for i, n in enumerate(COUNTS)))
    return job


def expected(n):
    boxes = np.arange(4 * n, dtype="f4").reshape(n, 4) / 8
    return {
        "boxes": boxes.tolist(),
        "names": [f"thing {i}" for i in range(n)],
        "heaviest": float(boxes.max(initial=-1.0)),
        "sums": boxes.sum(axis=1).tolist(),
    }


@pytest.mark.parametrize("rows", [1, 2, 1024])
def test_every_row_has_what_the_model_found_in_it(rows, finds):
    assert finds.run(f"--max_batch_size={rows}") == 0
    found = {p["id"]: p["predictions"] for p in finds.predictions()}
    counts = {f"r{i}": n for i, n in enumerate(COUNTS)}
    for key, predictions in found.items():
        assert {**predictions, "heaviest": 0} == {**expected(counts[key]), "heaviest": 0}
    # Where nothing is found in a whole batch, there is nothing to fill up.
    dead = {letter["id"] for letter in finds.dead_letters()}
    assert found.keys() | dead == counts.keys()
    assert {counts[key] for key in dead} <= {0}
    for key in found:
        assert found[key]["heaviest"] == expected(counts[key])["heaviest"]


def test_parquet_holds_the_lists_that_json_holds(finds):
    assert finds.run() == 0
    lines = {p["id"]: p["predictions"] for p in finds.predictions()}
    assert finds.run("--output_format=parquet", "--max_batch_size=1", "--overwrite=true") == 0
    tables = [pq.read_table(file) for file in sorted(finds.folder.glob("out/p-0*.parquet"))]
    rows = {row["id"]: row for table in tables for row in table.to_pylist()}
    for key, row in rows.items():
        assert {name: row[name] for name in lines[key]} == lines[key]
    assert {str(table.schema.field("names").type) for table in tables} == {"list<element: string>"}


def test_output_for_the_whole_call_is_refused_with_what_to_do(job, capsys):
    path = models.save_onnx(
        job.folder / "nms/1/model.onnx",
        [("NonMaxSuppression", ["boxes", "scores", "most"], ["found"], {})],
        {"boxes": ("float32", ["rows", 6, 4]), "scores": ("float32", ["rows", 1, 6])},
        {"found": ("int64", ["k", 3])},
        {"most": np.array([3])},
    )
    job.spec["record"]["fields"] = {
        "boxes": {"dtype": "float32", "shape": [6, 4]},
        "scores": {"dtype": "float32", "shape": [1, 6]},
    }
    job.spec["models"] = [
        {
            "name": "nms",
            "framework": "onnx",
            "uri": str(path),
            "inputs": {"boxes": "boxes", "scores": "scores"},
            "outputs": {"found": "found"},
        }
    ]
    job.spec |= {"combine": [], "output": ["found"]}
    job.write_input({"id": "a", "boxes": [[0] * 4] * 6, "scores": [[0.5] * 6]})
    assert job.run() == 2
    shown = capsys.readouterr().err
    assert "output 'found' has shape [" in shown
    assert "expected the rows as first axis, or a list with one tensor for each row" in shown
    assert "write a model of `framework: python` around it" in shown
