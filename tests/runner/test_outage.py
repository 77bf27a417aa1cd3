"""An outage is said once when it begins and once when it ends."""

import logging

import pytest

from pipeline.runner.outage import Outage

LOGGER = logging.getLogger(__name__)


@pytest.fixture
def said(caplog):
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def outage(now):
    begins, ends = "%(what)s fails: %(why)s", "%(what)s works, after %(secs).0f s"
    return Outage(LOGGER, "100 % {of} it", begins=begins, ends=ends, clock=lambda: now[0])


def test_failures_in_a_row_are_said_once_and_so_is_their_end(outage, said, now):
    for why in ("first", "second"):
        outage.begin(why)
        now[0] += 30
    outage.end()
    outage.end()
    assert said() == ["100 % {of} it fails: first", "100 % {of} it works, after 60 s"]


def test_success_without_a_failure_is_not_news(outage, said):
    outage.end()
    assert said() == []


def test_next_outage_is_said_again(outage, said):
    for _ in range(2):
        outage.begin("gone")
        outage.end()
    assert len(said()) == 4


def test_traceback_is_logged_where_an_error_is_given(outage, caplog):
    outage.begin("gone", KeyError("x"))
    assert "KeyError" in caplog.text
