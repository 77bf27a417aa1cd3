"""The removal gets to its end, whatever the service makes of each call."""

import pytest

from tests.support.executed_jobs import IdleExecution


class Left:
    """What a run left in a project: a topic, a file, and the jobs that a test launches."""

    def __init__(self, first, gcs):
        from cloud import settings
        from cloud.dataflow import Dataflow
        from cloud.pubsub import PubSub
        from cloud.rest import Google

        self.told = settings.parse([*first.arguments(), "--poll_secs=0.01"])
        self.project = first.project
        self.rest = Google("test-project", first.project.url, sleep=lambda secs: None)
        self.gcs = gcs
        self.dataflow = Dataflow(self.rest, self.told)
        PubSub(self.rest).create_topic(self.told.topic("events"))
        gcs.upload(f"{self.told.folder}/records", "a")

    def launch(self, name):
        return self.dataflow.launch(self.told.job(name), {})

    def remove(self, launched=(), most_secs=5.0, rest=None):
        from cloud.clean_up import remove_all

        return remove_all(rest or self.rest, self.told, lambda line: None, launched, most_secs)

    def state(self, job_id):
        return self.project.jobs[job_id].execution.state().removeprefix("JOB_STATE_")

    def files_are_gone(self):
        return not [uri for uri in self.gcs.list(self.told.bucket) if "first-launch" in uri]


@pytest.fixture
def left(launched, gcs):
    return Left(launched(), gcs)


def test_jobs_that_do_not_end_are_named_and_the_rest_goes(left):
    left.project.rights.cancel_looks = 10**6
    jobs = [left.launch(name) for name in ("batch", "stream", "check")]
    reasons = " ".join(left.remove(most_secs=0.1))
    assert all(f"{job} was cancelled and lives on" in reasons for job in jobs)
    assert left.files_are_gone()


def test_jobs_are_waited_for(left):
    left.project.rights.cancel_looks = 20
    job = left.launch("stream")
    assert left.remove() == []
    assert left.state(job) == "CANCELLED"


def test_a_mistake_in_one_call_ends_nothing_else(left):
    class Odd(type(left.rest)):
        def call(self, method, url, *others, **more):
            if method == "DELETE" and "-records" in url:
                raise KeyError("odd")
            if more.get("query", {}).get("name", "").startswith("first-launch-check"):
                raise KeyError("id")
            return super().call(method, url, *others, **more)

    job = left.launch("stream")
    reasons = left.remove(rest=Odd("test-project", left.project.url), most_secs=0.3)
    assert len(reasons) == 4  # topic, subscription, and each look at the jobs
    assert left.state(job) == "CANCELLED"
    assert left.files_are_gone()


def test_job_that_cannot_be_cancelled_hides_no_other_of_its_name(left):
    """While `--update` runs two jobs have the name."""
    first, second = left.launch("stream"), left.launch("stream")
    left.project.rights.uncancellable.add(first)
    reasons = left.remove(most_secs=0.1)
    assert f"{first} cannot end now" in " ".join(reasons)
    assert left.state(second) == "CANCELLED"


def test_job_that_ends_before_it_is_cancelled_is_no_problem(left):
    job = left.launch("stream")
    left.project.jobs[job].execution.stop("JOB_STATE_DONE")
    assert left.remove(launched=[job]) == []


@pytest.mark.parametrize("hidden", [0, 3, 10**6])
def test_jobs_that_lists_do_not_show_yet_are_cancelled(left, hidden):
    """Whether they wait for a machine, the list lags, or only their ids are known."""
    job = left.launch("stream")
    left.project.jobs[job].execution = IdleExecution("JOB_STATE_QUEUED")
    left.project.rights.hidden_lists = hidden
    assert left.remove(launched=[job] if hidden > 3 else []) == []
    assert left.state(job) == "CANCELLED"


def test_who_may_not_cancel_is_told_at_once(left):
    left.launch("stream")
    left.project.rights.forbidden.add("/jobs")
    assert "is not for you" in " ".join(left.remove(most_secs=60))
    assert left.files_are_gone()
