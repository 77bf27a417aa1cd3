"""Which version is older: by the rule of a pattern; elsewhere by time, unless both names fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.releases.version_rule import VersionRule, is_older, rule_of, why_time

PATTERN = "b/clf/*"
BY_NUMBER = VersionRule(PATTERN, ("v", ""))
BY_TIME = VersionRule(PATTERN, None)


def rule(*names):
    return rule_of(PATTERN, [f"b/clf/{name}" for name in names])


def test_numbers_decide_if_every_name_has_one_in_the_same_place():
    assert rule("v9", "v10") == BY_NUMBER
    assert rule("v10") == BY_NUMBER
    assert rule("v9", "10") == BY_TIME
    assert rule("v9", "v10", "tmp") == BY_TIME
    assert rule("0123456", "0a1b2c3") == BY_TIME
    assert rule("a", "b") == BY_TIME
    assert rule() is None


def test_digits_that_the_pattern_itself_has_are_no_version():
    found = rule_of("m/7/*", ["m/7/a", "m/7/b"])
    assert found.around is None


def test_reason_why_the_time_decides_names_what_does_not_go_together():
    uris = [f"b/clf/{name}" for name in ("9", "10", "tmp")]
    assert why_time(PATTERN, uris) == "'tmp' has no number where '10' has one"
    assert why_time(PATTERN, ["b/clf/9", "b/clf/v10"]) == (
        "'9' and 'v10' do not have their numbers in the same place"
    )
    assert why_time(PATTERN, ["b/clf/a", "b/clf/b"]) is None
    assert why_time(PATTERN, ["b/clf/1", "b/clf/2"]) is None


def test_name_that_does_not_fit_is_told_with_the_form_that_does():
    assert not BY_NUMBER.fits("b/clf/10")
    assert BY_NUMBER.misfit("b/clf/10") == (
        "b/clf/10 does not fit: versions under b/clf/* are told apart by the number N in 'vN'"
    )
    assert BY_TIME.fits("b/clf/whatever")


@pytest.mark.parametrize("kept", [BY_NUMBER, BY_TIME])
def test_rule_is_read_back_as_it_was(kept):
    assert VersionRule.from_json(kept.as_json()) == kept


@pytest.mark.parametrize(
    ("uri", "than", "older"),
    [
        (("b/clf/v9", 5), ("b/clf/v10", 1), True),
        (("b/clf/v10", 1), ("b/clf/v9", 5), False),
        (("b/clf/v9/model.onnx", 5), ("b/clf/v10", 1), True),
        (("b/clf/tmp", 5), ("b/clf/v10", 1), False),  # somebody named it in a message
        (("b/clf/tmp", 1), ("b/clf/v10", 5), True),
        (("b/other/8", 5), ("b/other/9", 1), True),  # outside of the pattern
    ],
)
def test_fixed_numbers_decide_where_both_names_fit(uri, than, older):
    assert is_older(*uri, *than, BY_NUMBER) is older


def test_fixed_time_decides_also_between_hashes_of_digits_only():
    assert not is_older("b/clf/0123456", 5, "b/clf/9123456", 1, BY_TIME)


@pytest.mark.parametrize(
    ("uri", "than", "older"),
    [
        (("b/clf/9", 5), ("b/clf/10", 1), True),
        (("b/clf/10", 1), ("b/clf/9", 5), False),
        (("b/clf/r9", 5), ("b/clf/r10", 1), True),
        (("b/clf/9/m.onnx", 5), ("b/clf/10/m.onnx", 1), True),
        (("b/clf/9.onnx", 5), ("b/clf/10.onnx", 1), True),
        (("b/clf/v9", 5), ("b/clf/10", 1), False),
        (("b/clf/9", 5), ("b/other/10", 1), False),
        (("b/exp-7/3", 5), ("b/exp-8/1", 1), False),
        (("gs://b7/clf", 5), ("gs://b8/clf", 1), False),
        (("b/clf/9", 1), ("b/other/8", 5), True),
        (("b/clf.onnx", 1), ("b/clf.onnx", 5), True),
        (("b/clf.onnx", 5), ("b/clf.onnx", 5), False),
        (("b/clf/1.0", 1), ("b/clf/1", 5), True),
        ((f"b/{'1' * 5000}", 1), ("b/1", 5), True),
    ],
)
def test_without_a_pattern_the_time_decides_unless_both_names_fit(uri, than, older):
    assert is_older(*uri, *than) is older


NAMES = st.sampled_from(["9", "10", "010", "v9", "v10", "tmp", "2024-01-31", "0123456", "0a1b2c3"])
PROPOSED = st.tuples(NAMES.map(lambda name: f"b/clf/{name}"), st.integers(0, 5))


@given(st.lists(PROPOSED, min_size=3, max_size=3))
def test_order_under_one_rule_is_total_and_transitive(proposed):
    kept = rule_of(PATTERN, [uri for uri, _ in proposed])
    one, two, three = proposed
    assert not (is_older(*one, *two, kept) and is_older(*two, *one, kept))
    if is_older(*one, *two, kept) and is_older(*two, *three, kept):
        assert is_older(*one, *three, kept)
