"""What a URI is: of a hub, in a bucket, local; and which a job may be refreshed from."""

import pytest

from pipeline.releases.allowed_uris import AllowedUris
from pipeline.spec.uris import (
    bucket_of,
    is_hub_url,
    is_local,
    plain_path,
    plain_paths,
    split_scheme,
)


@pytest.mark.parametrize(
    ("uri", "hub"),
    [
        ("https://tfhub.dev/google/nnlm-en-dim50/2", True),
        ("http://127.0.0.1:8080/words/1", True),
        ("gs://tfhub.dev/google/nnlm-en-dim50/2", False),
        ("models/https/1", False),
        ("/models/https://x", False),
    ],
)
def test_web_addresses_are_hub_urls(uri, hub):
    assert is_hub_url(uri) is hub


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("https://tfhub.dev/google/nnlm-en-dim50/2", "https://tfhub.dev/google/nnlm-en-dim50"),
        (
            "https://www.kaggle.com/models/google/nnlm/tensorFlow2/en-dim50/1",
            "https://www.kaggle.com/models/google/nnlm/tensorFlow2/en-dim50",
        ),
        ("https://example.com/models/words.tar.gz", "https://example.com/models"),
    ],
)
def test_default_is_the_model_of_which_the_url_names_a_version(uri, folder):
    assert AllowedUris.beside([uri]).folders == (folder,)


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("https://tfhub.dev/google/words/3", True),
        ("https://tfhub.dev/google/words-of-others/3", False),
        ("https://tfhub.dev@evil.example/google/words/3", False),
        ("https://tfhub.dev.evil.example/google/words/3", False),
        ("http://tfhub.dev/google/words/3", False),
        ("https://tfhub.dev/google/words/../evil/3", False),
        ("https://tfhub.dev/google/words/%2e%2E/evil/3", False),
        ("https://tfhub.dev/google/words/..%2fevil/3", False),
        ("https://tfhub.dev/google/words/..\\evil/3", False),
    ],
)
def test_beginning_of_a_url_allows_what_a_server_would_find_below_it(uri, allowed):
    problem = AllowedUris(("https://tfhub.dev/google/words",)).problem(uri)
    assert (problem is None) is allowed


def test_escapes_mean_nothing_in_names_of_objects():
    assert AllowedUris(("gs://b/clf",)).problem("gs://b/clf/%2e%2e/7") is None


@pytest.mark.parametrize(
    ("uri", "scheme", "bucket", "local"),
    [
        ("gs://b/clf/7", "gs://", "b", False),
        ("gs://b", "gs://", "b", False),
        ("https://tfhub.dev/google/x/2", "https://", None, False),
        ("python://package.module:Class", "python://", None, False),
        ("models/clf", "", None, True),
        ("/models/clf", "", None, True),
    ],
)
def test_scheme_bucket_and_place_of_a_uri(uri, scheme, bucket, local):
    assert split_scheme(uri) == (scheme, uri.removeprefix(scheme))
    assert bucket_of(uri) == bucket
    assert is_local(uri) is local


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///data/m", "/data/m"),
        ("file://localhost/data/m", "/data/m"),
        ("file:///a%20b/%5B1%5D", "/a b/[1]"),
        ("file:///a%FF", "/a\udcff"),
        ("file:///", "/"),
        ("file:/data/m", "/data/m"),
        ("FILE://LocalHost/data/m", "/data/m"),
        ("/data/m%20", "/data/m%20"),
        ("gs://b/m%20", "gs://b/m%20"),
        ("file:x", "file:x"),
        ("file:////data//m", "/data/m"),
        ("/data//m", "/data/m"),
        ("//data/././/m/", "/data/m/"),
        ("./data/.m/*", "./data/.m/*"),
        ("data/../m", "data/../m"),  # not m, if data is a link
        ("gs://b//m/./1", "gs://b//m/./1"),  # an object of this name
        ("https://hub//m", "https://hub//m"),
    ],
)
def test_local_paths_have_one_spelling(uri, path):
    assert plain_path(uri) == path


def test_uris_of_a_list_are_read_once_each():
    uris = "file:///a%252C, gs://b/m%20,,file:///b%2Cc"
    assert plain_paths(uris) == ("/a%2C", "gs://b/m%20", "/b,c")


@pytest.mark.parametrize("uri", ["file://data/m", "file://", "file://localhost"])
def test_files_of_other_machines_are_refused(uri):
    with pytest.raises(ValueError, match="expected file:///PATH"):
        plain_path(uri)


def test_path_with_a_zero_byte_is_refused():
    with pytest.raises(ValueError, match="expected no %00"):
        plain_path("file:///a%00b")
