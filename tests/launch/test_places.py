"""A job that would write among what it reads, or read what it writes, is refused."""

import os

import pytest
import yaml

import main
from pipeline.launch.checks import path_problems
from pipeline.launch.options import parse
from tests.support.jobs import record


@pytest.fixture
def refused(job, capsys):
    """Runs the job with more options; returns the problems, after a look that nothing changed."""

    def run(*more):
        job.write_input(record(0))
        told = []
        for how in ((), ("--dry_run",)):
            status = main.main([*job.arguments(*more), *how])
            shown = capsys.readouterr().err
            assert status == 2, shown
            assert not (job.folder / "out").exists()
            told.append(shown[shown.index("Not started") :])
        assert told[0] == told[1], "a dry run is refused for the same"
        return told[0]

    return run


@pytest.mark.parametrize(
    ("parameter", "name"),
    [("output_path", "p"), ("dead_letter_path", "p"), ("report_path", "p.html")],
)
def test_output_that_the_input_pattern_would_match_is_refused(job, refused, parameter, name):
    shown = refused(f"--{parameter}={job.folder}/in/{name}")
    assert f"--{parameter}: a file such as '{job.folder}/in/p" in shown
    assert f"is what --input_file_pattern ('{job.folder}/in/*') reads" in shown
    assert shown.count("--input_file_pattern") == 1, "its default dead letters are not told again"


def test_output_beside_input_of_another_ending_is_written(job):
    job.write_input(record(0))
    pattern, prefix = f"{job.folder}/in/a*.jsonl", f"{job.folder}/in/p"
    assert job.run(f"--input_file_pattern={pattern}", f"--output_path={prefix}") == 0
    assert len(list(job.input.glob("p-0*"))) == 1


def test_stream_whose_pattern_covers_its_output_is_refused(job, refused):
    shown = refused("--streaming=true", f"--output_path={job.folder}/in/p", "--stop_after_secs=5")
    assert "would read its own output as records" in shown


def test_overwriting_the_only_file_that_is_read_is_refused(job, refused):
    """A pattern without wildcards matches no name that files of this run would get."""
    earlier = job.input / "p-00001-of-00007.jsonl"
    job.write_input(record(0), name=earlier.name)
    shown = refused(
        *(f"--input_file_pattern={earlier}", f"--output_path={job.input}/p", "--overwrite=true")
    )
    assert f"would delete 1 files that --input_file_pattern reads, {earlier} the first" in shown
    assert earlier.exists()


def test_links_and_dots_do_not_hide_that_two_places_are_one(job, refused):
    (job.folder / "link").symlink_to(job.input)
    assert "--input_file_pattern" in refused(f"--output_path={job.folder}/link/p")
    assert "--input_file_pattern" in refused(f"--output_path={job.folder}/other/../in/p")
    beside = os.path.relpath(job.input)
    assert "--input_file_pattern" in refused(f"--output_path={beside}/p")


def test_output_among_the_files_of_a_model_is_refused(job, refused):
    uri = job.spec["models"][1]["uri"]
    shown = refused(f"--output_path={uri}/p")
    assert f"is what the `uri` of model 'net' ('{uri}') reads: the model's files would ch" in shown


def test_output_among_watched_versions_is_refused(job, refused):
    job.spec["models"][1]["watch"] = str(job.folder / "versions/*")
    shown = refused(f"--report_path={job.folder}/versions/page.html")
    assert "`watch` of model 'net'" in shown
    assert "would be taken for a new version" in shown


def test_output_in_the_release_folder_is_refused(job, refused):
    shown = refused(
        f"--release_dir={job.folder}/releases/", f"--output_path={job.folder}/releases/p"
    )
    assert "only the job's releases may be there" in shown


@pytest.mark.parametrize(
    ("parameter", "name"), [("graph_path", "g.svg"), ("release_dir", "releases")]
)
def test_whatever_else_a_job_writes_is_compared_with_what_it_reads(job, refused, parameter, name):
    pattern = f"--input_file_pattern={job.input}/**"
    shown = refused(f"--{parameter}={job.input}/{name}", pattern)
    assert f"--{parameter}: a file such as '{job.input}/{name}" in shown
    uri = job.spec["models"][1]["uri"]
    assert "the `uri` of model 'net'" in refused(f"--{parameter}={uri}/{name}")


def test_release_folder_that_would_be_watched_for_releases_is_refused(job, refused):
    shown = refused(
        "--streaming=true",
        "--refresh_mode=watch",
        f"--release_dir={job.folder}/releases",
        f"--release_pattern={job.folder}/releases/*.json",
    )
    assert "is what --release_pattern" in shown


def test_output_that_would_replace_the_ensemble_file_is_refused(job, refused):
    (job.folder / "e.svg").write_text(yaml.safe_dump(job.spec))
    path = f"{job.folder}/e.svg"
    shown = refused(f"--ensemble_spec={path}", f"--graph_path={path}")
    assert f"is what --ensemble_spec ('{path}') reads" in shown


def test_two_outputs_in_one_place_are_refused(job, refused):
    events = f"--release_events_path={job.folder}/out/p"
    assert "the --output_path as well" in refused(events)
    shown = refused(f"--dead_letter_path={job.folder}/out/p")
    assert "the --output_path as well" in shown


def test_objects_in_a_bucket_are_compared_too(job, gcs, refused):
    bucket = gcs.new_bucket()
    gcs.upload(f"{bucket}/in/a.jsonl", b'{"id": 0, "x": [1, 2, 3, 4]}\n')
    shown = refused(f"--input_file_pattern={bucket}/in/**", f"--output_path={bucket}/in/deep/p")
    assert f"is what --input_file_pattern ('{bucket}/in/**') reads" in shown
    assert gcs.list(bucket) == [f"{bucket}/in/a.jsonl"]


PLACES = {
    "input_file_pattern": "",
    "output_path": "",
    "dead_letter_path": "",
    "report_path": ".html",
    "graph_path": ".svg",
    "model_cache_dir": "",
    "release_pattern": "*.json",
    "release_dir": "",
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("scheme", ["hdfs://", "s3://", "ftp://"])
def test_place_in_a_storage_that_nobody_here_knows_is_refused(name, scheme, tmp_path):
    given = {"ensemble_spec": "e.yaml", "input_file_pattern": f"{tmp_path}/in*"}
    given |= {"output_path": f"{tmp_path}/out", "dead_letter_path": f"{tmp_path}/dead"}
    given |= {name: f"{scheme}a/b{PLACES[name]}"}
    arguments = [f"--{key}={value}" for key, value in given.items()]
    refresh = ["--refresh_mode=watch"] if "release" in name else []
    (problem,) = [
        p
        for p in path_problems(parse([*arguments, "--streaming=true", *refresh]).settings)
        if p.startswith(f"--{name}: ")
    ]
    assert f"{scheme}" in problem
    assert "expected a local" in problem
    assert "one in Cloud Storage (gs://)" in problem
    assert ("create a file only where there is none" in problem) == (name == "release_dir")
