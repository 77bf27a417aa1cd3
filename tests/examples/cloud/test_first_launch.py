"""The first launch as a user starts it; only the service is a stand-in: it runs jobs on Prism."""

import signal

import pytest

from tests.support.executed_jobs import IdleExecution, PrismExecution

TEMPLATE = "templates/ensemble/latest.json"


def made(launched, gcs, pubsub):
    """All that is still there of what runs made."""
    objects = [uri for uri in gcs.list(launched.bucket) if not uri.endswith(TEMPLATE)]
    parent = "projects/test-project"
    names = [each.name for each in pubsub.publisher.list_topics(project=parent)]
    names += [each.name for each in pubsub.subscriber.list_subscriptions(project=parent)]
    states = {job.execution.state() for job in launched.project.jobs.values()}
    running = states & {"JOB_STATE_RUNNING", "JOB_STATE_QUEUED"}
    return [*objects, *(name for name in names if "first-launch" in name), *running]


@pytest.mark.timeout(900)
def test_everything_holds_on_prism_is_reported_and_removed(
    launched, demo, gcs, pubsub, prism, tmp_path
):
    numbers = iter(range(100))
    execute = lambda launch: PrismExecution(launch, tmp_path / f"{next(numbers)}.log", prism)  # noqa: E731
    first = launched(execute, demo)

    run = first.finish(first.start())

    logs = "\n".join(path.read_text()[-2000:] for path in sorted(tmp_path.glob("*.log")))
    assert run.status == 0, run.printed + logs
    assert "Every assertion holds" in run.page
    assert run.page.count("<td>holds</td>") == 10, run.page
    assert "500 predictions of 500, 0 with other labels" in run.page
    assert "9 of 9, 0 missing, 0 that nobody expects" in run.page
    assert "models/forest/3/model.skops" in run.page
    assert "generation 3 before and after" in run.page
    assert "1m2.5s" in run.page
    assert "min 1, mean 57, max 200" in run.page
    assert made(first, gcs, pubsub) == []
    assert first.project.refusals == []
    roles = {
        b["role"] for each in first.project.grants.values() for b in each["policy"]["bindings"]
    }
    assert roles == {"roles/pubsub.publisher", "roles/pubsub.subscriber", "roles/pubsub.viewer"}


def test_job_that_fails_ends_the_run_with_its_last_words_and_all_is_removed(launched, gcs, pubsub):
    first = launched(lambda launch: IdleExecution("JOB_STATE_FAILED"))
    run = first.run()
    assert run.status == 1
    assert "failed: the job was launched | nothing was done" in run.page
    assert "min 1, mean 57, max 200" in run.page
    environment = first.project.requests[0].body["launchParameter"]["environment"]
    assert environment["additionalExperiments"] == ["max_workflow_runtime_walltime_seconds=3300"]
    assert "<td>not reached</td>" in run.page
    assert made(first, gcs, pubsub) == []


def test_job_that_ends_as_nobody_expects_ends_the_run(launched, gcs, pubsub):
    for end in ("CANCELLED", "DRAINED"):
        first = launched(lambda launch, end=end: IdleExecution(f"JOB_STATE_{end}"))
        run = first.run()
        assert run.status == 1
        assert f"ended as JOB_STATE_{end}, which is not expected: the job was" in run.page
        assert made(first, gcs, pubsub) == []


def test_figures_that_cannot_be_had_hide_neither_the_cause_nor_each_other(launched):
    first = launched(lambda launch: IdleExecution("JOB_STATE_FAILED"))
    first.project.rights.forbidden |= {"/metrics", "/v2/entries"}
    run = first.run()
    assert run.status == 1
    assert "failed: the job was launched | nothing was done" in run.page
    assert run.page.count("is not for you") == 8
    assert "JOB_STATE_FAILED: the job was" in run.page  # the check's


@pytest.mark.parametrize(
    ("at", "number"), [("launching", signal.SIGTERM), ("the stream", signal.SIGHUP)]
)
def test_all_is_removed_when_somebody_interrupts(launched, gcs, pubsub, at, number):
    first = launched()
    run = first.interrupt(first.start(), at, number)
    assert run.status == 1, run.printed
    assert "interrupted" in run.page
    assert made(first, gcs, pubsub) == []


def test_all_is_removed_when_nobody_reads_any_more_what_it_prints(launched, gcs, pubsub):
    """As where `| tee log` gets the Ctrl-C, too."""
    first = launched()
    process = first.start()
    next(line for line in process.stdout if "the stream" in line)
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(200) == 1
    assert "interrupted" in first.page()
    assert made(first, gcs, pubsub) == []


def test_what_a_killed_run_left_is_removed_by_its_name(launched, gcs, pubsub):
    first = launched()
    run = first.interrupt(first.start(), "the stream", signal.SIGKILL)
    assert made(first, gcs, pubsub)
    name = run.printed.split()[1].rstrip(":")
    assert first.run(f"--remove={name}").status == 0
    assert made(first, gcs, pubsub) == []


def test_what_cannot_be_removed_is_named_and_the_rest_is_removed(launched, gcs, pubsub):
    first = launched(lambda launch: IdleExecution("JOB_STATE_FAILED"))
    first.project.rights.undeletable.add("-refresh")
    run = first.run()
    assert run.status == 1
    assert "-refresh" in run.page
    assert {name.rpartition("-")[2] for name in made(first, gcs, pubsub)} == {"refresh"}
    first.project.rights.undeletable.clear()
    name = run.printed.partition("make first-launch-remove RUN=")[2].split()[0]
    assert first.run(f"--remove={name}").status == 0
    assert made(first, gcs, pubsub) == []


def test_minutes_and_dollars_end_a_run(launched, gcs, pubsub):
    first = launched()
    run = first.run("--max_minutes=0.02")
    assert (run.status, "--max_minutes=0.02 are over" in run.page) == (1, True)
    assert made(first, gcs, pubsub) == []
    first.project.rights.vcpu_seconds = 1e6
    run = first.run()
    assert (run.status, "--max_usd=5 is used up" in run.page) == (1, True)
    assert made(first, gcs, pubsub) == []
