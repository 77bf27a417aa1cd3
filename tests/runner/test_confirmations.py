"""What is acknowledged is in a checkpoint that began after its bundle."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runner.confirmations import END_PATIENCE_SECS, Confirmations


class Bundle:
    """One bundle of a source; finalized when the runner says so, if ever."""

    def __init__(self, confirmations, confirmed, name):
        self.callbacks = []
        confirmations.begin(self)
        confirmations.add(self, lambda: confirmed.append(name))

    def register(self, callback):
        self.callbacks.append(callback)

    def finalize(self):
        for callback in self.callbacks:
            callback()


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
    confirmed = []
    confirmations = Confirmations(late=True)
    Bundle(confirmations, confirmed, 0).finalize()
    Bundle(confirmations, confirmed, 1)  # lost
    Bundle(confirmations, confirmed, 2).finalize()
    assert confirmed == [0]


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


@given(st.lists(st.sampled_from(["begin", "checkpoint"]), max_size=60), st.data())
def test_checkpoint_that_began_before_a_bundle_never_confirms_it(steps, data):
    """Each checkpoint has what was emitted before it began, and finalizes up to when it ends."""
    confirmed = []
    confirmations = Confirmations(late=True)
    begun, safe = [], 0  # what a restart would keep
    for step in steps:
        if step == "begin":
            begun.append(Bundle(confirmations, confirmed, len(begun)))
            continue
        covered = data.draw(st.integers(safe, len(begun)))  # began when so many had emitted
        for bundle in begun[:]:
            if bundle.callbacks:
                bundle.finalize()
                bundle.callbacks.clear()
                assert all(name < covered for name in confirmed), (confirmed, covered)
        safe = len(begun)
