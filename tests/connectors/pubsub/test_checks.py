import re
import time

import grpc
import pytest
from google.iam.v1 import iam_policy_pb2
from google.pubsub_v1.types import Subscription, Topic

from pipeline.connectors.pubsub import checks as pubsub_checks
from pipeline.connectors.pubsub.checks import check_input_topic, check_subscription, check_topic
from pipeline.errors import PathError

SUBSCRIPTION = "projects/test-project/subscriptions/some"
TOPIC = "projects/test-project/topics/some"
CHECKS = [(check_subscription, SUBSCRIPTION), (check_topic, TOPIC), (check_input_topic, TOPIC)]


def refusal(check, name):
    """The only line of a refusal."""
    with pytest.raises(PathError) as refused:
        check(name)
    (problem,) = refused.value.problems
    assert "\n" not in problem
    return problem


def test_what_exists_passes(pubsub):
    topic = pubsub.new_topic()
    check_topic(topic)
    check_input_topic(topic)
    check_subscription(pubsub.new_subscription(topic))


@pytest.mark.parametrize(
    "name",
    ["some", "projects/p/topics", "projects/p/topics/t/x", TOPIC + " ", SUBSCRIPTION + "/x", ""],
)
@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (check_subscription, "projects/PROJECT/subscriptions/NAME"),
        (check_topic, "projects/PROJECT/topics/NAME"),
        (check_input_topic, "projects/PROJECT/topics/NAME"),
    ],
)
def test_a_malformed_name_is_refused_with_what_was_expected(check, expected, name):
    assert refusal(check, name).endswith(f"expected {expected}")
    assert repr(name) in refusal(check, name)


@pytest.mark.parametrize(("check", "name"), CHECKS)
def test_what_does_not_exist_is_refused(pubsub, check, name):
    assert refusal(check, name).endswith(f"'{name}' does not exist")


DENIED = grpc.StatusCode.PERMISSION_DENIED
NEEDS = [
    (check_subscription, SUBSCRIPTION, "pubsub.subscriptions.consume", "roles/pubsub.subscriber"),
    (check_topic, TOPIC, "pubsub.topics.publish", "roles/pubsub.publisher"),
    (check_input_topic, TOPIC, "pubsub.topics.attachSubscription", "roles/pubsub.editor"),
]


def granted(*permissions):
    return iam_policy_pb2.TestIamPermissionsResponse(permissions=permissions).SerializeToString()


@pytest.mark.parametrize(("check", "name", "permission", "role"), NEEDS)
@pytest.mark.parametrize("look", [b"", DENIED], ids=["may look", "may not look"])
def test_what_may_not_be_used_is_refused_with_the_role(
    service, check, name, permission, role, look
):
    service(GetSubscription=look, GetTopic=look, TestIamPermissions=granted())
    expected = f"no permission for .*'{name}': .* needs the role {role}"
    assert re.search(expected, refusal(check, name))


@pytest.mark.parametrize(("check", "name", "permission", "role"), NEEDS)
def test_what_may_be_used_passes_even_if_it_may_not_be_looked_at(
    service, check, name, permission, role
):
    service(GetSubscription=DENIED, GetTopic=DENIED, TestIamPermissions=granted(permission))
    check(name)


@pytest.mark.parametrize(("check", "name"), CHECKS)
def test_a_service_that_is_not_there_is_refused_at_once(pubsub, proxy, monkeypatch, check, name):
    line = proxy(pubsub.address)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", line.address)
    line.cut()
    assert f"'{name}': Pub/Sub cannot be reached at {line.address}" in refusal(check, name)


def test_a_silent_service_is_refused_soon(pubsub, proxy, monkeypatch):
    monkeypatch.setattr(pubsub_checks, "WAIT_SECS", 0.5)
    line = proxy(pubsub.address)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", line.address)
    line.stall()
    began = time.monotonic()
    assert f"Pub/Sub cannot be reached at {line.address}" in refusal(check_topic, TOPIC)
    assert time.monotonic() - began < 5


def test_a_push_subscription_is_refused(pubsub):
    push = {"push_endpoint": "https://example.com/push"}
    subscription = pubsub.new_subscription(pubsub.new_topic(), push_config=push)
    assert "pushes to https://example.com/push" in refusal(check_subscription, subscription)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"bigquery_config": {"table": "p.d.t"}}, "writes to the BigQuery table p.d.t"),
        ({"cloud_storage_config": {"bucket": "b"}}, "writes to the bucket b"),
    ],
)
def test_a_subscription_that_nobody_can_pull_from_is_refused(service, settings, found):
    look = Subscription.serialize(Subscription(name=SUBSCRIPTION, topic=TOPIC, **settings))
    service(GetSubscription=look, TestIamPermissions=granted("pubsub.subscriptions.consume"))
    assert refusal(check_subscription, SUBSCRIPTION).endswith(
        f"'{SUBSCRIPTION}' {found}, expected a pull subscription"
    )


def test_a_subscription_that_is_detached_is_refused(service):
    look = Subscription.serialize(Subscription(name=SUBSCRIPTION, topic=TOPIC, detached=True))
    service(GetSubscription=look, TestIamPermissions=granted("pubsub.subscriptions.consume"))
    assert "gets nothing any more" in refusal(check_subscription, SUBSCRIPTION)


def test_a_subscription_whose_topic_was_deleted_is_refused(pubsub):
    topic = pubsub.new_topic()
    subscription = pubsub.new_subscription(topic)
    pubsub.publisher.delete_topic(topic=topic)
    pubsub.publisher.create_topic(name=topic)  # which does not attach it again
    assert refusal(check_subscription, subscription).startswith(
        f"subscription '{subscription}' gets nothing any more, since its topic was deleted"
    )


def with_schema(encoding):
    settings = {"schema": "projects/test-project/schemas/s", "encoding": encoding}
    return Topic.serialize(Topic(name=TOPIC, schema_settings=settings))


def test_a_topic_whose_schema_takes_no_json_is_refused_for_output(service):
    service(GetTopic=with_schema("BINARY"), TestIamPermissions=granted("pubsub.topics.publish"))
    assert "binary messages of the schema projects/test-project/schemas/s, expected a topic" in (
        refusal(check_topic, TOPIC)
    )
    service(GetTopic=with_schema("JSON"), TestIamPermissions=granted("pubsub.topics.publish"))
    check_topic(TOPIC)


def test_a_topic_whose_schema_is_binary_may_be_read(service):
    granting = granted("pubsub.topics.attachSubscription")
    service(GetTopic=with_schema("BINARY"), TestIamPermissions=granting)
    check_input_topic(TOPIC)


def test_the_topic_of_a_subscription_is_told_where_all_its_messages_come(pubsub):
    topic = pubsub.new_topic()
    assert check_subscription(pubsub.new_subscription(topic)) == topic
    assert check_subscription(pubsub.new_subscription(topic, filter="attributes:a")) == ""


def test_a_transform_may_leave_messages_of_the_topic_out(service):
    transform = {"javascript_udf": {"function_name": "f", "code": "function f() {return null}"}}
    found = Subscription(name=SUBSCRIPTION, topic=TOPIC, message_transforms=[transform])
    look = Subscription.serialize(found)
    service(GetSubscription=look, TestIamPermissions=granted("pubsub.subscriptions.consume"))
    assert check_subscription(SUBSCRIPTION) == ""


def test_missing_credentials_are_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert "no valid Google Cloud credentials" in refusal(check_topic, TOPIC)
