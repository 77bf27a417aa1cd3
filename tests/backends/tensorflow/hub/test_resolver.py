"""Modules fetched from a hub on this machine: the real client, a real server, real archives."""

import threading

import pytest

from pipeline.backends.tensorflow.hub.resolver import module_folder
from pipeline.backends.tensorflow.hub.response import Patience
from pipeline.errors import ArtifactError, ArtifactNotFoundError, LoadError
from pipeline.serving.files.local_files import digest_of
from tests.support.hub_server import PAGE, Answer, Hub, archive

PATH = "/google/affine/1"
KAGGLE = "/models/google/affine/tensorFlow2/small/1"
HASTY = Patience(silence_secs=0.3, pauses_secs=(0.0, 0.0))


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.close()


def reason_of(error, url, **options):
    with pytest.raises(error) as caught:
        module_folder(url, Patience(**{**vars(HASTY), **options}))
    assert type(caught.value) is error
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(url)


def test_module_is_fetched_once_for_a_machine(hub, module, packed):
    url = hub.put(PATH, packed)
    path = module_folder(url)
    assert digest_of(module) == digest_of(type(module)(path))
    assert module_folder(url) == path
    assert hub.requests == {PATH: 1}


def test_kaggle_url_is_followed_to_where_the_archive_lies(hub, module, packed):
    stored = hub.put("/storage/1.tar.gz", packed)
    url = hub.put(KAGGLE, Answer(b"", status=302, headers={"Location": stored}))
    assert digest_of(type(module)(module_folder(url))) == digest_of(module)


def test_url_of_an_archive_is_as_good(hub, module):
    url = hub.put("/mine/affine.tar.gz", archive(module, "w"))
    assert digest_of(type(module)(module_folder(url))) == digest_of(module)


@pytest.mark.parametrize("top", ["model", "a/b"])
def test_folders_around_all_files_are_left_out(hub, module, top):
    more = {"._model": b"of macOS", "__MACOSX/._x": b"of macOS"}
    url = hub.put("/mine/affine.tar.gz", archive(module, top=top, **more))
    path = module_folder(url)
    assert digest_of(type(module)(path)) == digest_of(module)
    assert module_folder(url) == path
    assert hub.requests == {"/mine/affine.tar.gz": 1}


# --- what is no module


def test_unknown_module_is_not_found(hub):
    reason = reason_of(ArtifactNotFoundError, hub.base + PATH)
    assert reason.startswith(": the hub answers HTTP 404 (Not Found), expected the tar archive of")
    assert hub.requests == {PATH: 1}


def test_module_that_is_not_public_says_what_to_do(hub):
    reason = reason_of(ArtifactError, hub.put(PATH, Answer(status=403)))
    assert "HTTP 403 (Forbidden), expected a public model; download it with an account" in reason


def test_page_in_place_of_a_model_is_called_a_page(hub):
    page = Answer(PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
    reason = reason_of(LoadError, hub.put(PATH, page))
    assert reason.startswith(": found a web page (text/html), expected the tar archive of a")


def test_anything_else_is_shown_by_its_beginning(hub):
    answer = Answer(b'{"error": "gone"}', headers={"Content-Type": "application/json"})
    reason = reason_of(LoadError, hub.put(PATH, answer))
    assert reason.startswith(""": found application/json that begins with b'{"error": "gone"}',""")


def test_damaged_archive_is_refused(hub, packed):
    damaged = packed[:200] + bytes(100) + packed[300:]
    reason = reason_of(LoadError, hub.put(PATH, damaged))
    assert reason.startswith(": found an archive that is damaged or cut off, expected")


def test_archive_of_something_else_is_refused_by_its_files(hub):
    packed = archive(None, **{"model.tflite": b"TFL3", "labels.txt": b"cat"})
    reason = reason_of(LoadError, hub.put(PATH, packed))
    assert ": found an archive without saved_model.pb (labels.txt, model.tflite), expe" in reason


@pytest.mark.parametrize("name", ["../escaped", "/../escaped", "a/../../escaped"])
def test_archive_cannot_write_outside_its_folder(hub, module, kept, name):
    packed = archive(module, **{name: b"evil"})
    reason = reason_of(LoadError, hub.put(PATH, packed))
    assert reason.startswith(
        f": its archive is refused: its file '{name}' would lie outside the fo"
    )
    assert not list(kept.parent.rglob("escaped"))


def test_archive_with_a_link_is_refused(hub, module):
    reason = reason_of(LoadError, hub.put(PATH, archive(module, link="/etc/passwd")))
    assert ": its archive is refused: 'link' is a link to '/etc/passwd'; tar packs" in reason
    assert "; expected the tar" in reason


def test_module_of_the_old_format_is_refused_with_its_url(hub, module):
    old = archive(module, **{"tfhub_module.pb": b"\x08\x03"})
    reason = reason_of(LoadError, hub.put(PATH, old))
    assert reason.startswith(" is a module of the old TF1 Hub format (it holds tfhub_module.pb)")


def test_refused_module_is_asked_for_again_at_the_next_launch(hub, packed, kept):
    url = hub.put(PATH, PAGE, packed)
    reason_of(LoadError, url)
    assert not [path for path in kept.rglob("*") if path.is_file()]
    assert module_folder(url)


# --- a hub that does not answer well


def test_hub_that_is_busy_is_asked_again(hub, packed):
    url = hub.put(PATH, Answer(status=503), Answer(status=429), packed)
    assert module_folder(url, HASTY)
    assert hub.requests == {PATH: 3}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(status=503), "the hub answers HTTP 503 (Service Unavailable)"),
        (Answer(silent=True), "no answer within 0.3 s"),
        (Answer(b"\x1f\x8b", length=9), "cut off after 2 of 9 bytes"),
    ],
    ids=["busy", "silent", "cut off"],
)
def test_hub_that_never_succeeds_is_given_up_after_all_attempts(hub, answer, expected):
    url = hub.put(PATH, answer)
    reason = reason_of(ArtifactError, url)
    assert reason == f" cannot be fetched, after 3 attempts: {expected}"
    assert hub.requests == {PATH: 3}


def test_archive_cut_off_between_two_of_its_files_is_no_whole_module(hub, module):
    whole = archive(module, "w")
    with_one_more = archive(module, "w", last=b"x")
    boundary = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    assert with_one_more[:boundary] == whole[:boundary]
    cut = Answer(with_one_more[:boundary], length=len(with_one_more))
    assert "cut off after" in reason_of(ArtifactError, hub.put(PATH, cut))


def test_hub_that_stops_in_the_middle_is_not_waited_for(hub, packed, monkeypatch):
    stop = threading.Event()

    def send_half(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(packed)))
        request.end_headers()
        request.wfile.write(packed[:100])
        request.wfile.flush()
        stop.wait(10)

    monkeypatch.setattr(hub, "answer_to", send_half)
    reason = reason_of(ArtifactError, hub.base + PATH, pauses_secs=())
    stop.set()
    assert f"nothing came for 0.3 s, after 100 of {len(packed)} bytes" in reason


def test_hub_that_is_not_there_is_named(hub):
    url = hub.base + PATH
    hub.close()
    assert "Connection refused" in reason_of(ArtifactError, url)
