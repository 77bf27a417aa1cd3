"""A job with the user's own classes, from its ensemble file."""

import numpy as np
import pytest

from tests.support import models
from tests.support.jobs import expected, record


@pytest.fixture
def own(job):
    """The job with two models of `framework: python`: one with files, one without."""
    models.numpy_weights(job.folder / "affine/3", scale=2.0)
    job.spec["record"]["fields"]["text"] = {"dtype": "string"}
    job.spec["models"] = [
        {
            "name": "affine",
            "framework": "python",
            "uri": "tests.support.steps:Affine",
            "path": "affine/3",  # relative to the ensemble file
            "inputs": {"x": "x"},
            "outputs": {"y": "y"},
        },
        {
            "name": "shout",
            "framework": "python",
            "uri": "tests.support.steps:Shout",
            "inputs": {"text": "text"},
            "outputs": {"shout": "shout"},
        },
    ]
    job.spec |= {"combine": [], "output": ["y", "shout"]}
    return job


def test_predictions_name_the_versions_and_failing_rows_are_set_aside(own):
    texts = ["one", "boom", "three"]
    own.write_input(*({**record(i), "text": text} for i, text in enumerate(texts)))
    assert own.run() == 0
    first, third = sorted(own.predictions(), key=lambda p: p["id"])
    assert [first["predictions"]["shout"], third["predictions"]["shout"]] == ["ONE!", "THREE!"]
    np.testing.assert_allclose(first["predictions"]["y"], expected(record(0)["x"], 2.0), rtol=1e-5)
    assert first["release"]["models"] == {"affine": "3", "shout": "tests.support.steps:Shout"}
    (dead,) = own.dead_letters()
    assert (dead["id"], dead["model"], dead["error_type"]) == ("r1", "shout", "model_error")
    assert "ValueError: a text says boom" in dead["error_message"]


def test_output_of_other_rows_is_refused_at_launch(own, capsys, monkeypatch):
    from tests.support import steps

    monkeypatch.setattr(steps.Returns, "value", {"y": [1.0] * 5})
    own.write_input({**record(0), "text": "one"})
    own.spec["models"][0] |= {"uri": "tests.support.steps:Returns"}
    assert own.run() == 2
    assert "output 'y' has shape [5] for 3 rows" in capsys.readouterr().err


def test_class_that_is_not_there_is_refused_at_launch(own, capsys):
    own.write_input({**record(0), "text": "one"})
    own.spec["models"][1]["uri"] = "tests.nowhere:Shout"
    assert own.run() == 2
    shown = capsys.readouterr().err
    assert "model 'shout': there is no module 'tests.nowhere'; it and what it needs" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uri": "steps/affine.py"}, "found 'steps/affine.py', expected `package.module:Class`"),
        ({"watch": "affine/*"}, "key 'watch' has no use without the key 'path'"),
    ],
)
def test_entry_that_makes_no_sense_is_refused(change, message, own, capsys):
    own.write_input({**record(0), "text": "one"})
    own.spec["models"][1] |= change
    assert own.run() == 2
    assert message in capsys.readouterr().err


def test_model_without_memory_for_a_whole_batch_predicts_every_record(own):
    own.spec["models"] = [own.spec["models"][0] | {"uri": "tests.support.steps:Cramped"}]
    own.spec |= {"output": ["y"]}
    del own.spec["record"]["fields"]["text"]
    own.write_input(*(record(i, [i, 0, 0, 0]) for i in range(100)))
    assert own.run("--max_batch_size=64") == 0
    found = {p["id"]: p["predictions"]["y"] for p in own.predictions()}
    assert found == {f"r{i}": i for i in range(100)}
    assert own.dead_letters() == []


@pytest.mark.parametrize("records", [5, 500])
def test_text_that_no_file_can_hold_costs_its_record_only(own, records):
    own.spec["models"] = [
        {
            "name": "odd",
            "framework": "python",
            "uri": "tests.support.steps:HalfPairs",
            "inputs": {"text": "text"},
            "outputs": {"told": "told"},
        }
    ]
    own.spec["output"] = ["told"]
    texts = ["fine"] * records
    texts[1:4] = "half", "raise", "none"
    own.write_input(*({**record(i), "text": text} for i, text in enumerate(texts)))
    assert own.run() == 0
    assert [p["predictions"]["told"] for p in own.predictions()] == ["fine"] * (records - 3)
    dead = {letter["id"]: (letter["error_type"], letter["stage"]) for letter in own.dead_letters()}
    assert dead.pop("r3") in {("not_text", "inference"), ("model_error", "inference")}
    assert dead == {"r1": ("not_text_output", "encode"), "r2": ("model_error", "inference")}
    (said,) = (letter["error_message"] for letter in own.dead_letters() if letter["id"] == "r2")
    assert said.endswith("ValueError: cannot read '\\ud83d'")


def test_files_of_few_records_do_not_cost_a_call_each(own, monkeypatch):
    from tests.support import steps

    sizes = []
    shout = steps.Shout.predict

    def counting(self, texts):
        sizes.append(len(texts["text"]))
        return shout(self, texts)

    monkeypatch.setattr(steps.Shout, "predict", counting)
    for i in range(100):
        own.write_input({**record(i), "text": "one"}, name=f"{i}.jsonl")
    assert own.run() == 0
    assert sorted(one["id"] for one in own.predictions()) == sorted(f"r{i}" for i in range(100))
    assert max(sizes) >= 50
    assert len(sizes) < 50
