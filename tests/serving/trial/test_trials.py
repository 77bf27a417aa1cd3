"""A release is tried in a process that may die of it, and this one goes on."""

import os
import pickle
import re
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ArtifactError, ModelError
from pipeline.serving.rehearsal.golden import Example
from pipeline.serving.rehearsal.rehearsal import rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial import machine_memory
from pipeline.serving.trial.apart import TrialCancelledError
from tests.support.deadly import Harm
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def remembered(tmp_path, monkeypatch):
    """What was tried is remembered for one test only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    return tmp_path / "user-cache"


def tried(harm, what, number=2, **options):
    uri = str(harm.put(number, what))
    fetched = harm.cache.fetch(uri)
    version = ModelVersion("net", uri, fetched.digest)
    release = Release(2, (version,))
    examples = options.pop("examples", {})
    return harm.trials(release, {version: fetched}, {version: examples or []}, **options)


@pytest.mark.parametrize("when", ["load", "call"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("SIGSEGV", "was ended by SIGSEGV"),
        ("SIGABRT", "was ended by SIGABRT"),
        ("exit", "ended with exit status 3"),
    ],
)
def test_death_of_the_trial_is_told_with_the_model_that_it_was_at(tmp_path, when, what, said):
    with pytest.raises(ModelError, match=rf"^model 'net': the process .* {said}"):
        tried(Harm(tmp_path), f"{when} {what}")


def test_panic_that_is_no_exception_is_a_problem_of_the_model(tmp_path):
    with pytest.raises(ModelError, match="index out of bounds"):
        tried(Harm(tmp_path), "load panic")


@pytest.mark.parametrize("when", ["load", "call"])
def test_loop_without_end_is_ended_after_its_cpu_time_and_tried_twice(tmp_path, when):
    said = []
    with pytest.raises(ModelError, match=r"took more than 5 s of CPU time.*--trial_secs"):
        tried(Harm(tmp_path, cpu_secs=5), f"{when} loop", say=said.append)
    assert sum("it is tried once more" in line for line in said) == 1


def test_kill_from_outside_is_tried_twice(tmp_path):
    said = []
    with pytest.raises(ModelError, match="was ended by SIGKILL"):
        tried(Harm(tmp_path), "load SIGKILL", say=said.append)
    assert sum("it is tried once more" in line for line in said) == 1


def test_memory_is_limited_and_the_limit_named(tmp_path):
    with pytest.raises(ModelError, match=r"took more than 700 MiB of memory.*--trial_memory_mb"):
        tried(Harm(tmp_path, memory_mb=700), "load memory")


@pytest.mark.parametrize("memory_mb", [0, 700])
def test_lack_of_memory_on_this_machine_is_not_the_fault_of_the_model(
    tmp_path, monkeypatch, memory_mb
):
    monkeypatch.setattr(machine_memory, "left_bytes", lambda: 600 << 20)
    said = []
    with pytest.raises(ArtifactError, match="of the 600 MiB of memory that this machine") as told:
        tried(Harm(tmp_path, memory_mb=memory_mb), "load memory", say=said.append)
    assert type(told.value) is ArtifactError, "so that the candidate may come to the gate again"
    assert str(told.value).startswith("model 'net': this machine cannot try it now")
    assert sum("it is tried once more" in line for line in said) == 1


def test_what_the_trial_started_ends_with_it(tmp_path):
    marker = "import signal; signal.pause()"

    def left():
        lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline")]
        return any(marker.encode() in line for line in lines)

    with pytest.raises(ModelError, match="SIGSEGV"):
        tried(Harm(tmp_path), "load child")
    wait_until(lambda: not left())


def test_model_that_cannot_be_loaded_there_is_refused_with_its_own_reason(tmp_path):
    with pytest.raises(ModelError, match=r"model 'net': .*of no use"):
        tried(Harm(tmp_path), "load raise")


def test_model_that_leaves_the_interpreter_is_refused_with_that_reason(tmp_path):
    with pytest.raises(ModelError, match=r"model 'net': .*SystemExit"):
        tried(Harm(tmp_path), "load sys.exit")


def test_thread_that_a_model_starts_does_not_keep_its_trial_from_ending(tmp_path):
    assert tried(Harm(tmp_path), "load thread").problems == ()


@pytest.mark.parametrize(("what", "said"), [("answers", "left no answer"), ("lines", "status 4")])
def test_what_a_model_leaves_where_the_trial_answers_is_only_read(tmp_path, what, said):
    with pytest.raises(ModelError, match=said):
        tried(Harm(tmp_path), f"call {what}")


def test_machine_without_room_for_a_trial_is_not_the_fault_of_the_model(tmp_path, monkeypatch):
    harm = Harm(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ArtifactError, match="no release can be tried on this machine"):
        tried(harm, "good 3")


def test_other_code_of_a_class_with_the_same_files_is_tried(tmp_path, monkeypatch):
    harm = Harm(tmp_path)
    assert tried(harm, "good 3") is not None
    changed = tmp_path / "changed.py"
    changed.write_text("")
    monkeypatch.setattr("pipeline.serving.trial.trials.source_of", lambda name: changed)
    assert tried(harm, "good 3") is not None


def test_answer_tells_what_a_rehearsal_in_this_process_tells(tmp_path):
    harm = Harm(tmp_path)
    answer = tried(harm, "good 3")
    version = ModelVersion("net", harm.uri(2), harm.cache.fetch(harm.uri(2)).digest)
    here = rehearse(harm.graph, Release(2, (version,)), ReleaseManager(harm.loader))
    there = answer.rehearsal
    assert (there.models, there.types, there.unknown) == (here.models, here.types, here.unknown)
    assert there.made_up == here.made_up
    assert there.columns.keys() == here.columns.keys()
    for name, column in here.columns.items():
        np.testing.assert_array_equal(there.columns[name], column)
    assert answer.problems == ()


def test_examples_are_checked_there_as_well(tmp_path):
    example = Example("golden.jsonl line 1", {"x": [1, 2, 3, 4]}, {"y": [0, 0, 0, 0]})
    answer = tried(Harm(tmp_path), "good 3", examples=[example])
    assert len(answer.problems) == 1
    assert re.match(r"model 'net' at .*golden.jsonl line 1", answer.problems[0])


def test_what_did_no_harm_is_not_tried_again_on_this_machine(tmp_path):
    harm = Harm(tmp_path)
    assert tried(harm, "good 3") is not None
    assert tried(harm, "good 3", number=5) is None
    assert tried(harm, "good 3", again=True) is not None
    assert tried(harm, "good 4") is not None


def test_what_did_harm_is_tried_again(tmp_path):
    harm = Harm(tmp_path)
    for _ in range(2):
        with pytest.raises(ModelError, match="SIGSEGV"):
            tried(harm, "load SIGSEGV")


def test_no_seconds_mean_no_trial(tmp_path):
    assert tried(Harm(tmp_path, cpu_secs=0), "load SIGSEGV") is None


def test_end_of_the_job_ends_a_trial_at_once(tmp_path):
    ends, began = threading.Event(), []

    def look(text):
        began.append(text)
        ends.set()

    with pytest.raises(TrialCancelledError):
        tried(Harm(tmp_path, cpu_secs=600), "load loop", say=look, cancelled=ends.is_set)
    assert began


def test_trials_can_be_sent_to_a_worker(tmp_path):
    harm = Harm(tmp_path)
    harm.trials = pickle.loads(pickle.dumps(harm.trials))
    assert tried(harm, "good 3").problems == ()


def test_trial_process_goes_with_the_process_that_started_it(tmp_path):
    """Killed, so that nothing can be tidied up."""
    harm = Harm(tmp_path, cpu_secs=600)
    pid = os.fork()
    if not pid:
        tried(harm, "load loop")
        os._exit(0)

    def trial():
        path = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(child) for child in path.read_text().split()] if path.exists() else []

    wait_until(trial)
    (child,) = trial()
    wait_until(lambda: b"pipeline.serving.trial" in cmdline(child))
    wait_until(lambda: "SigBlk" in status(child) and oom_score(child) == "1000")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not status(child) or "(zombie)" in status(child))


def cmdline(pid):
    return _read(pid, "cmdline").encode()


def status(pid):
    return _read(pid, "status")


def oom_score(pid):
    return _read(pid, "oom_score_adj").strip()


def _read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
