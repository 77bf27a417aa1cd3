"""Releases as JSON: what people write, and what is kept of accepted ones."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.candidate import Candidate
from pipeline.releases.manifest import Manifest, dump, load, parse
from pipeline.releases.state import Accepted, Mark
from pipeline.releases.version_rule import RELEASES, VersionRule

CLF, EMB = ModelVersion("clf", "gs://b/clf/7", "c7"), ModelVersion("emb", "gs://b/emb", "e1")
ACCEPTED = Accepted(
    Release(12, (CLF, EMB)),
    datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    Candidate("id", "event s", 99, models={"clf": "gs://b/clf/7"}),
    returns_to=11,
    marks={"clf": Mark(ModelVersion("clf", "gs://b/clf/8", "c8"), 98, "x"), "emb": Mark(EMB)},
    rules={
        "clf": VersionRule("gs://b/clf/*", ("v", "")),
        RELEASES: VersionRule("gs://b/r/*", None),
    },
)


def test_written_manifest_is_a_map_of_uris():
    text = '{"models": {"clf": "gs://b/clf/7", "emb": {"uri": "gs://b/emb"}}, "note": "mine"}'
    assert parse(text) == Manifest({"clf": "gs://b/clf/7", "emb": "gs://b/emb"})
    assert parse('{"models": {"clf": "file:///clf/7"}}') == Manifest({"clf": "/clf/7"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "not JSON: "),
        ('{"models": {"a": "x", "a": "y"}}', "an object has the key 'a' more than once"),
        ("[]", 'found an empty list, expected {"models": {"NAME": "URI", ...}}'),
        ("{}", "'models' is nothing, expected"),
        ('{"models": ["clf"]}', "'models' is a list, expected"),
        ('{"models": {"clf": "file://b/7"}}', "found 'file://b/7', which names the machine 'b'"),
        ('{"models": {"clf": 7}}', "model 'clf' is 7, expected its URI"),
        ('{"models": {"clf": {"url": "x"}}}', "model 'clf' is {url}, expected its URI"),
        ('{"models": {"clf": {"uri": "x", "digest": 1}}}', "model 'clf': digest is 1, expected"),
    ],
)
def test_text_that_is_no_manifest_is_explained(text, found):
    with pytest.raises(ValueError) as error:
        parse(text)
    assert str(error.value).startswith(found)


@pytest.mark.parametrize(
    "candidate",
    [
        ACCEPTED.candidate,
        Candidate("m", "watch p", 1, manifest_uri="gs://b/r.json"),
        Candidate("r", "event s", 1, rollback_to=0),
        None,
    ],
)
def test_accepted_release_is_read_back_as_it_was(candidate):
    accepted = Accepted(
        ACCEPTED.release,
        ACCEPTED.time,
        candidate,
        ACCEPTED.returns_to,
        ACCEPTED.marks,
        ACCEPTED.rules,
    )
    assert load(dump(accepted)) == accepted


def test_release_that_an_earlier_build_kept_has_no_rules():
    data = json.loads(dump(ACCEPTED))
    del data["rules"]
    assert load(json.dumps({**data, "of a later build": 1})) == replace(ACCEPTED, rules={})


def test_accepted_release_can_be_proposed_again_with_its_digests():
    assert parse(dump(ACCEPTED)) == Manifest(
        {"clf": "gs://b/clf/7", "emb": "gs://b/emb"}, {"clf": "c7", "emb": "e1"}
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("gs://b/clf/7", "gs://b/clf/6"),
        lambda text: text.replace('"generation"', '"gen"'),
        lambda text: text.replace('"2025-', '"last '),
        lambda text: json.dumps([text]),
        lambda text: json.dumps({**json.loads(text), "newest": {}}),
        lambda text: "",
    ],
    ids=["half", "other uri", "key", "time", "list", "no marks", "empty"],
)
def test_damaged_release_is_not_read(damage):
    with pytest.raises(ValueError):
        load(damage(dump(ACCEPTED)))


@pytest.mark.parametrize("value", [1e30, 2**63, 10**30, -1, 1.5, True, "3", [], {}])
@pytest.mark.parametrize("key", ["generation", "rollback_returns_to", "sequence_us"])
def test_number_that_no_file_could_hold_again_is_named(key, value):
    data = json.loads(dump(ACCEPTED))
    for place in (data, data["candidate"], *data["newest"].values()):
        if key in place:
            place[key] = value
    with pytest.raises(ValueError, match=rf"^(not JSON|{key}: found .*, expected a whole number)"):
        load(json.dumps(data))


def test_written_rollback_names_a_generation_or_the_one_before():
    assert parse('{"rollback": true}') == Manifest({}, rollback_to=0)
    assert parse('{"rollback_to": 3}') == Manifest({}, rollback_to=3)


@pytest.mark.parametrize(
    "text",
    [
        '{"rollback": false}',
        '{"rollback": 1}',
        '{"rollback_to": 0}',
        '{"rollback_to": "3"}',
        '{"rollback_to": true}',
        '{"rollback_to": 1e30}',
        '{"rollback_to": 9223372036854775808}',
        '{"rollback": true, "rollback_to": 3}',
    ],
)
def test_rollback_that_is_none_is_explained(text):
    with pytest.raises(ValueError, match=re.escape('expected {"rollback": true}')):
        parse(text)
