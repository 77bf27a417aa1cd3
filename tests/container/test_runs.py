"""What the image does when it is started: as a worker, as a launcher, on a laptop."""

import gzip
import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.container.images import BOOT, LAUNCHER, ROOT, docker

README = (ROOT / "README.md").read_text()
pytestmark = pytest.mark.timeout(3600)  # the first test builds the image


def test_boot_and_launcher_of_the_official_images_are_there(shell):
    assert shell(f"test -x {BOOT} && test -x {LAUNCHER} && echo both").strip() == "both"


@pytest.mark.parametrize(
    "flags",
    [
        ["--id=1-1", "--provision_endpoint=localhost:1", "--semi_persist_dir=/var/opt/google"],
        ["--id", "X"],
        ["-id=X"],
    ],
)
def test_flags_of_a_worker_reach_boot(image, stubs, flags):
    done = docker("run", "--rm", *stubs, image, *flags)
    assert done.stdout == f"boot: {' '.join(flags)}\n"


def test_refused_launch_exits_2_and_its_reason_is_the_last_of_the_log(image, stubs):
    done = docker("run", "--rm", *stubs, image, "--ensemble_spek=x", "--output_path=/tmp/p")
    assert done.returncode == 2
    assert "--ensemble_spek is not a parameter; did you mean --ensemble_spec?" in (
        done.stderr.splitlines()[-1] + done.stderr.splitlines()[-2]
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("start", [["/template/main.py"], ["-m", "pipeline", "check", "e.yaml"]])
def test_read_only_root_without_a_temporary_folder_is_told_in_one_line(image, start):
    read_only = ["--rm", "--network=none", "--read-only", "--entrypoint=python"]
    done = docker("run", *read_only, image, *start)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "--tmpfs /tmp" in done.stderr


def test_launcher_runs_main_with_the_parameters_of_the_launch(image, stubs, digits):
    mounted = f"--volume={digits}:/data:ro"
    spec = "--ensemble_spec=/data/ensemble.yaml"
    done = docker("run", "--rm", "--network=none", *stubs, mounted, image, spec, "--dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "Ensemble 'digits'" in done.stdout


def results(folder):
    """What a run wrote: predictions by id, and the kinds of its dead letters."""
    lines = [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    predictions = {line["id"]: line["predictions"] for line in lines if "predictions" in line}
    return predictions, sorted(line["error_type"] for line in lines if "error_type" in line)


def arguments(folder):
    return [
        f"--ensemble_spec={folder}/ensemble.yaml",
        f"--input_file_pattern={folder}/records/*.jsonl*",
        f"--dead_letter_path={folder}/out/dead",
        f"--output_path={folder}/out/p",
    ]


def test_batch_run_without_a_network_predicts_what_main_predicts_outside(image, digits, tmp_path):
    (tmp_path / "out").mkdir()
    mounts = [f"--volume={digits}:/data:ro", f"--volume={tmp_path}/out:/data/out"]
    command = ["--network=none", "--entrypoint=python", image, "/template/main.py"]
    (digits / "out").mkdir(exist_ok=True)  # where the second mount goes
    inside = docker("run", "--rm", *mounts, *command, *arguments("/data"), timeout=600)
    assert inside.returncode == 0, inside.stderr
    assert "cuInit" not in inside.stderr  # of TensorFlow, in any process of the job
    subprocess.run(
        [sys.executable, ROOT / "main.py", *arguments(digits)], check=True, capture_output=True
    )
    (found, dead), (expected, expected_dead) = results(tmp_path / "out"), results(digits / "out")
    assert dead == expected_dead
    assert len(dead) == 9
    assert found.keys() == expected.keys()
    assert len(found) == sum(1 for _ in good_records(digits))
    for record_id, columns in expected.items():
        assert found[record_id]["label"] == columns["label"]
        assert found[record_id]["confidence"] == pytest.approx(columns["confidence"], rel=1e-4)


def good_records(folder):
    for file in (folder / "records").iterdir():
        data = file.read_bytes()
        for line in (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines():
            if line.startswith(b'{"id": "digit-') and line.endswith(b"}"):
                yield line


def test_block_of_the_readme_that_needs_docker_runs(image, digits, tmp_path):
    """`docker build` is what the fixture did; on this machine it needs more options than a user."""
    (block,) = re.findall(r"```bash\n# needs Docker\n(.*?)```", README, re.DOTALL)
    built, _, run = block.partition("docker run ")
    assert built == "docker build --target=cpu --tag=ensemble .\n"
    shutil.copytree(digits, tmp_path / "build/digits")
    docker("tag", image, "ensemble")
    done = subprocess.run(
        ["bash", "-euc", f"docker run {run}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, dead = results(tmp_path / "build/digits/docker")
    assert (len(found), len(dead)) == (500, 9)


def test_streaming_demo_refreshes_models_inside_the_container(image, digits):
    """Pub/Sub emulator outside, job inside; the demo itself fails when a record is lost."""
    script = [sys.executable, ROOT / "examples/digits/stream.py", f"--output_dir={digits}"]
    done = subprocess.run(
        [*script, "--through=pubsub", "--seconds=20", f"--image={image}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rolled back" in done.stdout
