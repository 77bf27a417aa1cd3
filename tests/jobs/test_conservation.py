"""Every record is one prediction or one dead letter, in files and in figures, whatever goes wrong.

Whole batch jobs over generated records, some of which are broken in some way. The model computes
each row by itself, so what it gives a good record is known.
"""

import contextlib
import csv
import gzip
import io
import json
import re
import tempfile
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import main
from pipeline.formats.registry import OUTPUT_FORMATS
from tests.support.pages import Page
from tests.support.steps import Picky

GOOD, BROKEN, SHORT, RAISES, NAN = range(5)
AVRO = {
    "type": "record",
    "name": "Record",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "x", "type": ["null", {"type": "array", "items": "float"}]},
    ],
}
SPEC = {
    "name": "picky",
    "record": {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [3]}}},
    "models": [
        {
            "name": "picky",
            "framework": "python",
            "uri": "tests.support.steps:Picky",
            "inputs": {"x": "x"},
            "outputs": {"y": "y"},
        }
    ],
    "output": ["y"],
}


def records(kinds, seed):
    """Id -> values; None where the record cannot be read."""
    values = np.random.default_rng(seed).integers(-1000, 1000, (len(kinds), 3)).astype(np.float32)
    values += 0.25  # no mark by chance
    made = {}
    for i, (kind, row) in enumerate(zip(kinds, values.tolist(), strict=True)):
        if kind == RAISES:
            row[0] = Picky.RAISES
        if kind == NAN:
            row[1] = Picky.NAN
        made[f"r{i}"] = None if kind == BROKEN else row[:1] if kind == SHORT else row
    return made


def write(path, found):
    """Writes some records in the format that the name tells."""
    suffix = path.suffix
    if suffix in (".jsonl", ".gz"):
        lines = [
            "{broken" + key if x is None else json.dumps({"id": key, "x": x})
            for key, x in found.items()
        ]
        text = "".join(f"{line}\n" for line in lines).encode()
        path.write_bytes(gzip.compress(text) if suffix == ".gz" else text)
    elif suffix == ".csv":
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "x"])
            rows.writerows([key, *([1, 2, 3] if x is None else [x])] for key, x in found.items())
    elif suffix == ".parquet":
        columns = {"id": pa.array(list(found)), "x": pa.array(list(found.values()), FLOATS)}
        pq.write_table(pa.table(columns), path)
    else:
        with path.open("wb") as file:
            fastavro.writer(file, AVRO, [{"id": key, "x": x} for key, x in found.items()])


FLOATS = pa.list_(pa.float32())


def read(folder, prefix):
    """The rows of all files of one output."""
    for path in folder.glob(f"{prefix}-0*"):
        if path.suffix == ".parquet":
            yield from pq.read_table(path).to_pylist()
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                yield from ({**row, "y": json.loads(row["y"])} for row in csv.DictReader(file))
        else:
            for line in path.read_text().splitlines():
                found = json.loads(line)
                yield found | found.get("predictions", {})


def run(folder, *more):
    """The exit status and the counts that the summary shows."""
    (folder / "ensemble.yaml").write_text(yaml.safe_dump(SPEC))
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        status = main.main(
            [
                f"--ensemble_spec={folder}/ensemble.yaml",
                f"--input_file_pattern={folder}/in/*",
                f"--output_path={folder}/out/p",
                f"--dead_letter_path={folder}/out/d",
                f"--report_path={folder}/out/r.html",
                "--max_model_faults=0",
                *more,
            ]
        )
    counts = re.findall(r"^ *([\d,]+) (predictions|dead letters) ", shown.getvalue(), re.MULTILINE)
    return status, {name: int(count.replace(",", "")) for count, name in counts}


@st.composite
def kinds(draw):
    """What is wrong with each record, in any shares."""
    count = draw(st.integers(1, 300))
    weights = np.array(draw(st.lists(st.sampled_from([0, 1, 10, 300]), min_size=5, max_size=5)))
    weights = weights if weights.sum() else np.ones(5)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.choice(5, count, p=weights / weights.sum()).tolist()


@settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # within a minute
@given(
    kinds=kinds(),
    suffix=st.sampled_from(["jsonl", "jsonl.gz", "csv", "parquet", "avro"]),
    output=st.sampled_from(OUTPUT_FORMATS),
    most=st.sampled_from([0, 1, 3, 64]),
    seed=st.integers(0, 99),
)
@example(kinds=[GOOD, RAISES] * 100, suffix="jsonl", output="jsonl", most=0, seed=0)
@example(kinds=[RAISES] * 20, suffix="jsonl", output="parquet", most=0, seed=0)
@example(kinds=[GOOD, NAN] * 20, suffix="csv", output="csv", most=3, seed=0)
def test_every_record_is_one_prediction_or_one_dead_letter(kinds, suffix, output, most, seed):
    found = records(kinds, seed)
    good = {key: x for (key, x), kind in zip(found.items(), kinds, strict=True) if kind == GOOD}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        items = list(found.items())
        for number, part in enumerate((items[::2], items[1::2])):
            write(folder / f"in/{number}.{suffix}", dict(part))
        status, counts = run(folder, f"--output_format={output}", f"--max_batch_size={most}")
        predictions = list(read(folder / "out", "p"))
        letters = list(read(folder / "out", "d"))
        page = Page((folder / "out/r.html").read_text())
    assert status == (0 if good else 1)
    assert sorted(row["id"] for row in predictions) == sorted(good)
    for row in predictions:
        assert row["y"] == Picky.one(good[row["id"]])
    assert len(letters) == len(found) - len(good)
    named = [letter["id"] for letter in letters if letter["id"] is not None]
    assert len(set(named)) == len(named)
    assert set(named) <= set(found) - set(good)
    assert counts == {
        name: count
        for name, count in (("predictions", len(good)), ("dead letters", len(letters)))
        if count
    }
    assert page.facts["Predictions"] == f"{len(good):,}"
    assert page.facts["Records"] == f"{len(found):,}"
