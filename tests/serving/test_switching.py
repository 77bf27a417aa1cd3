"""What becomes of releases: the policies, and the machine that refuses what they must not do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving import retention, switching
from pipeline.serving.activation import Timing
from pipeline.serving.lifecycle import IllegalTransitionError, Life, Lives, State
from pipeline.serving.retention import Loaded

ONE, TWO, THREE = (Release(n, (ModelVersion("a", f"a/{n}", f"{n}"),)) for n in (1, 2, 3))
ERROR = LoadError("told to fail")


def serving(*releases):
    """After these became active, one after the other."""
    lives = Lives()
    for release in releases:
        lives = switching.succeed(switching.begin(switching.aspire(lives, release, 0.0), release))
    return lives


def states(lives):
    return {life.release.generation: state for state in State if (life := lives.get(state))}


def begun(lives, release=TWO, now=0.0):
    return switching.begin(switching.aspire(lives, release, now), release)


def test_release_becomes_active_and_the_one_before_previous():
    assert states(serving(ONE, TWO, THREE)) == {3: State.ACTIVE, 2: State.PREVIOUS}


def test_older_release_or_the_same_changes_nothing():
    for lives in (serving(TWO), switching.aspire(serving(), TWO, 0.0), begun(serving())):
        assert switching.aspire(lives, ONE, 1.0) is lives
        assert switching.aspire(lives, TWO, 1.0) is lives


def test_newer_release_replaces_one_that_waits_or_was_given_up():
    waiting = switching.aspire(serving(ONE), TWO, 0.0)
    given_up = switching.fail(begun(serving(ONE)), ERROR, due_at=None)
    for lives in (waiting, given_up):
        after = switching.aspire(lives, THREE, 0.0)
        assert states(after) == {1: State.ACTIVE, 3: State.ASPIRED}


def test_release_that_failed_is_due_again_after_its_pause():
    lives = switching.fail(begun(serving(ONE)), ERROR, due_at=5.0)
    assert states(lives) == {1: State.ACTIVE, 2: State.ASPIRED}
    assert switching.next_action(lives, 4.0) == 1.0
    assert switching.next_action(lives, 5.0) == TWO
    assert switching.begin(lives, TWO).of(TWO).attempts == 2


def test_release_that_failed_is_dropped_where_a_newer_one_is_asked_for():
    lives = switching.aspire(begun(serving(ONE)), THREE, 0.0)
    after = switching.fail(lives, ERROR, due_at=5.0)
    assert states(after) == {1: State.ACTIVE, 3: State.ASPIRED}
    assert switching.next_action(after, 0.0) == THREE


def test_release_that_waits_is_dropped_once_a_newer_one_serves():
    waiting = switching.aspire(serving(ONE), TWO, 0.0)
    after = switching.succeed(switching.begin(waiting, THREE))
    assert states(after) == {3: State.ACTIVE, 1: State.PREVIOUS}


def test_nothing_is_due_where_nothing_is_asked_for():
    assert switching.next_action(serving(ONE), 9.0) == float("inf")


def test_what_stands_aside_serves_again_after_a_failure_and_is_previous_after_a_success():
    aside = switching.stand_aside(begun(serving(ONE)))
    assert states(aside) == {1: State.ASIDE, 2: State.PREPARING}
    assert states(switching.fail(aside, ERROR, 5.0))[1] is State.ACTIVE
    assert states(switching.abandon(aside)) == {1: State.ACTIVE}
    assert states(switching.succeed(aside)) == {1: State.PREVIOUS, 2: State.ACTIVE}


def test_what_stands_aside_for_a_trial_waits_only_for_a_release_that_passed():
    tried = switching.begin_trial(switching.stand_aside(serving(ONE)), TWO)
    assert states(switching.end_trial(tried, TWO)) == {1: State.ACTIVE}
    passed = switching.aspire(tried, TWO, 0.0)
    assert switching.end_trial(passed, TWO) is passed
    assert states(passed) == {1: State.ASIDE, 2: State.ASPIRED}


def test_release_that_was_given_up_is_not_kept_and_all_others_are():
    given_up = switching.fail(begun(serving(ONE)), ERROR, due_at=None)
    assert switching.kept(given_up) == [ONE]
    assert set(switching.kept(begun(serving(ONE, TWO), THREE))) == {ONE, TWO, THREE}
    assert switching.kept(switching.begin_trial(serving(), ONE)) == [ONE]


def test_lag_is_that_of_the_newest_release_asked_for_even_if_it_was_given_up():
    lives = begun(serving(ONE), now=10.0)
    assert switching.lag_secs(lives, 17.0) == 7.0
    assert switching.lag_secs(switching.aspire(lives, THREE, 15.0), 17.0) == 2.0
    assert switching.lag_secs(switching.fail(lives, ERROR, None), 17.0) == 7.0
    assert switching.lag_secs(switching.succeed(lives), 17.0) == 0.0
    assert switching.lag_secs(begun(serving()), 17.0) == 0.0, "nothing serves yet"


def test_release_that_nobody_prepared_cannot_become_active():
    asked = switching.aspire(Lives(), TWO, 0.0)
    given_up = switching.fail(begun(Lives()), ERROR, due_at=None)
    for lives in (Lives(), asked, given_up, switching.begin_trial(Lives(), TWO)):
        with pytest.raises(IllegalTransitionError, match="release 2 cannot become active: it is"):
            lives.moved(Life(TWO, State.ACTIVE))


def test_two_releases_cannot_be_the_same():
    with pytest.raises(IllegalTransitionError, match=r"cannot become active.*1 is"):
        begun(serving(ONE)).moved(Life(TWO, State.ACTIVE))


def test_retries_end_after_the_last_pause():
    timing = Timing(retry_secs=(1.0, 4.0))
    assert [timing.pause_secs(attempt) for attempt in (1, 2, 3)] == [1.0, 4.0, None]


def test_version_goes_when_nothing_needs_it_nobody_uses_it_and_its_grace_is_over():
    a1, a2, a3 = (release.versions[0] for release in (ONE, TWO, THREE))
    idle = [Loaded(a1, 0, 10.0), Loaded(a2, 0, 10.0), Loaded(a3, 0, 10.0)]
    assert retention.evictable(idle, [TWO, THREE], 10.0) == [a1]
    assert retention.evictable(idle, [TWO, THREE], 10.1) == []
    assert retention.evictable([Loaded(a1, 1, 10.0)], [], 10.0) == []


OPERATIONS = st.sampled_from(
    ["aspire", "begin", "ensure", "aside", "succeed", "fail", "give up", "abandon", "try", "end"]
)


@settings(max_examples=500)
@given(st.lists(st.tuples(OPERATIONS, st.integers(1, 9)), max_size=40))
def test_no_order_of_events_leads_to_an_illegal_state(events):
    """One release is prepared or tried at a time, as the ReleaseManager's lock sees to."""
    lives, tried, failed = Lives(), None, set()
    for now, (event, generation) in enumerate(events):
        release = Release(generation, ())
        busy = tried or lives.release(State.PREPARING)
        if event == "aspire":
            lives = switching.aspire(lives, release, now)
        elif event == "begin" and not busy:
            action = switching.next_action(lives, now)
            lives = switching.begin(lives, action) if isinstance(action, Release) else lives
        elif event == "ensure" and not busy and switching.is_newer(lives, release):
            lives = switching.begin(lives, release)
        elif event == "try" and not busy:
            lives, tried = switching.begin_trial(lives, release), release
        elif event == "aside" and busy:
            lives = switching.stand_aside(lives)
        elif event == "end" and tried:
            lives, tried = switching.end_trial(lives, tried), None
        elif preparing := lives.release(State.PREPARING):
            if event == "succeed":
                lives = switching.succeed(lives)
                failed.discard(preparing)
            elif event == "abandon":
                lives = switching.abandon(lives)
            elif event in ("fail", "give up"):
                lives = switching.fail(lives, ERROR, now + 2 if event == "fail" else None)
                failed.add(preparing)
        assert lives.release(State.ACTIVE) not in failed
        active, aside = lives.release(State.ACTIVE), lives.release(State.ASIDE)
        assert not (active and aside)
        assert aside is None or tried or lives.get(State.PREPARING, State.ASPIRED)
        asked = lives.release(State.ASPIRED, State.PREPARING)
        assert not (asked and not switching.is_newer(lives, asked))
