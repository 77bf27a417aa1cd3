"""What the first launch asks Google's services for, and what it makes of odd answers."""

import threading
from pathlib import Path

import pytest
from google.auth import exceptions
from google.auth.credentials import Credentials

from tests.support.dataflow_service import Loopback, error_body
from tests.support.executed_jobs import IdleExecution

URL = "https://dataflow.googleapis.com/v1b3"


class Failing(Loopback):
    def __init__(self, status):
        self.status, self.calls = status, 0
        super().__init__()

    def answer(self, method, path, body):
        self.calls += 1
        return self.status, error_body(self.status, "ODD", "odd")


class Expired(Credentials):
    def __init__(self, error):
        super().__init__()
        self.error, self.tries = error, 0

    def refresh(self, request):
        self.tries += 1
        raise self.error


@pytest.fixture(autouse=True)
def _examples(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "examples" / "digits")


@pytest.mark.parametrize(
    ("error", "tries", "status"),
    [(exceptions.RefreshError("reauth"), 1, 401), (exceptions.TransportError("cut off"), 5, 0)],
)
def test_errors_of_the_login_are_refusals_as_others(monkeypatch, error, tries, status):
    from cloud.rest import ApiError, Google

    credentials, asked = Expired(error), {}
    monkeypatch.setattr("google.auth.default", lambda **how: asked.update(how) or (credentials, ""))
    rest = Google("my-project", sleep=lambda secs: None)
    assert asked["quota_project_id"] == "my-project"
    with pytest.raises(ApiError, match=str(error)) as refused:
        rest.call("GET", URL)
    assert (credentials.tries, refused.value.status) == (tries, status)


@pytest.mark.parametrize(
    ("status", "once", "tries"), [(503, False, 5), (503, True, 1), (429, True, 5)]
)
def test_what_may_have_had_its_effect_is_not_tried_again(status, once, tries):
    from cloud.rest import ApiError, Google

    with Failing(status) as service:
        rest = Google("my-project", service.url, sleep=lambda secs: None)
        with pytest.raises(ApiError, match="odd"):
            rest.call("POST", URL, {}, once=once)
        assert service.calls == tries


def test_job_that_was_launched_just_now_may_not_be_found_yet(launched):
    from cloud.dataflow import UNKNOWN, Dataflow
    from cloud.rest import ApiError, Google
    from cloud.settings import parse

    first, now = launched(), [1000.0]
    rest = Google("test-project", first.project.url)
    dataflow = Dataflow(rest, parse(first.arguments()), lambda: now[0])
    job = dataflow.launch("name", {})
    first.project.rights.missing.add(f"/jobs/{job}")
    assert dataflow.state(job).name == UNKNOWN
    now[0] += 100
    with pytest.raises(ApiError):
        dataflow.state(job)


def test_subscriptions_live_longer_than_their_messages(launched, pubsub):
    """Pub/Sub refuses others; its emulator does not."""
    from cloud.pubsub import PubSub
    from cloud.rest import Google

    topic, subscription = (
        "projects/test-project/topics/short",
        "projects/test-project/subscriptions/short",
    )
    service = PubSub(Google("test-project", launched().project.url))
    service.create_topic(topic)
    service.create_subscription(subscription, topic)
    made = pubsub.subscriber.get_subscription(subscription=subscription)
    assert made.message_retention_duration < made.expiration_policy.ttl
    for name in (subscription, topic):
        service.remove(name)


class Leasing(IdleExecution):
    """Has leased what it was sent when it is drained; that comes back after `secs`."""

    def __init__(self, pubsub, secs):
        super().__init__()
        self.pubsub, self.secs, self.subscription = pubsub.subscriber, secs, ""

    def stop(self, state):
        request = {"subscription": self.subscription, "max_messages": 100}
        ids = [each.ack_id for each in self.pubsub.pull(request=request).received_messages]
        again = {"subscription": self.subscription, "ack_ids": ids, "ack_deadline_seconds": 0}
        threading.Timer(self.secs, lambda: self.pubsub.modify_ack_deadline(request=again)).start()
        super().stop(state)


def test_drain_waits_for_what_the_job_had_leased(launched, pubsub):
    from cloud.bounds import Bounds
    from cloud.dataflow import Dataflow
    from cloud.findings import Findings
    from cloud.outputs import StreamOutputs
    from cloud.pubsub import PubSub
    from cloud.rest import Google
    from cloud.settings import TOPICS_IN, TOPICS_OUT, parse
    from cloud.storage import Storage
    from cloud.stream import StreamJob

    execution = Leasing(pubsub, 1.5)
    first, said = launched(lambda launch: execution), []
    rest, told = Google("test-project", first.project.url), parse(first.arguments())
    execution.subscription = told.subscription("records")
    service, dataflow = PubSub(rest), Dataflow(rest, told)
    for name in (*TOPICS_IN, *TOPICS_OUT):
        service.create_topic(told.topic(name))
        service.create_subscription(told.subscription(name), told.topic(name))
    bounds = Bounds(dataflow, 1, 5, 0.2, False)
    outputs, findings = StreamOutputs(service, told), Findings(said.append)
    stream = StreamJob(dataflow, Storage(rest), told, bounds, outputs, findings)
    stream.launch()
    stream.drain()
    assert "holds" in said[0]
    assert "20 wait in the subscription" in said[0]
    for name in (*TOPICS_IN, *TOPICS_OUT):
        service.remove(told.subscription(name))
        service.remove(told.topic(name))
