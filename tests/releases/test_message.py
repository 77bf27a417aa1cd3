import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Origin
from pipeline.releases.candidate import Candidate
from pipeline.releases.message import Ignored, LookNow, Refused, interpret
from pipeline.releases.versions import WatchTarget

CLF = WatchTarget("gs://b/clf/*", ("clf",))
MARKED = WatchTarget("gs://b/clf/*", ("other",), "_SUCCESS")
RELEASES = WatchTarget("gs://b/releases/*.json")
SOURCE = "projects/p/subscriptions/refresh"
FORMS = (
    'one of {"models": {NAME: URI, ...}}, {"release": URI}, {"rollback": true} and '
    '{"rollback_to": GENERATION}'
)


def read(payload, attributes=None, publish_time_us=5_000_000):
    return interpret(
        payload,
        Origin(publish_time_us, attributes or {}),
        source=SOURCE,
        models=("clf", "embed"),
        targets=(CLF, MARKED, RELEASES),
    )


def notification(object_id, event_type="OBJECT_FINALIZE", bucket="b"):
    attributes = {"eventType": event_type, "bucketId": bucket, "objectId": object_id}
    return read(b'{"kind": "storage#object"}', attributes)


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        (b'{"models": {"clf": "gs://b/clf/7"}}', {"models": {"clf": "gs://b/clf/7"}}),
        (b'{"models": {"clf": "file:///clf/7"}}', {"models": {"clf": "/clf/7"}}),
        (b'{"models": {"clf": "/models//clf/./7"}}', {"models": {"clf": "/models/clf/7"}}),
        (b'{"release": "gs://b/r/r12.json"}', {"manifest_uri": "gs://b/r/r12.json"}),
        (b'{"release": "file:///r/r12.json"}', {"manifest_uri": "/r/r12.json"}),
        (b'{"rollback": true}', {"rollback_to": 0}),
        (b' {"rollback_to": 3}\n', {"rollback_to": 3}),
    ],
)
def test_each_form_becomes_the_candidate_it_says(payload, content):
    found = read(payload)
    assert found == Candidate(
        candidate_id=found.candidate_id,
        source=f"event {SOURCE}",
        sequence_us=5_000_000,
        **content,
    )


def test_redelivered_message_has_the_same_id_and_a_repeated_one_another():
    payload = b'{"rollback": true}'
    first = read(payload).candidate_id
    assert read(payload).candidate_id == first
    assert read(payload, publish_time_us=5_000_001).candidate_id != first
    assert read(b'{"rollback_to": 1}').candidate_id != first


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xfe", f"found 2 bytes that are not UTF-8 text, expected {FORMS}"),
        (b"", f"found no text, expected {FORMS}"),
        (b"clf=7", "found 'clf=7', which is not JSON ("),
        (
            b'{"rollback": true, "rollback": true}',
            "an object has the key 'rollback' more than once",
        ),
        (b'{"models": {"clf": "a", "clf": "b"}}', "an object has the key 'clf' more than once"),
        (b'{"models": ' + b"[" * 1000 + b"]" * 1000 + b"}", "it is nested too deeply"),
        (b"[]", f"found an empty list, expected {FORMS}"),
        (b"{}", f"found an empty object, expected {FORMS}"),
        (b'{"model": {"clf": "x"}}', "unknown key 'model'; did you mean 'models'?"),
        (b'{"zzz": 1}', "unknown key 'zzz'; the keys are models, release, rollback, rollback_to"),
        (b'{"rollback": true, "release": "x"}', "found the keys rollback and release together, "),
        (b'{"models": {}}', "models: found an empty mapping, expected {NAME: URI, ...}"),
        (b'{"models": "gs://b"}', "models: found 'gs://b', expected {NAME: URI, ...}"),
        (b'{"models": {"clff": "x"}}', "models: unknown model 'clff'; did you mean 'clf'?"),
        (b'{"models": {"zzz": "x"}}', "models: unknown model 'zzz'; the models are clf, embed"),
        (b'{"models": {"clf": 7}}', "models.clf: found 7, expected a URI"),
        (b'{"models": {"clf": ""}}', "models.clf: found '', expected a URI"),
        (b'{"release": null}', "release: found nothing, expected the URI of a manifest"),
        (b'{"rollback": false}', "rollback: found false, expected true"),
        (b'{"rollback": 1}', "rollback: found 1, expected true"),
        (b'{"rollback_to": true}', "rollback_to: found true, expected a generation, which is 1 "),
        (b'{"rollback_to": 0}', "rollback_to: found 0, expected a generation, which is 1 or more"),
        (b'{"rollback_to": 1.0}', "rollback_to: found 1.0, expected a generation"),
    ],
)
def test_malformed_message_is_refused_with_what_was_found_and_expected(payload, reason):
    found = read(payload)
    assert isinstance(found, Refused)
    assert found.reason.startswith(reason)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["models", "release", "rollback", "clf", "x"]), inner)
    ),
    max_leaves=5,
)


@given(st.binary(max_size=30) | JSON.map(orjson.dumps), st.dictionaries(st.text(), st.text()))
def test_any_message_is_a_candidate_or_refused_in_one_short_sentence(payload, attributes):
    found = read(payload, attributes)
    if isinstance(found, Candidate):
        asked = [bool(found.models), found.manifest_uri is not None, found.rollback_to is not None]
        assert asked.count(True) == 1
    else:
        assert isinstance(found, Refused)
        assert "\n" not in found.reason
        assert len(found.reason) < 500


def test_notification_asks_for_a_look_under_every_pattern_that_covers_the_object():
    assert notification("clf/8.onnx") == LookNow((CLF, MARKED))
    assert notification("clf/8/variables/data") == LookNow((CLF, MARKED))
    assert notification("releases/r12.json") == LookNow((RELEASES,))


def test_notification_outside_all_patterns_is_ignored_with_the_reason():
    for found in (notification("logs/x"), notification("clf/8", bucket="b2")):
        assert isinstance(found, Ignored)
        assert "is not under any watched pattern (gs://b/clf/*, gs://b/rel" in found.reason
    assert notification("logs/x").reason.startswith("gs://b/logs/x is not")


def test_notification_that_no_object_appeared_is_ignored_without_a_word():
    for event_type in ("OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE"):
        assert notification("clf/8", event_type) == Ignored()


def test_notification_without_object_is_refused():
    assert notification("") == Refused(
        "found a Cloud Storage notification without the attribute objectId"
    )
