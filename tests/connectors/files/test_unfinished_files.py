"""What a batch job has not finished, or left when it was killed, is no file of records."""

import pytest

from pipeline.connectors.files.watched import listing
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.temporary_folder import new_folder

PATTERNS = ["**", "*/*", "p.tmp-*/*", "*.tmp-*/**"]


@pytest.fixture
def place(tmp_path):
    """A folder with one finished file and one of a job that was killed."""
    left = new_folder(f"{tmp_path}/out/p")
    for path in (f"{tmp_path}/out/day/p.jsonl", f"{left}/0123.jsonl"):
        paths.write_text(path, "{}\n", "application/json")
    return f"{tmp_path}/out", left


def names(files, base):
    return {file.path.removeprefix(f"{base}/") for file in files}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_pattern_matches_what_is_unfinished(place, pattern):
    base, _ = place
    finished = {"day/p.jsonl"} if "tmp" not in pattern else set()
    assert names(listing.list_files(f"{base}/{pattern}"), base) == finished
    if finished:
        assert names(paths.match_input(f"{base}/{pattern}"), base) == finished
    else:
        with pytest.raises(paths.PathError, match="matches no file"):
            paths.match_input(f"{base}/{pattern}")


def test_who_names_the_folder_gets_what_is_in_it(place):
    left = place[1]
    assert names(paths.match_input(f"{left}/*"), left) == {"0123.jsonl"}
    assert names(listing.list_files(f"{left}/*"), left) == {"0123.jsonl"}
    assert names(listing.list_files(left), left) == {"0123.jsonl"}


def test_in_a_bucket_too(gcs):
    bucket = gcs.new_bucket()
    left = new_folder(f"{bucket}/out/p")
    gcs.upload(f"{bucket}/out/day/p.jsonl", b"{}")
    gcs.upload(f"{left}/0123.jsonl", b"{}")
    for found in (paths.match_input(f"{bucket}/out/**"), listing.list_files(f"{bucket}/out/**")):
        assert names(found, bucket) == {"out/day/p.jsonl"}
