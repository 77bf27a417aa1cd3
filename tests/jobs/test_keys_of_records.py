"""Nested records of a table in parts, through main.py: as an export of events has them."""

import json

import numpy as np
import pytest

from tests.support.jobs import expected


def event(i):
    values = {f"f{n:02}": i + n / 4 for n in range(4)}
    actor = {"id": f"a{i}", "login": f"user-{i}"}
    return {
        "type": "PushEvent",
        "actor": actor,
        "payload": {"scores": [*values.values()]},
        **values,
    }


@pytest.mark.parametrize(
    "place", [{"path": ["payload", "scores"]}, {"columns": "f{00..03}"}], ids=["path", "columns"]
)
def test_events_are_predicted_from_inside_of_their_objects(job, place):
    job.spec["record"] = {
        "id": {"path": ["actor", "id"]},
        "fields": {"x": {"dtype": "float32", "shape": [4], **place}},
    }
    job.spec["pass_through"] = [{"path": ["actor", "login"]}, "day"]
    for day, events in (("2024-01-01", range(3)), ("2024-01-02", range(3, 5))):
        folder = job.input / f"day={day}"
        folder.mkdir()
        lines = [json.dumps(event(i)) for i in events]
        (folder / "part-0.json").write_text("\n".join([*lines, '{"actor": {"id": "bad"}}']))
    assert job.run(f"--input_file_pattern={job.input}/*/*.json") == 0
    found = {line["id"]: line for line in job.predictions()}
    assert sorted(found) == [f"a{i}" for i in range(5)]
    for i in range(5):
        day = "2024-01-01" if i < 3 else "2024-01-02"
        assert found[f"a{i}"]["pass_through"] == {"actor.login": f"user-{i}", "day": day}
        x = [i + n / 4 for n in range(4)]
        y = (expected(x, 1.0) + expected(x, 3.0)) / 2
        np.testing.assert_allclose(found[f"a{i}"]["predictions"]["y"], y, rtol=1e-4)
    assert [letter["error_type"] for letter in job.dead_letters()] == ["missing_field"] * 2
