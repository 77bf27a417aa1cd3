"""The audit of a soak sees what it is there for."""

import copy

import numpy as np
import pytest

from tests.chaos.audit import Sent, doubled_lines, problems_of
from tests.chaos.plan import EACH_RECORD_ONCE, Kind, acts
from tests.support.models import affine_weights

SENT = Sent({f"r{i}": [0.5, i, -1.0, 2.0] for i in range(4)}, {"{broken"})
RELEASES = {1: {"left": "1", "right": "1"}, 2: {"left": "2", "right": "1"}}


def prediction(i, generation):
    weights, bias = affine_weights(1.0)
    models = RELEASES[generation]
    y = np.asarray(SENT.rows[f"r{i}"]) @ weights + bias
    values = {f"{name}_y": (y * float(version)).tolist() for name, version in models.items()}
    release = {"generation": generation, "models": dict(models)}
    return {"id": f"r{i}", "release": release, "predictions": values}


GOOD = [prediction(0, 1), prediction(1, 1), prediction(2, 2), prediction(3, 2)]
LETTERS = [{"payload": "{broken"}]


def problems(predictions=GOOD, letters=LETTERS, corrupt=(), once=True):
    return problems_of(SENT, predictions, letters, RELEASES, corrupt, once=once)


def test_what_is_right_has_no_problem():
    assert problems() == []


def test_what_came_more_than_once_is_counted():
    assert doubled_lines(GOOD, LETTERS) == 0
    assert doubled_lines([*GOOD, *GOOD[:2], GOOD[0]], LETTERS * 3) == 5


def lost(lines):
    del lines[2]


def doubled(lines):
    lines.append(lines[0])


def unknown(lines):
    lines.append(prediction(0, 1) | {"id": "nobody"})


def mixed(lines):
    lines[3]["release"]["models"]["right"] = "2"


def mislabelled(lines):
    lines[3]["release"] = {"generation": 1, "models": RELEASES[1]}


def wrong(lines):
    lines[0]["predictions"]["right_y"][1] += 0.01


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lost, "never came out"),
        (doubled, "more than once"),
        (unknown, "was not sent"),
        (mixed, "another release than the log"),
        (mislabelled, "not the value"),
        (wrong, "not the value"),
    ],
)
def test_each_breach_is_seen(spoil, problem):
    lines = copy.deepcopy(GOOD)
    spoil(lines)
    assert any(problem in one for one in problems(lines))


def test_corrupt_version_that_serves_is_seen():
    (found,) = problems(corrupt={("left", "2")})
    assert "2 times" in found
    assert "corrupt" in found


def test_dead_letter_that_is_missing_or_doubled_is_seen():
    assert "never came out" in problems(letters=[])[0]
    assert "more than once" in problems(letters=2 * LETTERS)[0]
    assert problems(letters=2 * LETTERS, once=False) == []


def test_what_comes_out_twice_is_no_problem_of_a_job_that_was_killed():
    assert problems([*GOOD, GOOD[0]], once=False) == []


def test_same_seed_gives_the_same_acts_and_each_round_has_all_kinds():
    played = list(acts(7, 300, 5, tuple(Kind)))
    assert played == list(acts(7, 300, 5, tuple(Kind)))
    assert played != list(acts(8, 300, 5, tuple(Kind)))
    assert {act.kind for act in played[: len(Kind)]} == set(Kind)
    assert Kind.KILL not in {act.kind for act in acts(7, 300, 5, EACH_RECORD_ONCE)}
    assert all(act.at_secs <= 300 for act in played)
