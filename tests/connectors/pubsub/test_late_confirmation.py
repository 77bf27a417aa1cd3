"""Messages on runners that finalize a bundle before it is safe, and keep its instance so long."""

import pickle
import threading

import grpc
import pytest
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator

from pipeline.connectors.pubsub.leases import Leases
from pipeline.connectors.pubsub.poll import Poll
from pipeline.runner.endless import ProgressTracker, SourceProgress
from tests.connectors.pubsub.streams import numbered
from tests.support.bundles import Bundle
from tests.support.waiting import wait_until

_STREAM = "projects/test-project/subscriptions/played"


@pytest.fixture
def subscription(pubsub):
    topic = pubsub.new_topic()
    subscription = pubsub.new_subscription(topic)
    pubsub.publish_all(topic, numbered(20))
    return subscription


def is_never_stopped():
    return False


class Source:
    """The instances of one step, each with the bundles that it ran."""

    def __init__(self, subscription):
        self._subscription = subscription
        self._pickled = pickle.dumps(Poll(5, stopped=is_never_stopped, confirms_late=True))

    def instance(self):
        poll = pickle.loads(self._pickled)
        poll.setup()
        return poll

    def bundle(self, poll):
        """Runs one; returns it and how many messages it emitted."""
        bundle = Bundle()
        tracker = ProgressTracker(SourceProgress())
        tracker.defer_remainder = lambda _: None
        watermark = ManualWatermarkEstimator(None)
        blocks = list(poll.process(self._subscription, bundle, tracker, watermark))
        return bundle, sum(len(each.value.payloads) for each in blocks)

    def emit(self, poll, least):
        """Runs bundles until so many messages came."""
        bundles, emitted = [], 0
        while emitted < least:
            bundle, n = self.bundle(poll)
            bundles.append(bundle)
            emitted += n
        return bundles


def test_an_instance_that_is_not_needed_any_more_gives_back_nothing_that_is_finalized(
    pubsub, subscription
):
    source = Source(subscription)
    first, second = source.instance(), source.instance()
    source.bundle(second)
    for bundle in source.emit(first, 20):
        bundle.finalize()
    first.teardown()  # Beam does that to those without work for a minute
    source.bundle(second)[0].finalize()
    second.teardown()
    assert pubsub.unacknowledged(subscription) == 0


def test_an_instance_whose_bundle_failed_gives_back_what_it_emitted(subscription):
    source = Source(subscription)
    first, second = source.instance(), source.instance()
    source.bundle(second)
    source.emit(first, 20)
    first.teardown()
    wait_until(lambda: source.bundle(second)[1])
    second.teardown()


def test_messages_of_a_bundle_that_is_never_finalized_come_again(pubsub, subscription):
    source = Source(subscription)
    poll = source.instance()
    source.emit(poll, 20)
    again = 0

    def came_again():
        nonlocal again
        bundle, emitted = source.bundle(poll)
        bundle.finalize()
        again += emitted
        return again >= 20

    wait_until(came_again)
    poll.teardown()


def test_what_was_given_back_and_is_acknowledged_after_all_ends_no_thread(service):
    """Bundles fail and are finalized at once: of the two, the acknowledgement counts."""
    acknowledged, refuse = [], threading.Event()
    refuse.set()

    def give_back(request):
        return grpc.StatusCode.UNAVAILABLE if refuse.is_set() else b""

    def acknowledge(request):
        acknowledged.append(request)
        return b""

    service(ModifyAckDeadline=give_back, Acknowledge=acknowledge)
    leases = Leases(_STREAM)
    leases.take_up([("a", "lease-a"), ("b", "lease-b")])
    leases.give_back(["a"])
    leases.acknowledge(["a"])
    leases.give_back(["a"])
    wait_until(lambda: any(b"lease-a" in request for request in acknowledged))
    refuse.clear()
    leases.acknowledge(["b"])
    wait_until(lambda: any(b"lease-b" in request for request in acknowledged))
    leases.close()
