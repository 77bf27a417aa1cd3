"""A job without a gate starts with what another job's gate accepted, and writes nothing."""

from dataclasses import replace

import pytest

from pipeline.batch.release import ModelVersion
from pipeline.errors import ModelError
from pipeline.launch.release import begin_following
from pipeline.launch.versions import Beginner
from pipeline.releases.log import Look
from pipeline.releases.state import Accepted
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager
from tests.launch.test_versions import Launch


class Following(Launch):
    """Launches that only follow."""

    def beginner(self, models=("clf", "emb")):
        self.manager = ReleaseManager(self.loader, timing=Timing(retry_secs=()))
        return Beginner(self.checks, self.manager, (), self.said.append)

    def follow(self, history=()):
        position = max((one.release.generation for one in history), default=0)
        known = {one.release.generation: one for one in history}
        return begin_following(self.beginner(), Look(tuple(history), position), known.get)


@pytest.fixture
def launch(tmp_path):
    return Following(tmp_path)


def test_newest_release_of_the_log_serves_whatever_the_ensemble_file_and_the_folders_have(launch):
    launch.put("clf", 2, 3, 9)
    found = launch.follow(launch.accepted(2, 3, "back"))
    assert (found.release.generation, launch.numbers(found)) == (4, {"clf": 2, "emb": 1})
    assert launch.heard("following the releases of another job, from generation 4 on")


def test_release_that_another_launch_made_serves_too(launch):
    launch.put("clf", 7)
    versions = (launch.ensemble.version("clf", 7), launch.ensemble.version("emb", 1))
    made = replace(launch.ensemble.launch, versions=versions)
    state = launch.accepted()[-1]
    found = launch.follow([replace(state, release=made)])
    assert launch.numbers(found) == {"clf": 7, "emb": 1}


def test_release_that_cannot_be_loaded_here_is_passed_over_for_the_one_before(launch):
    launch.put("clf", 2, 3)
    history = launch.accepted(2, 3)
    launch.loader.fail.add(launch.ensemble.version("clf", 3).digest)
    found = launch.follow(history)
    assert (found.release.generation, launch.numbers(found)["clf"]) == (2, 2)
    assert launch.heard("generation 3 cannot be served here: ")


def test_release_from_where_no_model_may_come_is_passed_over(launch, tmp_path):
    launch.put("clf", 2)
    outside = ModelVersion("clf", f"{tmp_path.parent}/elsewhere/1", "d")
    stolen = replace(launch.accepted(2)[-1].release, generation=3)
    stolen = replace(stolen, versions=(outside, launch.ensemble.version("emb", 1)))
    history = [*launch.accepted(2), Accepted(stolen, launch.accepted()[0].time, returns_to=2)]
    assert launch.numbers(launch.follow(history))["clf"] == 2


def test_log_without_any_release_lets_the_ensemble_file_decide_below_every_generation(launch):
    found = launch.follow()
    assert (found.release.generation, launch.numbers(found)) == (0, {"clf": 1, "emb": 1})
    assert launch.heard("has no release of these models yet")


def test_release_that_was_rolled_back_from_is_never_taken(launch):
    launch.put("clf", 2, 3)
    history = launch.accepted(2, 3, "back")
    launch.loader.fail.add(launch.ensemble.version("clf", 2).digest)
    found = launch.follow(history)
    assert (found.release.generation, launch.numbers(found)["clf"]) == (1, 1)
    launch.loader.fail.add(launch.ensemble.version("clf", 1).digest)
    with pytest.raises(ModelError, match="rolled back from are not taken") as caught:
        launch.follow(history)
    assert len(caught.value.problems) == 3


def test_release_of_another_ensemble_in_the_same_folder_is_not_returned_to(launch):
    launch.put("clf", 2)
    first, last = launch.accepted(2)
    launch.loader.fail.add(launch.ensemble.version("clf", 2).digest)
    other = replace(first.release, versions=first.release.versions[:1])
    with pytest.raises(ModelError, match="can serve neither the last release"):
        launch.follow([replace(first, release=other), last])


def test_launch_is_refused_where_no_release_of_the_log_can_be_served(launch):
    launch.put("clf", 2)
    history = launch.accepted(2)
    for number in (1, 2):
        launch.loader.fail.add(launch.ensemble.version("clf", number).digest)
    with pytest.raises(ModelError, match="can serve neither the last release") as caught:
        launch.follow(history)
    assert len(caught.value.problems) == 3
