"""`status`: what a job accepted, newest first, and what serves."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.gate import EVERY_BUILD
from pipeline.releases.log import ReleaseLog
from pipeline.releases.orders.proposals import ProposalFolder
from pipeline.releases.state import initial_state

BEGIN = datetime(2026, 11, 22, 9, 13, 44, 275_000, tzinfo=UTC)


def release(generation, clf, emb=1):
    versions = {"clf": clf, "emb": emb}
    return Release(
        generation,
        tuple(ModelVersion(m, f"gs://b/{m}/{v}", f"digest {v}") for m, v in versions.items()),
    )


def written(folder):
    """A job that was launched with clf 1, accepted 2 and 3, went back, and changed emb."""
    log = ReleaseLog(str(folder), LogFiles())
    state = initial_state(release(1, 1), BEGIN)
    steps = [
        (
            release(2, 2),
            Candidate("a", "watch gs://b/clf/*", 1, models={"clf": "gs://b/clf/2"}),
            None,
        ),
        (release(3, 3), Candidate("b", "event projects/p/subscriptions/s", 2), None),
        (release(4, 2), Candidate("c", "event projects/p/subscriptions/s", 3, rollback_to=0), 2),
        (release(5, 2, emb=7), Candidate("d", "watch gs://b/r/*.json", 4), None),
    ]
    for i, (accepted, candidate, back_to) in enumerate(steps, start=1):
        target = back_to and next(a for a in state.history if a.release.generation == back_to)
        state = state.accept(candidate, accepted, BEGIN + timedelta(hours=i), target=target)
        log.append(state.history[-1])
    return state


def test_table_shows_each_release_with_time_changes_and_origin_the_current_one_first(run, tmp_path):
    state = written(tmp_path)
    done = run("status", tmp_path)
    assert done.status == 0
    ids = [a.release.release_id for a in state.history[1:]]
    sub = "event projects/p/subscriptions/s"
    assert done.out.splitlines() == [
        "   generation  accepted (UTC)       release       changes       proposed by",
        f"*           5  2026-11-22 13:13:44  {ids[3]}  emb 1 -> 7    watch gs://b/r/*.json",
        f"            4  2026-11-22 12:13:44  {ids[2]}  clf 3 -> 2    rollback to 2, {sub}",
        f"            3  2026-11-22 11:13:44  {ids[1]}  clf 2 -> 3    {sub}",
        f"            2  2026-11-22 10:13:44  {ids[0]}  clf 2, emb 1  watch gs://b/clf/*",
        "",
        "Generation 5, which serves:",
        "  clf  gs://b/clf/2",
        "  emb  gs://b/emb/7",
    ]


def test_json_has_uris_digests_changes_and_candidates(run, tmp_path):
    written(tmp_path)
    done = run("status", tmp_path, "--json", "--last=2")
    newest, before = json.loads(done.out)["releases"]
    assert (newest["generation"], newest["current"], newest["accepted"]) == (
        5,
        True,
        "2026-11-22T13:13:44Z",
    )
    assert newest["models"]["emb"] == {
        "version": "7",
        "uri": "gs://b/emb/7",
        "digest": "digest 7",
    }
    assert newest["changes"] == {"emb": {"from": "gs://b/emb/1", "to": "gs://b/emb/7"}}
    assert (before["rollback"], before["returned_to"]) == (True, 2)
    # What the last one shown changed is known although the one before it is not shown.
    assert before["changes"] == {"clf": {"from": "gs://b/clf/3", "to": "gs://b/clf/2"}}
    assert before["candidate"]["rollback_to"] == 0


def test_releases_in_a_bucket_are_shown_too(run, gcs, bucket):
    written(f"{bucket}/releases")
    done = run("status", f"{bucket}/releases/", "--last", "1")
    assert done.status == 0
    assert "*           5" in done.out


def test_damaged_file_is_passed_over_and_said_so(run, tmp_path, caplog):
    written(tmp_path)
    (tmp_path / "release-000005.json").write_text("{")
    done = run("status", tmp_path)
    assert "*           4" in done.out
    assert "release-000005.json is passed over" in caplog.text


def test_overwritten_version_is_told_from_another_one(run, tmp_path):
    log = ReleaseLog(str(tmp_path), LogFiles())
    versions = [ModelVersion("clf", "gs://b/clf/2", digest) for digest in ("one", "other")]
    state = initial_state(Release(1, (versions[0],)), BEGIN)
    for generation, version in enumerate((versions[0], versions[1]), start=2):
        state = state.accept(Candidate("x", "watch", 1), Release(generation, (version,)), BEGIN)
        log.append(state.history[-1])
    assert "clf 2 overwritten" in run("status", tmp_path).out


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_folder_without_releases_is_a_mistake(run, tmp_path, folder):
    done = run("status", tmp_path / folder)
    assert done.status == 2
    assert done.err.startswith("No status.\n  found no accepted release in '")


def test_missing_bucket_and_bad_number_are_named(run, gcs):
    done = run("status", "gs://no-such-bucket/releases")
    assert done.status == 2
    assert "no-such-bucket" in done.err
    assert "--last: found 'many', expected an integer" in run("status", "d", "--last=many").err


def test_last_proposals_are_shown_with_what_became_of_each(run, tmp_path):
    written(tmp_path)
    files = LogFiles()
    log, folder = (
        ReleaseLog(str(tmp_path), files),
        ProposalFolder(str(tmp_path), files, ("clf", "emb")),
    )
    folder.propose(BEGIN, 1, models={"clf": "gs://b/clf/9"})
    folder.propose(BEGIN, 2, models={}, rollback_to=2)
    decided = folder.read("proposal-000001.json")
    log.record(ReleaseEvent("rejected", BEGIN, decided, reason="it is empty"), EVERY_BUILD)
    shown = run("status", tmp_path).out
    assert "  proposal-000001.json  clf gs://b/clf/9: rejected: it is empty\n" in shown
    assert "  proposal-000002.json  rollback to 2: waits for a gate\n" in shown
    made = json.loads(run("status", tmp_path, "--json").out)["proposals"]
    assert [one["outcome"] for one in made] == ["rejected", None]
