"""README.md and docs/ tell the truth: tables are current, commands run and print what is shown."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # they train models, and run streams

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# A command, and what it prints where that is shown.
COMMANDS = re.findall(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", README, flags=re.DOTALL)
NOT_RUN_HERE = {"make test\n"}  # runs this very test


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git tracks, with this environment as its .venv."""
    folder = tmp_path_factory.mktemp("checkout")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in tracked.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # bin/ by itself, since the interpreter may not be in a folder called .venv here.
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (Path(sys.prefix) / "ready").touch()
    return folder


def test_reference_tables_are_current():
    done = subprocess.run([sys.executable, ".ci/reference.py", "--check"], cwd=ROOT)
    assert done.returncode == 0, "run `make reference`"


def test_commands_of_the_readme_run_in_their_order_and_print_what_it_shows(checkout):
    ran, groups = [], []
    try:
        for command, shown in COMMANDS:
            if command not in NOT_RUN_HERE:
                ran.append(output_of(command, shown, checkout, groups))
    finally:
        stop(groups)
    demo = ran[0]
    for part in ("ensemble", "500 predictions", "9 dead letters", "wrong_shape", "digit-"):
        assert part in demo
    report = (checkout / "build/walk/report.html").read_text()
    for part in ("rolled back", "File is not a zip file"):
        assert part in report


def output_of(command, shown, folder, groups):
    """What a command prints. It is repeated, as a reader would, until it prints what is shown.

    Its process group is added to `groups`: it may leave something running.
    """
    end = time.monotonic() + 120
    while True:
        process = subprocess.Popen(
            ["bash", "-euc", command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHON": sys.executable},
            start_new_session=True,
        )
        groups.append(process.pid)
        out, err = process.communicate()
        if not shown or without_what_differs(out) == without_what_differs(shown):
            break
        assert time.monotonic() < end, f"{command}\n{out}\n{err}"
        threading.Event().wait(0.5)
    assert process.returncode == 0, f"{command}\n{out}\n{err}"
    return out


def stop(groups):
    """Asks what is left of the process groups to end, and waits for it."""
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
            for _ in range(600):
                os.killpg(group, 0)
                threading.Event().wait(0.1)
            os.killpg(group, signal.SIGKILL)


COMMANDS_DOCUMENT = (ROOT / "docs/commands.md").read_text()
# A command, and what it prints.
EXAMPLES = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", COMMANDS_DOCUMENT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def digits(checkout):
    """The checkout, with the models and records of the digits example."""
    for script in ("train.py", "make_records.py"):
        command = [sys.executable, f"examples/digits/{script}", "--output_dir", "build/digits"]
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    return checkout


def test_commands_of_the_commands_document_print_what_it_shows(digits):
    shutil.rmtree(digits / "build/digits/proposed", ignore_errors=True)
    assert len(EXAMPLES) == COMMANDS_DOCUMENT.count("```sh\n")
    for command, shown in EXAMPLES:
        if " status " in command:
            accept_what_was_proposed(digits)
        done = subprocess.run(["bash", "-euc", command], cwd=digits, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert without_what_differs(done.stdout) == without_what_differs(shown)
    written = (digits / "build/digits/first.yaml").read_text()
    (part,) = re.findall(r"```yaml\n(.*?)```", COMMANDS_DOCUMENT, flags=re.DOTALL)
    assert part in written
    assert (digits / "build/digits/graph.svg").read_text() == (ROOT / "docs/graph.svg").read_text()


def accept_what_was_proposed(folder):
    """Runs a stream over the ensemble until it has accepted a release."""
    arguments = [
        "--ensemble_spec=build/digits/ensemble.yaml",
        "--input_file_pattern=build/digits/records/*",
        "--streaming",
        "--output_path=build/digits/stream/p",
        "--refresh_mode=watch",
        "--watch_interval_secs=1",
        "--release_pattern=build/digits/proposed/*.json",
        "--release_dir=build/digits/accepted",
        "--stop_after_secs=120",
    ]
    job = subprocess.Popen([sys.executable, "main.py", *arguments], cwd=folder)
    try:
        while not (folder / "build/digits/accepted/release-000002.json").exists():
            assert job.poll() is None, "the job ended before it accepted a release"
            threading.Event().wait(0.1)
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=60) == 0
    finally:
        job.kill()
        job.wait()


def without_what_differs(text):
    """An output without what differs from run to run and from machine to machine."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"-\d{8}T\d{6}Z-[0-9a-f]{8}\b", "-LAUNCH", text)
    text = re.sub(r"[\d.]+ (KiB|MiB)", "SIZE", text)
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", text)


def test_every_key_and_parameter_is_documented():
    from pipeline.parameters import PARAMETERS
    from pipeline.spec import ensemble
    from pipeline.spec import model as model_spec
    from pipeline.spec import record as record_spec

    documented = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for parameter in PARAMETERS:
        assert f"`--{parameter.name}`" in documented
    for model in (
        ensemble.EnsembleSpec,
        record_spec.RecordSpec,
        record_spec.FieldSpec,
        model_spec.ModelEntry,
    ):
        assert all(f"`{key}`" in documented for key in model.model_fields)
