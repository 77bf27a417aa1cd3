"""A job that would read what it publishes, or whose sources would share messages, is refused."""

import pytest

from pipeline.launch.checks import path_problems
from pipeline.launch.options import parse


def problems(tmp_path, *more):
    """Of the places of a stream that goes from Pub/Sub to files; with more parameters."""
    given = [f"--{key}={tmp_path}/{key}" for key in ("ensemble_spec", "output_path")]
    return path_problems(parse([*given, "--refresh_mode=both", *more]).settings)


@pytest.mark.parametrize("sink", ["output_topic", "dead_letter_topic", "release_events_topic"])
@pytest.mark.parametrize("source", ["input_topic", "input_subscription", "refresh_subscription"])
def test_a_job_that_would_read_what_it_publishes_is_refused(pubsub, tmp_path, sink, source):
    topic = pubsub.new_topic()
    given = {
        "input_subscription": pubsub.new_subscription(pubsub.new_topic()),
        "refresh_subscription": pubsub.new_subscription(pubsub.new_topic()),
    }
    if source == "input_topic":
        del given["input_subscription"]
    given[source] = topic if source == "input_topic" else pubsub.new_subscription(topic)
    arguments = [f"--{name}={place}" for name, place in given.items()]
    (problem,) = problems(tmp_path, *arguments, f"--{sink}={topic}")
    assert problem.startswith(f"--{sink}: topic '{topic}' is what --{source} reads: ")
    assert problems(tmp_path, *arguments, f"--{sink}={pubsub.new_topic()}") == []


def test_a_subscription_with_a_filter_may_be_to_the_topic_of_the_output(pubsub, tmp_path):
    topic = pubsub.new_topic()
    records = pubsub.new_subscription(topic, filter="NOT attributes:release_id")
    refresh = pubsub.new_subscription(pubsub.new_topic())
    sources = [f"--input_subscription={records}", f"--refresh_subscription={refresh}"]
    assert problems(tmp_path, *sources, f"--output_topic={topic}") == []


@pytest.mark.parametrize("how", [[], ["--dry_run"]])
def test_records_and_refresh_messages_by_one_subscription_are_refused(pubsub, tmp_path, how):
    one = pubsub.new_subscription(pubsub.new_topic())
    sources = [f"--input_subscription={one}", f"--refresh_subscription={one}"]
    (problem,) = problems(tmp_path, *sources, *how)
    assert problem.startswith(f"--refresh_subscription: subscription '{one}' is that of --input_")
