"""A small demo, and a project in which the first launch finds all that it needs."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.digits import trained_digits
from tests.support.executed_jobs import IdleExecution
from tests.support.google_project import GoogleProject

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
_MOST_SECS = 400
MODELS = ("forest", "mlp")
"""Of the four: those whose frameworks load in no time."""
UNTRAINED = """
import sys
from first_launch import main
from streaming import versions
versions.train_tree = lambda path: path.write_bytes(b"a tree")
sys.exit(main())
"""


@dataclass
class Run:
    """A first launch that ended: its exit status, all that it printed, its report."""

    status: int
    printed: str
    page: str


def _hears_signals():
    """Where the tests run under nohup, processes would ignore what it ignores."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


class FirstLaunch:
    """Runs first_launch.py against a project: its `main` here, or a process that can be killed.

    Where no job serves the models, none is trained: that imports scikit-learn, for seconds.
    """

    def __init__(self, demo, bucket, project, capsys, serves):
        self.demo, self.bucket, self.project, self.capsys = demo, bucket, project, capsys
        self.program = [DIGITS / "first_launch.py"] if serves else ["-c", UNTRAINED]

    def arguments(self, *more):
        return [
            *("--project=test-project", "--region=europe-west1", f"--bucket={self.bucket}"),
            *(f"--output_dir={self.demo}", f"--endpoint={self.project.url}"),
            *("--poll_secs=0.3", "--watch_interval_secs=1", *more),
        ]

    def run(self, *more):
        from first_launch import main

        try:
            status = main(self.arguments(*more))
        except SystemExit as exit:  # of argparse
            status = exit.code
        printed = self.capsys.readouterr()
        return Run(status, printed.out + printed.err, self.page())

    def start(self, *more):
        return subprocess.Popen(
            [sys.executable, *map(str, self.program), *self.arguments(*more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(DIGITS)},
            preexec_fn=_hears_signals,
        )

    def page(self):
        """The report of the last run, which is taken away; empty if there is none."""
        pages = list((self.demo / "first-launch").glob("*.html"))
        texts = [each.read_text() for each in pages]
        for each in pages:
            each.unlink()
        return "".join(texts)

    def finish(self, process):
        try:
            printed, _ = process.communicate(timeout=_MOST_SECS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that it says where it is, and removes all
            printed, _ = process.communicate(timeout=_MOST_SECS)
        return Run(process.returncode, printed, self.page())

    def interrupt(self, process, at, number=signal.SIGINT):
        """Sends a signal when a line with `at` is printed; the run that ended by it."""
        lines = []
        for line in process.stdout:
            lines.append(line)
            if at in line:
                process.send_signal(number)
                break
        run = self.finish(process)
        return Run(run.status, "".join(lines) + run.printed, run.page)


def _smaller(spec):
    """An ensemble file with MODELS only."""
    spec["models"] = [each for each in spec["models"] if each["name"] in MODELS]
    mean, *others = spec["combine"]
    mean |= {"of": [f"{name}_proba" for name in MODELS], "weights": [1, 1]}
    dropped = ("convnet", "dense")
    spec["combine"] = [mean, *(e for e in others if not e["column"].startswith(dropped))]
    spec["output"] = [name for name in spec["output"] if not name.startswith(dropped)]
    return spec


@pytest.fixture(scope="session")
def sketch(tmp_path_factory):
    """A demo that looks as if it had been made."""
    folder = tmp_path_factory.mktemp("sketch")
    shutil.copy(DIGITS / "ensemble.yaml", folder)
    shutil.copy(DIGITS / "ensemble-streaming.yaml", folder)
    for name in ("models/forest/1/model.skops", "records/held-out-000.jsonl", "out/predictions-"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text('{"id": "digit-0001", "pixels": [0]}\nnot json\n')
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """What train.py, make_records.py and main.py leave, with two of the models."""
    trained, _ = trained_digits(tmp_path_factory)
    folder = tmp_path_factory.mktemp("first-launch")
    for name in MODELS:
        shutil.copytree(trained / "models" / name, folder / "models" / name)
    for name in ("ensemble.yaml", "ensemble-streaming.yaml"):
        spec = _smaller(yaml.safe_load((DIGITS / name).read_text()))
        (folder / name).write_text(yaml.safe_dump(spec, sort_keys=False))
    _run(DIGITS / "make_records.py", f"--output_dir={folder}")
    _run(
        DIGITS.parents[1] / "main.py",
        f"--ensemble_spec={folder}/ensemble.yaml",
        f"--input_file_pattern={folder}/records/*",
        f"--output_path={folder}/out/predictions",
        f"--dead_letter_path={folder}/out/dead-letters",
    )
    return folder


def _run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def launched(sketch, gcs, bucket, pubsub, capsys, monkeypatch):
    """Makes a first launch into a project that executes jobs so; all ends with the test."""
    template = '{"image": "europe-west1-docker.pkg.dev/test-project/ensembles/ensemble:1.2.0"}'
    gcs.upload(f"{bucket}/templates/ensemble/latest.json", template)
    projects = []
    monkeypatch.syspath_prepend(DIGITS)
    monkeypatch.setattr("streaming.versions.train_tree", lambda path: path.write_bytes(b"a tree"))

    def make(execute=lambda launch: IdleExecution(), demo=sketch):
        storage = os.environ["STORAGE_EMULATOR_HOST"]
        projects.append(GoogleProject(pubsub.address, storage, execute))
        return FirstLaunch(demo, bucket, projects[-1], capsys, serves=demo is not sketch)

    yield make
    for each in projects:
        each.__exit__(None, None, None)
