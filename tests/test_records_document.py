"""The records that docs/records.md shows, one of each format, are read as it says."""

import re
from pathlib import Path

import pytest

from pipeline.formats.registry import FORMATS

DOCUMENT = (Path(__file__).parents[1] / "docs" / "records.md").read_text()
FILES = DOCUMENT.partition("\n## Files\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"\*\*.*?\*\*.*?\n```(\w+)\n(.*?)```", FILES, re.DOTALL)
SPEC = {"id": {"dtype": "string"}, "x": {"dtype": "float32", "shape": [3]}}


def write(language, example, folder, monkeypatch):
    """The file that an example shows, or makes."""
    if language == "python":
        monkeypatch.chdir(folder)
        exec(compile(example, "docs/records.md", "exec"), {})
    else:
        suffix = {"json": "jsonl", "csv": "csv"}[language]
        (folder / f"records.{suffix}").write_text(example)


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_record_of_each_format_is_predicted(language, example, job, monkeypatch):
    import sklearn.linear_model

    from tests.support import models

    weights = [[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    fit = sklearn.linear_model.LinearRegression().fit([*weights, [0.0] * 3], [6.0, 1.0, 1.0, 0.0])
    models.save_estimator(fit, job.folder / "sum/1/model.skops")
    job.spec["record"] = {"id": "id", "fields": SPEC}
    job.spec["models"] = [
        {
            "name": "sum",
            "framework": "sklearn",
            "uri": "sum/1",
            "inputs": {"X": "x"},
            "outputs": {"predict": "sum"},
        }
    ]
    job.spec |= {"combine": [], "output": ["sum"]}
    write(language, example, job.input, monkeypatch)
    assert job.run() == 0
    assert job.dead_letters() == []
    (prediction,) = job.predictions()
    assert prediction["id"] == "a"
    assert prediction["predictions"]["sum"] == pytest.approx(1.5)


def test_every_format_has_an_example():
    shown = re.findall(r"records\.(\w+)", FILES)
    assert {*shown, "jsonl", "csv"} == set(FORMATS)
    assert len(EXAMPLES) == len(FORMATS)
