"""Whatever happens to a ReleaseManager, in whatever order, it serves only what may serve."""

import gc
import threading
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager, load_all
from pipeline.testing import FakeServable

SECS = 20
X = {"x": [0]}


@pytest.fixture(autouse=True, scope="module")
def quick_collections():
    """Each servable that goes costs one, of all that the other tests imported."""
    gc.freeze()
    yield
    gc.unfreeze()


class Sequence:
    """A manager, its releases, a thread of batches, and what was seen to be wrong."""

    def __init__(self, policy):
        self.policy = policy
        self.refused, self.prepared = set(), set()
        self.wrong = []
        self.generation = 0
        self.held = []
        self.manager = ReleaseManager(
            self.load,
            prepare=self.prepare,
            memory_policy=policy,
            timing=Timing(retry_secs=(0.0,), grace_secs=0.0),
        )
        self._ended = threading.Event()
        self._batches = threading.Thread(target=self._serve_and_tell)
        self._batches.start()

    def load(self, version):
        if version.digest == "broken":
            raise LoadError("broken")
        return FakeServable(dict)

    def prepare(self, release, manager):
        load_all(release, manager)
        if release.generation in self.refused:
            raise LoadError("refused")
        self.prepared.add(release.generation)

    def release(self, fate="good", older=0):
        """The next one, or one of before; *a* changes with every release, *b* with every third."""
        self.generation += 1
        number = max(1, self.generation - older)
        if fate == "refused":
            self.refused.add(number)
        digest = "broken" if fate == "broken" else f"a{number}"
        a = ModelVersion("a", f"a/{number}", digest)
        return Release(number, (a, ModelVersion("b", f"b/{number // 3}", "b")))

    def aspire(self, fate, older):
        self.manager.aspire(self.release(fate, older))

    def ensure(self, fate, older):
        self._let_go_where_memory_is_short()
        with suppress(LoadError):
            self.manager.ensure(self.release(fate, older))

    def try_out(self, fate, older):
        self._let_go_where_memory_is_short()
        release = self.release(fate, older)
        with suppress(LoadError), self.manager.trial(release):
            load_all(release, self.manager)
            self.manager.evict()
            assert set(release.versions) <= set(self.manager.loaded())
            if fate == "good":
                self.manager.aspire(release)

    def hold(self, fate, older):
        """Uses what is active, until further notice."""
        if (active := self.manager.active()) is not None:
            stack = ExitStack()
            self.held.append((stack, stack.enter_context(self.manager.use(active, "a"))))

    def let_go(self, fate, older):
        while self.held:
            stack, _ = self.held.pop()
            stack.close()

    def evict(self, fate, older):
        self.manager.evict()

    def unload(self, fate, older):
        self.manager.unload(self.manager.loaded())

    def _let_go_where_memory_is_short(self):
        if self.policy == "resource":  # whoever holds something waits for nobody to hold it
            self.let_go(None, None)

    def _serve_and_tell(self):
        try:
            self._serve()
        except Exception as error:
            self.wrong.append(error)

    def _serve(self):
        newest = 0
        while not self._ended.is_set():
            if (active := self.manager.active()) is None:
                self._ended.wait(0.001)
                continue
            with self.manager.use(active, "a") as servable:
                if active.generation not in self.prepared:
                    self.wrong.append(f"{active.generation} serves, but was not prepared")
                if active.generation < newest:
                    self.wrong.append(f"{active.generation} serves after {newest}")
                if servable.closed:
                    self.wrong.append(f"{active.generation} was closed while it was used")
                newest = active.generation

    def check(self):
        assert not any(servable.closed for _, servable in self.held)
        assert self.wrong == []

    def end(self):
        """It still switches, and everything that was loaded is freed."""
        self._let_go_where_memory_is_short()
        last = self.release()
        self.manager.aspire(last)
        assert self.manager.wait_for(last.generation, SECS)
        self._ended.set()
        self._batches.join()
        self.manager.close()
        self.check()
        servables = [servable for _, servable in self.held]
        self.let_go(None, None)
        assert all(servable.closed for servable in servables)
        assert self.manager.loaded() == []


EVENTS = st.tuples(
    st.sampled_from(
        [
            Sequence.aspire,
            Sequence.ensure,
            Sequence.try_out,
            Sequence.hold,
            Sequence.let_go,
            Sequence.evict,
            Sequence.unload,
        ]
    ),
    st.sampled_from(["good", "refused", "broken"]),
    st.sampled_from([0, 0, 0, 1, 3]),
)


@pytest.mark.parametrize("policy", ["availability", "resource"])
@settings(max_examples=40, deadline=None)
@given(events=st.lists(EVENTS, max_size=25))
def test_no_order_of_events_serves_what_failed_or_frees_what_is_used(policy, events):
    sequence = Sequence(policy)
    try:
        for happen, fate, older in events:
            happen(sequence, fate, older)
            sequence.check()
    finally:
        sequence.end()
