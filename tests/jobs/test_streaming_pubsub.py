"""Streams over the real Pub/Sub emulator: event mode, restarts, outages."""

import json
import os
from datetime import datetime

import numpy as np
import pytest

import main
from tests.jobs.test_streaming import Stream, X, expected
from tests.support import models


class Service(Stream):
    """A streaming job with Pub/Sub on all sides."""

    def __init__(self, folder, pubsub):
        super().__init__(folder)
        self.pubsub = pubsub
        self.input = pubsub.new_topic()
        self.refresh = pubsub.new_topic()
        self.subscription = pubsub.new_subscription(self.input)
        self.refresh_subscription = pubsub.new_subscription(self.refresh)

    def arguments(self, *more):
        kept = [a for a in super().arguments(*more) if "input_file" not in a]
        return [*kept, f"--input_subscription={self.subscription}"]

    def event_mode(self):
        return f"--refresh_subscription={self.refresh_subscription}"

    def feed(self, count=20):
        ids = [f"r{len(self.sent) + i}" for i in range(count)]
        payloads = [json.dumps({"id": i, "x": X}).encode() for i in ids]
        self.pubsub.publish_all(self.input, payloads)
        self.sent += ids

    def ask(self, **message):
        self.pubsub.publish(self.refresh, json.dumps(message).encode())


@pytest.fixture
def service(tmp_path, pubsub):
    return Service(tmp_path, pubsub)


def test_refresh_messages_change_reject_and_roll_back(service):
    uri = f"{service.folder}/net"
    with service.running(service.event_mode(), refresh="event"):
        service.feed_until(lambda: service.serves(1))
        service.version(2, scale=3)
        service.ask(models={"net": f"{uri}/2"})
        service.feed_until(lambda: service.serves(2))
        service.ask(models={"nett": f"{uri}/2"})
        service.ask(modells={"net": f"{uri}/2"})
        service.ask(models={"net": "/elsewhere/net/3"})
        service.pubsub.publish(service.refresh, b"not json")
        service.feed_until(lambda: len(service.events("rejected")) == 4)
        service.ask(rollback=True)
        service.feed_until(lambda: service.serves(3))
        service.wait_until_all_predicted()
        assert service.stop() == 0
    reasons = " | ".join(event["reason"] for event in service.events("rejected"))
    for part in ("'nett'", "'modells'", "outside the folders", "JSON"):
        assert part in reasons
    versions = {
        p["release"]["generation"]: p["release"]["models"]["net"] for p in service.predictions()
    }
    assert versions == {1: "1", 2: "2", 3: "1"}
    for line in service.predictions():
        scale = {"1": 1, "2": 3}[line["release"]["models"]["net"]]
        np.testing.assert_allclose(line["predictions"]["y"], expected(scale), rtol=1e-4)


def test_dropping_a_model_refreshes_at_once_by_storage_notification(service, gcs):
    bucket = gcs.new_bucket()

    def drop(number, scale):
        made = models.onnx_file(service.folder / f"made{number}", scale=scale)
        gcs.upload(f"{bucket}/net/{number}.onnx", made.read_bytes())

    drop(1, scale=1)
    service.spec["models"][0].update(uri=f"{bucket}/net/1.onnx", watch=f"{bucket}/net/*")
    with service.running(service.event_mode(), refresh="event"):
        service.feed_until(lambda: service.serves(1))
        drop(2, scale=3)
        service.pubsub.publish(
            service.refresh,
            b"{}",
            {
                "eventType": "OBJECT_FINALIZE",
                "bucketId": bucket.removeprefix("gs://"),
                "objectId": "net/2.onnx",
                "objectGeneration": "7",
            },
        )
        service.feed_until(lambda: service.serves(2))
        assert service.stop() == 0
    (accepted,) = service.events("accepted")
    assert accepted["candidate"]["models"] == {"net": f"{bucket}/net/2.onnx"}


def test_killed_in_mid_stream_every_record_is_predicted_after_the_relaunch(service):
    releases = f"--release_dir={service.folder}/accepted"
    with service.running(service.event_mode(), releases, refresh="event"):
        service.feed_until(lambda: service.serves(1))
        service.version(2, scale=3)
        service.ask(models={"net": f"{service.folder}/net/2"})
        service.feed_until(lambda: service.serves(2))
        service.feed(2000)
        service.process.kill()
        service.process.wait()
    service.feed(10)
    with service.running(releases, refresh="off"):
        service.wait_until_all_predicted()
        assert service.stop() == 0
    assert "resuming at release" in service.log()
    assert service.predictions()[-1]["release"]["generation"] == 2


def test_predictions_and_dead_letters_are_published_with_their_attributes(service, pubsub):
    out, dead, events = (pubsub.new_topic() for _ in range(3))
    readers = [pubsub.new_subscription(topic) for topic in (out, dead, events)]
    heard = pubsub.new_subscription(service.input)
    pubsub.publish(service.input, json.dumps({"id": "a", "x": X}).encode(), {"city": "Oslo"})
    pubsub.publish(service.input, b"not json", {"city": "Rome"})
    arguments = [a for a in service.arguments() if "_path=" not in a]
    status = main.main(
        [
            *arguments,
            f"--output_topic={out}",
            f"--dead_letter_topic={dead}",
            f"--release_events_topic={events}",
            "--stop_after_records=2",
        ]
    )
    assert status == 0
    (prediction,) = pubsub.pull_all(readers[0], 1)
    attributes = dict(prediction.attributes)
    assert (attributes["city"], attributes["record_id"], attributes["generation"]) == (
        "Oslo",
        "a",
        "1",
    )
    assert json.loads(prediction.data)["id"] == "a"
    (letter,) = pubsub.pull_all(readers[1], 1)
    assert dict(letter.attributes)["error_type"] == "not_json"
    assert json.loads(letter.data)["payload"] == "not json"
    found = {json.loads(each.data)["event_time"] for each in (prediction, letter)}
    times = {each.publish_time for each in pubsub.pull_all(heard, 2)}
    assert {datetime.fromisoformat(text) for text in found} == times, "those of the messages"
    (event,) = pubsub.pull_all(readers[2], 1)
    assert json.loads(event.data)["event"] == "activated"


def test_stream_goes_on_through_an_outage_of_pubsub(service, proxy, pubsub, monkeypatch):
    relay = proxy(os.environ["PUBSUB_EMULATOR_HOST"])
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", relay.address)
    with service.running(service.event_mode(), refresh="event"):
        service.feed_until(lambda: service.serves(1))
        relay.cut()
        service.feed(200)  # straight to the emulator
        service.wait_for(lambda: "Pub/Sub does not answer" in service.log())
        relay.restore()
        service.wait_until_all_predicted()
        assert service.stop() == 0
    for subscription in (service.subscription, service.refresh_subscription):
        told = [line for line in service.log().splitlines() if subscription in line]
        assert len(told) <= 2, "said once when it begins and once when it ends"


def test_missing_subscription_is_refused_at_launch(service, capsys):
    service.subscription = service.subscription + "-gone"
    assert main.main(service.arguments()) == 2
    shown = capsys.readouterr().err
    assert "--input_subscription:" in shown
    assert "-gone" in shown


def test_stream_goes_on_while_the_storage_of_the_models_is_out_of_reach(
    service, proxy, gcs, monkeypatch
):
    bucket = gcs.new_bucket()

    def drop(number, scale):
        made = models.onnx_file(service.folder / f"made{number}", scale=scale)
        gcs.upload(f"{bucket}/net/{number}.onnx", made.read_bytes())

    drop(1, scale=1)
    service.spec["models"][0].update(uri=f"{bucket}/net/1.onnx", watch=f"{bucket}/net/*")
    relay = proxy(os.environ["STORAGE_EMULATOR_HOST"].removeprefix("http://"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{relay.address}")
    with service.running():
        service.feed_until(lambda: service.serves(1))
        relay.cut()
        drop(2, scale=3)  # the emulator has it, the job cannot see it
        service.wait_for(lambda: "cannot be listed" in service.log())
        service.feed(100)
        service.wait_until_all_predicted()
        assert service.serves(1)
        relay.restore()
        service.feed_until(lambda: service.serves(2))
        assert service.stop() == 0
    told = [line for line in service.log().splitlines() if "cannot be listed" in line]
    assert len(told) == 1, "said once, not with every look"
