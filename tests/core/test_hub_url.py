"""Which URIs are those of hubs, and which of them a job may be refreshed from."""

import pytest

from pipeline.core.allowed_uris import AllowedUris
from pipeline.core.hub_url import is_hub_url


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
