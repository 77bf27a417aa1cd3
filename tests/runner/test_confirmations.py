"""What is acknowledged is in a checkpoint that began after its bundle."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runner.confirmations import END_PATIENCE_SECS, Confirmations
from tests.support import bundles


class Bundle(bundles.Bundle):
    """One bundle of a source, which emits something."""

    def __init__(self, confirmations, confirmed, name, lost=None):
        super().__init__()
        confirmations.begin(self)
        told = [] if lost is None else lost
        confirmations.add(self, lambda: confirmed.append(name), lambda: told.append(name))


def idle(confirmations):
    bundle = bundles.Bundle()
    confirmations.begin(bundle)
    return bundle


def test_confirmed_at_once_where_a_finalized_bundle_is_safe():
    confirmed = []
    confirmations = Confirmations(late=False)
    Bundle(confirmations, confirmed, 0).finalize()
    assert confirmed == [0]
    assert confirmations.may_end()


def test_confirmed_late_by_a_bundle_that_began_after_it_was_finalized():
    confirmed = []
    confirmations = Confirmations(late=True)
    first = Bundle(confirmations, confirmed, 0)
    second = Bundle(confirmations, confirmed, 1)  # one checkpoint finalizes both
    first.finalize()
    second.finalize()
    assert confirmed == []
    Bundle(confirmations, confirmed, 2).finalize()
    assert confirmed == [0, 1]


def test_bundle_that_is_lost_confirms_nothing_and_holds_nothing_up():
    confirmed, lost = [], []
    confirmations = Confirmations(late=True)
    Bundle(confirmations, confirmed, 0, lost).finalize()
    Bundle(confirmations, confirmed, 1, lost)  # lost
    Bundle(confirmations, confirmed, 2, lost).finalize()
    assert confirmed == [0]
    for _ in range(2):
        assert lost == []
        assert not confirmations.may_end()
        idle(confirmations).finalize()
    assert lost == [1]
    assert confirmed == [0, 2]
    assert confirmations.may_end()
    assert idle(confirmations).callbacks == []


def test_bundle_that_is_finalized_though_it_was_given_up_is_confirmed():
    confirmed, lost = [], []
    confirmations = Confirmations(late=True)
    slow = Bundle(confirmations, confirmed, 0, lost)
    for name in range(1, 5):
        Bundle(confirmations, confirmed, name, lost).finalize()
    assert lost == [0]
    slow.finalize()
    assert not confirmations.may_end()
    idle(confirmations).finalize()
    assert confirmed == [1, 2, 3, 4, 0]
    assert confirmations.may_end()


def test_source_ends_when_all_is_confirmed_or_it_has_waited():
    now = [0.0]
    confirmed = []
    confirmations = Confirmations(late=True, clock=lambda: now[0])
    Bundle(confirmations, confirmed, 0).finalize()
    assert not confirmations.may_end()
    now[0] = END_PATIENCE_SECS - 1
    assert not confirmations.may_end()
    now[0] = END_PATIENCE_SECS
    assert confirmations.may_end()


@given(st.lists(st.sampled_from(["begin", "fail", "checkpoint"]), max_size=60), st.data())
def test_checkpoint_that_began_before_a_bundle_never_confirms_it(steps, data):
    """Each checkpoint has what was emitted before it began, and finalizes up to when it ends.

    It does so in any order, while more bundles begin. None that it finalizes was given up.
    """
    confirmed, lost, failed = [], [], []
    confirmations = Confirmations(late=True)
    begun, safe = [], 0  # what a restart would keep

    def begin():
        begun.append(Bundle(confirmations, confirmed, len(begun), lost))

    for step in steps:
        waiting = [number for number, bundle in enumerate(begun) if bundle.callbacks]
        if step == "begin":
            begin()
        elif step == "fail" and waiting:
            begun[waiting[-1]].callbacks.clear()
            failed.append(waiting[-1])
        elif step == "checkpoint":
            covered = data.draw(st.integers(safe, len(begun)))  # began when so many had emitted
            for number in data.draw(st.permutations(waiting)):
                if data.draw(st.booleans()):
                    begin()
                begun[number].finalize()
                assert all(name < covered for name in confirmed), (confirmed, covered)
            safe = len(begun)
            assert set(lost) <= set(failed)
    assert not set(confirmed) & set(lost)
