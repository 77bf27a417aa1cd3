"""A launch outlives its models, and passes over an accepted release that killed the last one."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.listing import StorageLister
from pipeline.errors import ModelError
from pipeline.launch.patterns import look_under
from pipeline.launch.versions import Beginner
from pipeline.releases.candidate import Candidate
from pipeline.releases.gate import utc_now
from pipeline.releases.launch_marks import LaunchMarks
from pipeline.releases.log import Look
from pipeline.releases.state import initial_state
from pipeline.releases.versions import WatchTarget
from pipeline.serving.files.artifacts import digest_of
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.trial import machine_memory
from tests.support.deadly import MODEL, Harm


class Launch:
    def __init__(self, folder: Path):
        self.harm = Harm(folder, cpu_secs=5, memory_mb=700)
        self.marks = LaunchMarks(str(folder / "releases"), self.harm.store)
        self.said: list[str] = []
        self.loaded: list[ModelVersion] = []

    def version(self, number):
        uri = self.harm.uri(number)
        return ModelVersion(MODEL, uri, digest_of(Path(uri)))

    def begin(self, history=(), apart=False, launch_checks="full"):
        targets = [WatchTarget(f"{self.harm.folder}/net/*", (MODEL,))]
        patterns = look_under(targets, StorageLister(), {}, self.said.append)

        def load(version):
            self.loaded.append(version)
            return self.harm.loader(version)

        manager = ReleaseManager(load)
        beginner = Beginner(
            *(self.harm.checks, manager, patterns, self.said.append, self.marks),
            apart=apart,
            launch_checks=launch_checks,
        )
        position = max((one.release.generation for one in history), default=0)
        return beginner.begin(Look(tuple(history), position))

    def accepted(self, *numbers):
        """What an earlier run accepted, beginning with the version of the launch."""
        state = initial_state(Release(1, (self.version(1),)), utc_now())
        for generation, number in enumerate(numbers, start=2):
            version = self.version(number)
            models = {MODEL: version.uri}
            candidate = Candidate(f"earlier {number}", "test", number, models=models)
            release = Release(generation, (version,))
            state = state.accept(candidate, release, utc_now(), found={MODEL: version})
        return state.history

    def heard(self, *words):
        return any(all(word in line for word in words) for line in self.said)


@pytest.fixture
def launch(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))  # nothing was tried before
    return Launch(tmp_path)


def number_of(beginning):
    return int(beginning.release.version_of(MODEL).label)


def test_version_that_kills_the_trial_is_passed_over_for_the_next(launch):
    launch.harm.put(2, "good 2")
    launch.harm.put(3, "load SIGSEGV")
    assert number_of(launch.begin()) == 2
    assert launch.heard("net/3 is passed over", "SIGSEGV")
    assert [version.label for version in launch.loaded] == ["2"]


def test_launch_that_checks_files_loads_nothing_whether_it_begins_or_resumes(launch):
    launch.harm.put(1, "good 1")
    launch.harm.put(2, "load SIGSEGV")
    assert number_of(launch.begin(apart=True, launch_checks="files")) == 2
    history = launch.accepted(2)
    assert number_of(launch.begin(history, apart=True, launch_checks="files")) == 2
    assert not launch.loaded


def test_launch_without_another_version_is_refused_with_the_death(launch):
    launch.harm.put(1, "load SIGABRT")
    with pytest.raises(ModelError, match=r"model 'net': the process .*SIGABRT"):
        launch.begin()
    assert not launch.loaded


@pytest.mark.parametrize("what", ["good 2", "load raise"])
def test_launch_of_a_service_loads_nothing_in_its_own_process(launch, what):
    launch.harm.put(2, what)
    assert number_of(launch.begin(apart=True)) == (2 if what == "good 2" else 1)
    assert not launch.loaded


def test_accepted_release_is_loaded_without_a_trial_and_leaves_no_mark(launch):
    launch.harm.put(2, "good 2")
    assert number_of(launch.begin(launch.accepted(2))) == 2
    assert not launch.heard("trial:")
    assert not launch.marks.is_left(2)


def test_accepted_release_that_killed_the_last_launch_is_passed_over_with_a_word(launch):
    launch.harm.put(2, "load SIGSEGV")
    with launch.marks.around(2):  # as a launch leaves it that dies in here
        beginning = launch.begin(launch.accepted(2))
    assert number_of(beginning) == 1
    assert launch.heard("the last launch did not come back", "generation 2")
    assert launch.heard("generation 2 cannot be resumed", "SIGSEGV")
    assert [version.label for version in launch.loaded] == ["1"]


def test_accepted_release_that_passes_its_second_trial_is_resumed(launch):
    """The last launch was killed by somebody, not by its models."""
    launch.harm.put(2, "good 2")
    with launch.marks.around(2):
        beginning = launch.begin(launch.accepted(2))
    assert number_of(beginning) == 2
    assert launch.heard("trial:")


def test_accepted_release_from_a_folder_that_is_not_allowed_is_not_resumed(launch, tmp_path):
    """As somebody may write it who can write to the release folder only."""
    launch.harm.put(2, "good 2")
    *_, last = launch.accepted(2)
    foreign = tmp_path / "elsewhere" / "3"
    foreign.parent.mkdir()
    foreign.write_text("good 3")
    version = ModelVersion(MODEL, str(foreign), digest_of(foreign))
    planted = replace(last, release=Release(2, (version,)))
    assert number_of(launch.begin([*launch.accepted(), planted])) == 1
    assert launch.heard("generation 2 cannot be resumed", str(foreign))
    assert version not in launch.loaded


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "service"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("load SIGSEGV", "was ended by SIGSEGV"),
        ("call exit", "ended with exit status 3"),
        ("load loop", "took more than 5 s of CPU time"),
        ("load memory", "took more than 700 MiB"),
    ],
)
def test_accepted_release_whose_trial_dies_is_passed_over_for_the_one_before(
    launch, apart, what, said
):
    """On a service it is tried at each launch, in one process after a launch that did not end."""
    launch.harm.put(2, what)
    with nullcontext() if apart else launch.marks.around(2):
        beginning = launch.begin(launch.accepted(2), apart=apart)
    assert number_of(beginning) == 1
    assert launch.heard("generation 2 cannot be resumed", said)
    assert launch.heard("going back to the versions of generation 1")
    assert [version.label for version in launch.loaded] == ([] if apart else ["1"])
    again = sum("it is tried once more" in line for line in launch.said)
    assert again == ("loop" in what), "what cannot be resumed is not tried as a newer version, too"


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "service"])
def test_accepted_release_that_this_machine_cannot_try_is_not_passed_over(
    launch, apart, monkeypatch
):
    launch.harm.put(2, "good 2")
    monkeypatch.setattr(machine_memory, "left_bytes", lambda: 1 << 20)
    left = nullcontext() if apart else launch.marks.around(2)
    with pytest.raises(ModelError, match="this machine cannot try it now"), left:
        launch.begin(launch.accepted(2), apart=apart)
    assert not launch.loaded
    assert not launch.heard("going back")


def test_version_that_this_machine_cannot_try_is_not_passed_over(launch, monkeypatch):
    launch.harm.put(2, "good 2")
    monkeypatch.setattr(machine_memory, "left_bytes", lambda: 1 << 20)
    with pytest.raises(ModelError, match="this machine cannot try it now"):
        launch.begin()
    assert not launch.loaded
    assert not launch.heard("passed over")
