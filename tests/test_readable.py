"""Names and texts from outside in log lines and errors: one line, nothing unseen, no secrets."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import errors
from pipeline.batch.batch import Reject
from pipeline.batch.release import ModelVersion, Release
from pipeline.jobs.progress import Progress
from pipeline.readable import logger, path_of, readable, shown_uri
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.gate import utc_now

UNSEEN = "\n\r\t\0\x1b\x7f\x85\u2028\u2029\u202e\u2066\u200b\ufeff\udc80"
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from(UNSEEN)))
# What may stand in a part of a URL, whether or not it should.
SIGNS = "abcXYZ019-._~%!$&'()*+,;="
SECRETS = st.text(SIGNS, min_size=1).map(lambda text: f"s3{text}cr3t")
ERRORS = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.EnsembleError)
]


def made(kind, text):
    if kind is errors.RecordError:
        return kind("wrong_shape", text)
    return kind({0: text}) if kind is errors.RowsError else kind(text)


@given(TEXTS)
def test_readable_text_is_one_line_of_what_can_be_seen(text):
    shown = readable(text)
    assert shown.isprintable()
    shown.encode()
    assert readable(shown) == shown
    if text.isprintable() and "://" not in text:
        assert shown == text


@given(TEXTS)
@pytest.mark.parametrize("kind", ERRORS)
def test_text_of_every_error_is_readable(kind, text):
    assert str(made(kind, text)).isprintable()


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_problems_of_a_launch_have_a_line_each(texts):
    error = errors.LaunchError(texts)
    assert all(problem.isprintable() for problem in error.problems)
    assert str(error).split("\n") == list(error.problems)


@given(TEXTS, TEXTS)
def test_nobody_forges_a_log_line(text, raised):
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("LEVEL %(message)s"))
    ours = logger("pipeline.test_readable")
    ours.propagate = False
    ours.addHandler(handler)
    try:
        ours.warning("%s came", text)
        try:
            raise ValueError(raised)
        except ValueError:
            ours.exception("failed at %s", text)
    finally:
        ours.removeHandler(handler)
    said, failed, *trace, end = written.getvalue().split("\n")
    assert said == f"LEVEL {readable(f'{text} came')}"
    assert failed == f"LEVEL {readable(f'failed at {text}')}"
    assert all(line.startswith("  ") and line.isprintable() for line in trace)
    assert not end


@given(TEXTS)
def test_nobody_forges_a_line_of_progress(text):
    written = io.StringIO()
    Progress(written).say(text)
    (line, end) = written.getvalue().split("\n")
    assert line.isprintable()
    assert not end


@given(TEXTS)
def test_reasons_of_events_and_dead_letters_are_readable(text):
    event = ReleaseEvent("rejected", utc_now(), reason=text)
    assert event.reason.isprintable()
    assert Reject(b"", None, "decode", "bad", text).error_message.isprintable()


@given(
    scheme=st.sampled_from(["https", "http", "HTTPS"]),
    user=st.sampled_from(["", "{}@", "me:{}@", "{}:@"]),
    place=st.sampled_from(["host", "host:80", "host/m/7", "host/m@2/7/"]),
    after=st.sampled_from(["", "?{}", "?key={}", "?a=1&key={}#x", "#{}", "?a/b={}/c?d", "?a=@{}"]),
    around=st.sampled_from(["{}", "at {}, twice", "found '{}', expected", '{"uri":"{}"}', "({})"]),
    secret=SECRETS,
)
def test_secrets_of_a_url_are_shown_nowhere(scheme, user, place, after, around, secret):
    uri = f"{scheme}://{user}{place}{after}".replace("{}", secret)
    host = place.partition("/")[0]
    for shown in (readable(around.replace("{}", uri)), shown_uri(uri), str(errors.LoadError(uri))):
        assert "cr3t" not in shown
        assert f"://{host}" in shown
        assert readable(shown) == shown
    if after:
        assert readable(around.replace("{}", uri)).endswith(f"...{around.rpartition('{}')[2]}")
    version = ModelVersion("clf", uri, "d")
    candidate = Candidate("c", "event s", 0, models={"clf": uri}, manifest_uri=uri)
    event = ReleaseEvent("rejected", utc_now(), candidate, Release(1, (version,)), f"not {uri}")
    assert json.loads(event.line())["candidate"]["models"] == {"clf": shown_uri(uri)}
    assert "cr3t" not in f"{event.line()!r} {event}"
    label = version.label
    assert "cr3t" not in label
    assert path_of(uri) == f"{scheme}://{place}"


@pytest.mark.parametrize(
    "uri", ["gs://bucket/m/7?x#y", "/models/a?b", "models/a@b#c", "python://a.B", "https://h/m/7"]
)
def test_uri_without_secrets_is_shown_as_it_is(uri):
    assert shown_uri(uri) == readable(f"at {uri}").removeprefix("at ") == path_of(uri) == uri
