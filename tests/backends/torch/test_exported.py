"""Exported programs: their bfloat16 inputs, their precision, and why one is refused."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import LoadError, RowsError
from tests.support.specs import load, model_spec

SPEC = model_spec(framework="torch", inputs={"input": "x"}, outputs={"output_0": "y"})


def export(network, path, example, **settings):
    torch.export.save(torch.export.export(network.eval(), (example,), **settings), path)
    return path


def scales_in_bfloat16(tmp_path):
    """A program that doubles its bfloat16 input."""

    class Scales(torch.nn.Module):
        def forward(self, input):
            return input.float() * 2

    rows = {0: torch.export.Dim("rows")}
    example = torch.ones(2, 1, dtype=torch.bfloat16)
    path = export(Scales(), tmp_path / "model.pt2", example, dynamic_shapes=(rows,))
    return load(path, SPEC)


@pytest.mark.parametrize(
    ("dtype", "bad", "good"),
    [
        ("int64", [257, 2**63 - 1, -(2**63) + 1], [256, 512, -(2**63)]),
        ("uint8", [], [255]),
        ("int16", [-32767], [-32768, 3]),
        ("float64", [1e39, -1e39], [0.1, 257.0, np.inf, -np.inf, np.nan]),
        ("float32", [3.4e38], [0.1, 1.6e38]),
        ("bool", [], [True, False]),
    ],
)
def test_row_with_a_number_that_bfloat16_cannot_hold_is_refused(dtype, bad, good, tmp_path):
    servable = scales_in_bfloat16(tmp_path)
    fits = np.array(good, dtype).reshape(-1, 1)
    found = servable.predict({"input": fits})["output_0"]
    np.testing.assert_array_equal(found, torch.from_numpy(fits).bfloat16().float().numpy() * 2)
    if bad:
        rows = np.array([*bad, *good], dtype).reshape(-1, 1)
        with pytest.raises(RowsError, match=r"in input 'input', which bfloat16 cannot") as error:
            servable.predict({"input": rows})
        assert set(error.value.messages) == set(range(len(bad)))


@pytest.mark.parametrize(("where", "half"), [("input", True), ("constant", True), ("", False)])
def test_exported_program_that_computes_in_half_precision_without_weights_is_known(
    where, half, tmp_path
):
    class Adds(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.ones(1, dtype=torch.bfloat16 if where == "constant" else None)

        def forward(self, input):
            return input + self.one

    example = torch.ones(2, 1, dtype=torch.bfloat16 if where == "input" else None)
    path = export(Adds(), tmp_path / "model.pt2", example)
    assert load(path, SPEC).half_inside == half


def test_programs_that_fail_to_load_at_the_same_time_keep_their_reasons(monkeypatch, tmp_path):
    both = threading.Barrier(2)

    def fail(file):
        name = Path(file.name).stem
        both.wait(timeout=30)  # both watch the log by now
        try:
            raise ValueError(f"the reason of {name}")
        except ValueError:
            logging.getLogger("torch.export").warning("cannot load", exc_info=True)
        both.wait(timeout=30)
        raise RuntimeError("see the log")

    def reason(name):
        with pytest.raises(LoadError) as error:
            load(tmp_path / f"{name}.pt2", SPEC)
        return str(error.value)

    for name in "ab":
        export(torch.nn.Linear(1, 1), tmp_path / f"{name}.pt2", torch.ones(2, 1))
    monkeypatch.setattr(torch.export, "load", fail)
    with ThreadPoolExecutor(2) as threads:
        of_a, of_b = threads.map(reason, "ab")
    assert of_a.endswith("the reason of a")
    assert of_b.endswith("the reason of b")
