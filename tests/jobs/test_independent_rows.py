"""A job gives each record what its model gives it alone, or says that it does not."""

import pickle

import pytest

import main
from pipeline.launch import files as launch_files
from pipeline.launch import job as launch
from pipeline.launch import options
from tests.support.jobs import record


@pytest.fixture
def own(job):
    """The job with one model, a class of `tests.support.steps`."""

    def with_class(name, **more):
        job.spec["models"] = [
            {
                "name": "own",
                "framework": "python",
                "uri": f"tests.support.steps:{name}",
                "inputs": {"x": "x"},
                "outputs": {"y": "y"},
                **more,
            }
        ]
        job.spec |= {"combine": [], "output": ["y"]}
        return job

    return with_class


def test_model_whose_rows_depend_on_each_other_is_refused_and_runs_where_it_is_meant(own, capsys):
    job = own("Centred")
    job.write_input(*(record(i, (i, 1, 2, 3)) for i in range(5)))
    assert job.run() == 2
    refused = capsys.readouterr().err
    assert "model 'own' gives rows other outputs in other company: output 'y'" in refused
    assert "set `independent_rows: false` on the model" in refused
    own("Centred", independent_rows=False)
    assert job.run() == 0
    assert len(job.predictions()) == 5


def test_first_records_show_what_made_up_rows_do_not(own, capsys):
    job = own("CentredAbove100")
    job.write_input(*(record(i, (i, 1, 2, 3)) for i in range(5)))
    assert job.run() == 0
    job.write_input(*(record(i, (200 + i, 1, 2, 3)) for i in range(5)))
    assert job.run("--overwrite") == 2
    assert "of row 3 is" in capsys.readouterr().err


def test_batch_job_fails_where_later_records_show_it_and_leaves_no_predictions(own, capsys):
    job = own("CentredAbove100")
    small = [record(i, (1, 2, 3, i % 7)) for i in range(20)]
    large = [record(i, (200 + i, 1, 2, 3)) for i in range(20, 1400)]
    job.write_input(*small, *large)
    assert job.run("--max_batch_size=2") == 1
    told = capsys.readouterr().err
    assert (
        "model 'own' version tests.support.steps:CentredAbove100 gives a row something else alone"
        in told
    )
    assert not job.predictions()


def test_batch_job_of_one_batch_fails_too(own, capsys):
    job = own("CentredAbove100")
    small = [record(i, (1, 2, 3, i % 7)) for i in range(5)]
    job.write_input(*small, *(record(i, (200 + i, 1, 2, 3)) for i in range(5, 500)))
    assert job.run() == 1
    assert "3 of the last 3 rows" in capsys.readouterr().err
    assert not job.predictions()


def test_dry_run_shows_that_rows_are_not_compared(own, capsys):
    job = own("Centred", independent_rows=False)
    job.write_input(record(0))
    assert job.run("--dry_run") == 0
    assert "independent_rows: false, so its rows are not compared" in capsys.readouterr().out


def test_model_that_takes_records_but_no_made_up_rows_passes_the_check_and_runs(own, capsys):
    job = own("Prices")
    job.write_input(*(record(i, (200 + i, 3, 2, 3)) for i in range(5)))
    assert job.run("--dry_run") == 0
    assert job.run() == 0
    assert len(job.predictions()) == 5


def test_check_without_records_says_that_the_rows_are_made_up(own, capsys):
    job = own("Prices")
    assert main.main([job.arguments()[0], "--dry_run"]) == 2
    assert "fails on made-up rows" in capsys.readouterr().err


@pytest.fixture
def sampled(job):
    """What the launch takes of records with so many values each."""

    def sample(*values, length):
        job.spec["record"]["fields"]["x"]["shape"] = [length]
        job.write_input(*(record(i, [value] * length) for i, value in enumerate(values)))
        settings = options.parse(job.arguments()).settings
        return launch_files.sample(
            settings.inputs, launch.read_graph(settings.models.ensemble_spec)
        )

    return sample


def test_sample_is_three_records_that_differ(sampled):
    assert sampled(1, 1, 2, 3, 4, length=2)["x"].tolist() == [[1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize(("length", "rows"), [(80_000, 3), (100_000, 2), (200_000, 0)])
def test_sample_is_small_since_each_step_carries_it(sampled, length, rows):
    found = sampled(1, 2, 3, 4, length=length)
    assert len(found.get("x", ())) == rows
    assert len(pickle.dumps(found)) <= 2**20


def test_one_record_is_no_sample(sampled):
    assert sampled(1, 1, length=2) == {}
