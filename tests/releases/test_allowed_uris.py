"""Models are only refreshed from the folders that the ensemble names, or those that are allowed."""

import pytest

from pipeline.releases.allowed_uris import AllowedUris


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("gs://b/clf", True),
        ("gs://b/clf/7", True),
        ("gs://b/clf/deep/er/7", True),
        ("gs://b/clf-of-others/7", False),
        ("gs://b/cl", False),
        ("gs://b/clf/../secret", False),
        ("gs://bb/clf/7", False),
        ("/models/a", True),
        ("/models-b/a", False),
        ("/etc/passwd", False),
        ("models/a", False),
    ],
)
def test_folder_allows_what_lies_in_it_and_no_neighbour(uri, allowed):
    problem = AllowedUris(("gs://b/clf/", "/models")).problem(uri)
    assert (problem is None) is allowed


def test_problem_names_the_uri_the_folders_and_the_way_out():
    assert AllowedUris(("gs://b/clf", "gs://b/emb")).problem("gs://evil/7") == (
        "gs://evil/7 is outside the folders that models may come from (gs://b/clf, gs://b/emb); "
        "--allowed_model_uris names others"
    )


@pytest.mark.parametrize("folders", [(), ("",)])
def test_no_folder_allows_nothing(folders):
    assert AllowedUris(folders).problem("/models/a") is not None


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("gs://b/clf/7", "gs://b/clf"),
        ("gs://b/clf/7/model.onnx", "gs://b/clf"),
        ("gs://b/models/clf.onnx", "gs://b/models"),
        ("gs://123/model.onnx", "gs://123"),
        ("/models/forest.skops", "/models"),
        ("/7", "/"),
    ],
)
def test_default_is_the_folder_in_which_versions_of_a_model_lie(uri, folder):
    assert AllowedUris.beside([uri]).folders == (folder,)


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("gs://b/clf/*", "gs://b/clf"),
        ("gs://b/models/clf-*/model.onnx", "gs://b/models"),
        ("/models/[0-9]*", "/models"),
    ],
)
def test_watched_pattern_allows_the_folder_before_its_first_wildcard(pattern, folder):
    assert AllowedUris.beside([], [pattern]).folders == (folder,)


def test_manifests_have_folders_and_a_parameter_of_their_own():
    allowed = AllowedUris(("gs://b/releases",), "manifests", "--allowed_manifest_uris")
    assert allowed.problem("gs://b/releases/12.json") is None
    for uri in ("/etc/passwd", "gs://b/releases/../x.json", "gs://b/releases-of-others/1.json"):
        assert uri in (allowed.problem(uri) or "")
    assert "manifests may come from (gs://b/releases); --allowed_manifest_uris" in (
        allowed.problem("/etc/passwd") or ""
    )
    nowhere = AllowedUris((), "manifests", "--allowed_manifest_uris")
    assert "(none)" in (nowhere.problem("/etc/passwd") or "")
