"""What is refused, and what is only checked, changes nothing: not one file, folder or object.

Besides these cases, `conftest.py` looks before and after each launch that other tests see refused.
"""

import json

import pytest
import yaml

import main
from tests.support.jobs import record
from tests.support.traces import everything, objects

REFUSALS = {
    "typo in a parameter": ["--overwrit=true"],
    "typo in the input pattern": ["--input_file_pattern={base}/inn/*"],
    "typo in a number": ["--max_dead_letter_percent=lots"],
    "missing ensemble file": ["--ensemble_spec={base}/none.yaml"],
    "outputs that collide": ["--dead_letter_path={base}/out/p"],
    "output that is a folder": ["--output_path={base}/new/"],
    "report that is no page": ["--report_path={base}/out/report.txt"],
    "output in a new folder, and a typo": [
        *("--output_path={base}/new/deep/p", "--report_path={base}/pages/new/r.html"),
        *("--graph_path={base}/drawn/g.svg", "--model_cache_dir={base}/cache/new"),
        "--input_file_pattern={base}/inn/*",
    ],
    "output that is the input": ["--input_file_pattern={base}/out/p-*"],
}
SPECS = {
    "unknown key": lambda spec: spec.update(colour="blue"),
    "cycle": lambda spec: spec["models"][0].update(inputs={"X": "net_y"}),
    "missing model": lambda spec: spec["models"][0].update(uri="nowhere/1"),
    "wrong tensor": lambda spec: spec["models"][1].update(outputs={"probs": "net_y"}),
    "wrong shape": lambda spec: spec["record"]["fields"]["x"].update(shape=[5]),
}


@pytest.fixture(params=["local", "gcs"])
def place(request, job):
    """A job whose outputs of an earlier run are there, here or in a bucket: (base, look)."""
    assert job.write_input(record(0)) is None
    if request.param == "local":
        base, look = str(job.folder), lambda: everything(job.folder)
    else:
        gcs, base = request.getfixturevalue("gcs"), request.getfixturevalue("bucket")
        gcs.upload(f"{base}/in/a.jsonl", json.dumps(record(0)))
        look = lambda: (objects(gcs, base), everything(job.folder))  # noqa: E731
    arguments = [*job.arguments(base=base), f"--report_path={base}/out/r.html", "--no_auth"]
    assert main.main(arguments) == 0
    job.write_input(b"no record")
    return arguments, base, look


@pytest.mark.parametrize("how", REFUSALS)
def test_refused_launch_changes_nothing(place, how):
    arguments, base, look = place
    before = look()
    more = [argument.format(base=base) for argument in REFUSALS[how]]
    assert main.main([*arguments, "--overwrite=true", *more]) == 2
    assert look() == before


@pytest.mark.parametrize("how", SPECS)
def test_refused_ensemble_changes_nothing(place, job, how):
    arguments, _, look = place
    SPECS[how](job.spec)
    (job.folder / "ensemble.yaml").write_text(yaml.safe_dump(job.spec))
    before = look()
    assert main.main([*arguments, "--overwrite=true"]) == 2
    assert look() == before


@pytest.mark.parametrize("more", [[], ["--overwrite=true"]])
def test_dry_run_changes_nothing(place, more):
    arguments, base, look = place
    before = look()
    assert main.main([*arguments, "--dry_run", f"--output_path={base}/new/p", *more]) == 0
    assert look() == before
