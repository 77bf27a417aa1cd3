"""`release`: checked here, then published as a message or written as a manifest."""

import json
import shutil
import zipfile
from datetime import UTC, datetime

import pytest
import yaml

from pipeline.batch.block import Origin
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.releases import manifest
from pipeline.releases.candidate import Candidate
from pipeline.releases.log import ReleaseLog
from pipeline.releases.message import interpret
from pipeline.releases.state import initial_state
from pipeline.serving.files.local_files import digest_of
from tests.support import models

UNCHECKED = "--verify=false"


class Ensemble:
    """Two ONNX models with versions 1 and 2, launched with version 1."""

    def __init__(self, folder):
        self.folder = folder
        self.spec = folder / "ensemble.yaml"
        for name in ("clf", "emb"):
            for version in (1, 2):
                models.onnx_file(folder / name / str(version), scale=version)
        self.write()

    def write(self, **changes):
        data = {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [
                {
                    "name": name,
                    "framework": "onnx",
                    "uri": f"{name}/1",
                    "inputs": {"x": "x"},
                    "outputs": {"y": f"{name}_y"},
                }
                for name in ("clf", "emb")
            ],
            **changes,
        }
        self.spec.write_text(yaml.safe_dump(data))

    def uri(self, name, version):
        return str(self.folder / name / str(version))

    def version(self, name, number):
        uri = self.uri(name, number)
        return ModelVersion(name, uri, digest_of(self.folder / name / str(number)))

    def accept(self, *releases):
        """Records releases, each as {model: version}, as a job that was launched with 1 and 1."""
        log = ReleaseLog(str(self.folder / "accepted"), LogFiles())
        now = datetime.now(UTC)
        versions = {"clf": 1, "emb": 1}
        state = initial_state(self._release(1, versions), now)
        for generation, changes in enumerate(releases, start=2):
            versions |= changes
            made = self._release(generation, versions)
            candidate = Candidate(f"c{generation}", "test", generation)
            found = {name: self.version(name, number) for name, number in changes.items()}
            state = state.accept(candidate, made, now, found=found)
            log.append(state.history[-1])
        return self.folder / "accepted"

    def _release(self, generation, versions):
        return Release(generation, tuple(self.version(*item) for item in versions.items()))


@pytest.fixture
def ensemble(tmp_path):
    return Ensemble(tmp_path)


def read(path):
    return manifest.parse(path.read_text())


def test_manifest_names_every_model_with_digests_of_what_was_verified(run, ensemble, tmp_path):
    file = tmp_path / "new/12.json"
    done = run("release", ensemble.spec, "--set", "clf=clf/2", "--manifest", file)
    assert (done.status, done.out) == (0, f"wrote {file}\n")
    assert read(file) == manifest.Manifest(
        {"clf": ensemble.uri("clf", 2), "emb": ensemble.uri("emb", 1)},
        {
            "clf": ensemble.version("clf", 2).digest,
            "emb": ensemble.version("emb", 1).digest,
        },
    )


def test_models_that_are_not_set_stay_at_the_release_accepted_last(run, ensemble, tmp_path):
    folder = ensemble.accept({"emb": 2})
    file = tmp_path / "12.json"
    words = ["--set", "clf=clf/2", "--manifest", file, UNCHECKED]
    assert run("release", ensemble.spec, *words, "--release_dir", folder).status == 0
    assert read(file).models == {"clf": ensemble.uri("clf", 2), "emb": ensemble.uri("emb", 2)}
    assert read(file).digests == {}


def test_version_that_fails_its_golden_example_is_not_released(run, ensemble, tmp_path):
    example = {"inputs": {"x": [1, 2, 3, 4]}, "outputs": {"y": [0, 0, 0]}}
    (tmp_path / "clf/2/golden.jsonl").write_text(json.dumps(example))
    file = tmp_path / "12.json"
    words = ["release", ensemble.spec, "--set", "clf=clf/2", "--manifest", file]
    done = run(*words)
    assert done.status == 2
    assert "the gate would say 'rejected': model 'clf' at " in done.err
    assert "golden.jsonl line 1: output 'y' differs by" in done.err
    assert not file.exists()
    assert run(*words, UNCHECKED).status == 0


def test_broken_version_is_not_released(run, ensemble, tmp_path):
    (tmp_path / "emb/2/model.onnx").write_bytes(b"no graph")
    done = run("release", ensemble.spec, "--set", "emb=emb/2", "--manifest", tmp_path / "1.json")
    assert done.status == 2
    assert "cannot be loaded as an ONNX graph" in done.err


def test_trial_before_a_release_has_the_limits_of_the_job(run, ensemble, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))  # nothing was tried before
    words = ["release", ensemble.spec, "--set", "clf=clf/2", "--manifest", tmp_path / "1.json"]
    done = run(*words, "--trial_memory_mb=50")
    assert done.status == 2
    assert "took more than 50 MiB of memory" in done.err
    assert run(*words, "--trial_memory_mb=50", "--trial_secs=0").status == 0


def test_archive_before_a_release_has_the_limit_of_the_job(run, ensemble, tmp_path):
    uri = shutil.make_archive(str(tmp_path / "clf/9"), "zip", tmp_path / "clf/2")
    with zipfile.ZipFile(uri, "a") as archive:
        archive.writestr("notes", bytes((1 << 20) + 1))
    words = ["release", ensemble.spec, "--set", f"clf={uri}", "--manifest", tmp_path / "1.json"]
    done = run(*words, "--max_hub_model_mb=1")
    assert done.status == 2
    assert "unpacks to more than 1 MiB" in done.err


def test_limits_that_cannot_be_read_are_named_as_main_names_them(run, ensemble, tmp_path):
    words = ["release", ensemble.spec, "--set", "clf", "--manifest", tmp_path / "1.json"]
    done = run(*words, "--trial_secs=soon", "--trial_memory_mb=-1")
    assert done.status == 2
    assert done.err.splitlines()[-2:] == [
        "  --trial_secs: found 'soon', expected an integer of at least 0",
        "  --trial_memory_mb: found '-1', expected an integer of at least 0",
    ]


def test_version_older_than_what_was_accepted_is_told_before_anything_is_loaded(
    run, ensemble, tmp_path
):
    folder = ensemble.accept({"clf": 2})
    words = ["--set", "clf=clf/1", "--manifest", tmp_path / "1.json", "--release_dir", folder]
    done = run("release", ensemble.spec, *words)
    assert done.status == 2
    assert "the gate would say 'ignored': superseded by" in done.err
    assert "only a rollback goes back" in done.err
    assert "verifying" not in done.err


def test_all_mistakes_in_names_and_places_come_together(run, ensemble, tmp_path):
    other = models.onnx_file(tmp_path.parent / f"{tmp_path.name}-other/1").parent
    done = run(
        *("release", ensemble.spec, "--set", "clff=clf/2", "--set", "clf=clf/9"),
        *("--set", f"emb={other}", "--topic", "refresh", "--manifest", tmp_path),
    )
    assert done.status == 2
    assert done.err.splitlines() == [
        "Not released, 5 problems:",
        "  --set: unknown model 'clff'; did you mean 'clf'?",
        f"  --set clf: nothing is at {ensemble.uri('clf', 9)}",
        f"  --set emb: {other} is outside the folders that models may come from "
        f"({tmp_path}/clf, {tmp_path}/emb); --allowed_model_uris names others",
        "  --topic: 'refresh' is not the name of a topic, expected projects/PROJECT/topics/NAME",
        f"  --manifest: '{tmp_path}' is a folder, expected a file such as 000001.json in it",
    ]
    words = ["--set", f"emb={other}", "--manifest", tmp_path / "1.json", UNCHECKED]
    allowed = f"--allowed_model_uris=file:///a,{other.parent}"
    assert run("release", ensemble.spec, *words, allowed).status == 0
    done = run("release", ensemble.spec, *words, "--allowed_model_uris=file://host/x,/a")
    assert done.status == 2
    assert "--allowed_model_uris: found 'file://host/x', which names the machine" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--topic", "t"], "nothing to release, expected one of --set, --rollback, --rollback_to"),
        (["--rollback"], "nowhere to release to: give --release_dir, --topic or --manifest"),
        (["--rollback", "--set", "clf=x", "--topic", "t"], "found --set and --rollback, expected"),
        (["--set", "clf", "--topic", "t"], "--set: found 'clf', expected MODEL=URI"),
        (["--set", "a=b", "--set", "a=c", "--topic", "t"], "model 'a' is set twice, to b and c"),
        (["--rollback_to", "0", "--topic", "t"], "--rollback_to: found '0', expected a generation"),
        (["--rollback", "--topic", "t", "--overwrite"], "--overwrite needs --manifest"),
    ],
)
def test_arguments_that_make_no_release_are_refused(run, ensemble, words, says):
    done = run("release", ensemble.spec, *words)
    assert done.status == 2
    assert says in done.err


def test_broken_ensemble_file_is_refused(run, ensemble):
    ensemble.write(output=["z"])
    done = run("release", ensemble.spec, "--rollback", "--topic", "t")
    assert "output reads column 'z', which nothing makes" in done.err


def test_message_is_what_the_job_reads(run, ensemble, pubsub):
    topic = pubsub.new_topic()
    subscription = pubsub.new_subscription(topic)
    done = run("release", ensemble.spec, "--set", "clf=clf/2", "--topic", topic)
    assert done.status == 0
    assert run("release", ensemble.spec, "--rollback", "--topic", topic).status == 0
    assert run("release", ensemble.spec, "--rollback_to", "7", "--topic", topic).status == 0
    messages = sorted(pubsub.pull_all(subscription, 3), key=lambda m: m.publish_time)
    asked = [interpret(m.data, Origin(1, {}), source="s", models=("clf", "emb")) for m in messages]
    assert [(one.models, one.rollback_to) for one in asked] == [
        ({"clf": ensemble.uri("clf", 2)}, None),
        ({}, 0),
        ({}, 7),
    ]
    assert done.out == f"published {messages[0].data.decode()} to {topic}\n"


def test_topic_that_is_not_there_is_refused_before_anything_is_loaded(run, ensemble, pubsub):
    topic = "projects/test-project/topics/nowhere"
    done = run("release", ensemble.spec, "--set", "clf=clf/2", "--topic", topic)
    assert done.status == 2
    assert "--topic: " in done.err
    assert "nowhere" in done.err
    assert "verifying" not in done.err


def test_manifest_and_models_may_lie_in_a_bucket(run, ensemble, gcs, bucket):
    for name in ("clf", "emb"):
        for version in (1, 2):
            content = (ensemble.folder / name / str(version) / "model.onnx").read_bytes()
            gcs.upload(f"{bucket}/{name}/{version}/model.onnx", content)
    gcs.upload(f"{bucket}/ensemble.yaml", ensemble.spec.read_bytes())
    words = ["release", f"{bucket}/ensemble.yaml", "--set", f"clf={bucket}/clf/2/"]
    done = run(*words, "--manifest", f"{bucket}/r/3.json")
    assert done.status == 0, done.err
    found = manifest.parse(gcs.download(f"{bucket}/r/3.json").decode())
    assert found.models == {"clf": f"{bucket}/clf/2", "emb": f"{bucket}/emb/1"}
    done = run(*words, "--manifest", f"{bucket}/r/2.json", UNCHECKED)
    assert f"{bucket}/r/3.json beside it has a higher number" in done.err
    assert (
        f"nothing is at {bucket}/clf/9"
        in run(*words[:2], "--set", f"clf={bucket}/clf/9", "--manifest", f"{bucket}/r/4.json").err
    )


# --- rollbacks


def test_rollback_is_written_without_loading_anything(run, ensemble, tmp_path):
    folder = ensemble.accept({"clf": 2}, {"emb": 2})
    for words, expected in ((["--rollback"], 0), (["--rollback_to", "2"], 2)):
        file = tmp_path / f"rollback-{expected}.json"
        done = run("release", ensemble.spec, *words, "--manifest", file, "--release_dir", folder)
        assert done.status == 0
        assert read(file) == manifest.Manifest({}, rollback_to=expected)
        assert "verifying" not in done.err


def test_rollback_can_be_verified_too(run, ensemble, tmp_path):
    folder = ensemble.accept({"clf": 2}, {"emb": 2})
    (tmp_path / "clf/2/model.onnx").write_bytes(b"overwritten")
    words = ["--rollback", "--manifest", tmp_path / "1.json", "--release_dir", folder]
    assert run("release", ensemble.spec, *words).status == 0
    done = run("release", ensemble.spec, *words, "--verify", "--overwrite")
    assert done.status == 2
    assert "holds other files than the release was made from" in done.err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--rollback_to", "9"], 2, "generation 9 is not remembered; those to return to: 2"),
        (["--rollback_to", "3"], 2, "nothing changes: generation 3 and the current one"),
        (["--rollback_to", "1"], 2, "generation 1 is not remembered; those to return to: 2"),
    ],
)
def test_rollback_to_nothing_is_refused_as_far_as_is_known(
    run, ensemble, tmp_path, words, status, says
):
    folder = ensemble.accept({"clf": 2}, {"emb": 2})
    more = ["--manifest", tmp_path / "1.json", "--release_dir", folder]
    done = run("release", ensemble.spec, *words, *more)
    assert done.status == status, done.err
    assert says in done.err


def test_rollback_of_a_job_that_accepted_nothing_is_refused(run, ensemble, tmp_path):
    words = ["--rollback", "--manifest", tmp_path / "1.json", "--release_dir", tmp_path / "none"]
    done = run("release", ensemble.spec, *words)
    assert done.status == 2
    assert "so there is none to roll back" in done.err


# --- the file of a manifest


def test_file_that_is_there_is_replaced_only_when_told_so(run, ensemble, tmp_path):
    words = ["release", ensemble.spec, "--manifest", tmp_path / "7.json"]
    assert run(*words, "--rollback").status == 0
    done = run(*words, "--rollback_to", "3")
    assert "7.json is there already; give another name, or --overwrite" in done.err
    assert run(*words, "--rollback_to", "3", "--overwrite").status == 0
    assert read(tmp_path / "7.json").rollback_to == 3


@pytest.mark.parametrize(
    ("there", "name", "problem", "proposed"),
    [
        ("000009.json", "8.json", "000009.json beside it has a higher number", "000010.json"),
        ("9.json", "rollback.json", "by the number N in 'N'", "10.json"),
        ("v3.json", "next.json", "by the number N in 'vN'", None),
    ],
)
def test_file_that_watch_mode_would_never_propose_is_refused(
    run, ensemble, tmp_path, there, name, problem, proposed
):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / there).write_text("{}")
    words = ["release", ensemble.spec, "--rollback", "--manifest"]
    done = run(*words, tmp_path / "r" / name)
    assert done.status == 2
    assert problem in done.err
    assert ("; call it " in done.err) is (proposed is not None)
    if proposed:
        assert f"; call it {proposed}\n" in done.err
        assert run(*words, tmp_path / "r" / proposed).status == 0


def test_files_without_numbers_are_ordered_by_time_so_any_name_will_do(run, ensemble, tmp_path):
    words = ["release", ensemble.spec, "--rollback", "--manifest"]
    assert run(*words, tmp_path / "b.json").status == 0
    assert run(*words, tmp_path / "a.json").status == 0


def test_manifest_in_the_working_folder_needs_no_folder_in_its_name(
    run, ensemble, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "9.json").write_text("{}")
    assert run("release", "ensemble.yaml", "--rollback", "--manifest", "10.json").status == 0
    assert (
        "higher number" in run("release", "ensemble.yaml", "--rollback", "--manifest", "3.json").err
    )


# --- a proposal in the release folder


def proposals(folder):
    return [json.loads(file.read_text()) for file in sorted((folder / "proposals").glob("*.json"))]


def test_proposal_is_written_where_every_gate_reads_it(run, ensemble):
    folder = ensemble.accept({"clf": 2})
    words = ["release", ensemble.spec, "--release_dir", folder]
    done = run(*words, "--set", "emb=emb/2")
    assert (done.status, done.out) == (0, f"wrote {folder}/proposals/proposal-000001.json\n")
    assert "verified in" in done.err
    (proposal,) = proposals(folder)
    assert proposal["models"] == {"emb": ensemble.uri("emb", 2)}
    assert proposal["ensemble"] == ["clf", "emb"]


def test_rollback_undoes_what_serves_now_whatever_is_accepted_before_it_is_read(run, ensemble):
    folder = ensemble.accept({"clf": 2}, {"emb": 2})
    words = ["release", ensemble.spec, "--release_dir", folder]
    assert run(*words, "--rollback").status == 0
    assert [proposal["rollback_to"] for proposal in proposals(folder)] == [2]


def test_proposal_is_newer_than_what_was_accepted_whatever_the_clock_says(run, ensemble):
    folder = ensemble.accept({"clf": 2})
    file = folder / "release-000002.json"
    data = json.loads(file.read_text())
    ahead_us = 4_000_000_000_000_000  # the year 2096
    data["newest"]["emb"]["sequence_us"] = ahead_us
    file.write_text(json.dumps(data))
    done = run("release", ensemble.spec, "--release_dir", folder, "--set", "emb=emb/2", UNCHECKED)
    assert done.status == 0, done.err
    assert proposals(folder)[0]["sequence_us"] == ahead_us + 1


def test_generation_older_than_the_last_twenty_can_be_returned_to(run, ensemble):
    folder = ensemble.accept(*({"clf": 1 + number % 2} for number in range(30)))
    words = ["release", ensemble.spec, "--release_dir", folder, "--rollback_to"]
    done = run(*words, "2", "--verify")
    assert done.status == 0, done.err
    assert [proposal["rollback_to"] for proposal in proposals(folder)] == [2]
    assert "generation 99 is not remembered" in run(*words, "99").err
