"""Whatever a record holds, what leaves for a topic is something that Pub/Sub takes.

The emulator enforces hardly any of its limits, so they are checked here:
https://cloud.google.com/pubsub/quotas#resource_limits
"""

import base64
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.message import acceptable_attributes
from pipeline.batch.release import ModelVersion, Release
from pipeline.transforms.encode import (
    DEAD_LETTER_MESSAGES,
    OUTCOMES,
    PREDICTION_MESSAGES,
    Encode,
)

RELEASE = Release(4, (ModelVersion("m", "gs://b/m/7", "d1"),))
ATTRIBUTES = st.dictionaries(
    st.one_of(st.text(max_size=300), st.sampled_from(["googclient_schema", "", "record_id"])),
    st.text(max_size=1100),
    max_size=120,
)


def acceptable(message):
    sizes = [(len(k.encode()), len(v.encode())) for k, v in message.attributes.items()]
    assert len(sizes) <= 100
    assert all(0 < key <= 256 and value <= 1024 for key, value in sizes)
    assert not any(key.startswith("goog") for key in message.attributes)
    size = len(message.data) + sum(map(sum, sizes)) + len(message.ordering_key.encode())
    assert size <= 10_000_000
    return True


def encoded(batch):
    """What comes out for one batch, by tag."""
    encode = Encode(["y"], [PREDICTION_MESSAGES, DEAD_LETTER_MESSAGES, OUTCOMES], "limits")
    outputs = list(encode.process(batch))
    assert all(isinstance(output, TaggedOutput) for output in outputs)
    found = {output.tag: output.value for output in outputs}
    messages = [*found.get(PREDICTION_MESSAGES, ()), *found.get(DEAD_LETTER_MESSAGES, ())]
    assert all(map(acceptable, messages))
    assert found[OUTCOMES] == tuple(
        len(found.get(tag, ())) for tag in (PREDICTION_MESSAGES, DEAD_LETTER_MESSAGES)
    )
    return found


def batch_of(ids=("a", "b"), attributes=None, **columns):
    columns = columns or {"y": np.arange(len(ids), dtype=np.float32)}
    origins = None
    if attributes is not None:
        origins = tuple(Origin(event_time_us=0, attributes=attributes) for _ in ids)
    payloads = tuple(b"{}" for _ in ids)
    return Batch(tuple(ids), payloads, columns, release=RELEASE, origins=origins)


@given(ATTRIBUTES, st.text(max_size=2000))
@example({f"key {i}": "value" for i in range(120)}, "many")
@example({"k" * 257: "v", "": "v", "googclient_schema": "v", "value": "ü" * 513}, "L" * 1500)
def test_attributes_are_those_that_pubsub_takes(attributes, record_id):
    found = encoded(batch_of((record_id,), attributes))
    (message,) = found[PREDICTION_MESSAGES]
    assert json.loads(message.data)["id"] == record_id
    assert message.attributes["generation"] == "4"


@given(ATTRIBUTES)
def test_what_is_acceptable_is_kept(attributes):
    kept = acceptable_attributes({"stage": "decode"}, attributes)
    assert kept["stage"] == "decode"
    assert all(attributes[key] == value for key, value in kept.items() if key != "stage")
    assert acceptable_attributes({"stage": "decode"}, kept) == kept


@pytest.mark.parametrize("payload", [b"\xff" * 7_800_000, b"x" * 12_000_000, b'"' * 9_000_000])
def test_dead_letter_of_a_large_record_is_cut_and_says_what_it_was(payload):
    reject = Reject(payload, "L" * 3_000_000, "decode", "not_json", "it is not JSON", origin=None)
    found = encoded(replace(batch_of(()), rejects=(reject,)))
    (message,) = found[DEAD_LETTER_MESSAGES]
    letter = json.loads(message.data)
    assert letter["payload_bytes"] == len(payload)
    assert letter["payload_sha256"] == hashlib.sha256(payload).hexdigest()
    text = letter["payload"]
    kept = base64.b64decode(text) if letter["payload_encoding"] == "base64" else text.encode()
    assert payload.startswith(kept)
    assert len(kept) > 40_000
    assert (letter["stage"], letter["error_type"]) == ("decode", "not_json")


def test_dead_letter_that_fits_is_whole():
    reject = Reject(b"x" * 9_000_000, "a", "decode", "not_json", "it is not JSON")
    (message,) = encoded(replace(batch_of(()), rejects=(reject,)))[DEAD_LETTER_MESSAGES]
    letter = json.loads(message.data)
    assert len(letter["payload"]) == 9_000_000
    assert "payload_sha256" not in letter


def test_prediction_that_no_message_holds_costs_its_record_alone():
    texts = np.array(["x" * 11_000_000, "small"], dtype=object)
    found = encoded(batch_of(y=texts))
    (prediction,) = found[PREDICTION_MESSAGES]
    assert json.loads(prediction.data)["id"] == "b"
    (letter,) = found[DEAD_LETTER_MESSAGES]
    told = json.loads(letter.data)
    assert (told["id"], told["error_type"]) == ("a", "too_large_message")
    assert "and a message at most" in told["error_message"]
