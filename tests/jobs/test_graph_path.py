"""`--graph_path`: the graph as a picture, from a dry run and from a real one."""

import xml.etree.ElementTree as ElementTree

import main
from tests.support.jobs import record


def test_dry_run_draws_the_graph_with_versions_and_types(job, capsys):
    path = job.folder / "new/graph.svg"
    assert main.main([job.arguments()[0], "--dry_run", f"--graph_path={path}"]) == 0
    shown = "".join(ElementTree.parse(path).getroot().itertext())
    for text in ("linear", "sklearn, version 1", "onnx, version 2", "x float32[4]", "top int64"):
        assert text in shown
    assert f"drew the graph to {path}" in capsys.readouterr().err
    assert not (job.folder / "out").exists()


def test_run_draws_the_graph_too_and_replaces_an_older_picture(job):
    job.write_input(record(0))
    path = job.folder / "graph.svg"
    path.write_text("older")
    assert job.run(f"--graph_path={path}") == 0
    assert path.read_text().startswith("<svg")
    assert len(job.predictions()) == 1


def test_picture_in_a_bucket_is_an_svg_to_browsers(job, gcs, bucket):
    uri = f"{bucket}/pictures/graph.svg"
    assert main.main([job.arguments()[0], "--dry_run", f"--graph_path={uri}", "--no_auth"]) == 0
    assert gcs.download(uri).startswith(b"<svg")
    assert gcs.content_type(uri) == "image/svg+xml"
    assert gcs.list(f"{bucket}/pictures") == [uri]


def test_place_that_cannot_be_written_is_refused_before_any_model_is_loaded(job, capsys):
    (job.folder / "file").write_text("")
    arguments = [job.arguments()[0], "--dry_run", f"--graph_path={job.folder}/file/graph.svg"]
    assert main.main(arguments) == 2
    said = capsys.readouterr().err
    assert f"--graph_path: output '{job.folder}/file/graph.svg' cannot be written" in said
    assert "loading" not in said


def test_folder_in_the_place_of_the_picture_is_refused(job, capsys):
    (job.folder / "graph.svg").mkdir()
    arguments = [job.arguments()[0], "--dry_run", f"--graph_path={job.folder}/graph.svg"]
    assert main.main(arguments) == 2
    assert f"--graph_path: {job.folder}/graph.svg cannot be written: " in capsys.readouterr().err
