"""The command line as a whole: help for each command, mistakes in one message with status 2."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_module_runs_as_a_program_and_its_status_is_that_of_the_command():
    for words, status in (
        (["status", "no-such-folder"], 2),
        (["--help"], 0),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *words], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("command", ["init", "check", "release", "status", "safetensors"])
def test_help_of_each_command_has_examples_of_it(run, command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(command, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"python -m pipeline {command} " in text.partition("examples:")[2]


def test_no_command_prints_all_of_them(run):
    done = run()
    assert done.status == 2
    assert all(name in done.out for name in ("init", "check", "release", "status", "stop"))
    names = "init, check, release, status, stop, safetensors"
    assert done.err.endswith(f"  expected a command, one of {names}\n")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["relase"], "unknown command 'relase'; did you mean 'release'?"),
        (["deploy"], "unknown command 'deploy'; the commands are init, check, release, status"),
        (["--jsn", "status"], "found --jsn, expected a command first"),
        (["status"], "the following arguments are required: RELEASE_DIR"),
        (["status", "d", "--jason"], "--jason is not an option of status; did you mean '--json'?"),
        (["status", "d", "e"], "found 'e', which status has no use for"),
        (["init", "models", "--record=x"], "--record is not an option of init; did you mean '--re"),
        (["release", "e.yaml", "--set"], "--set: expected one argument"),
        (["release", "e", "--verify=perhaps"], "--verify: invalid choice: 'perhaps'"),
    ],
)
def test_mistake_is_told_in_words(run, argv, says):
    done = run(*argv)
    assert done.status == 2
    assert says in done.err
    assert "usage:" not in done.err


def test_output_that_the_terminal_cannot_show_is_no_failure(tmp_path):
    """Such as the lines of the graph, on a terminal that knows Latin letters only."""
    code = (
        "from pipeline.commands.exit_status import exit_status_of\n"
        "exit_status_of(lambda: print('■'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        env={"PYTHONIOENCODING": "latin-1", "PATH": ""},
    )
    assert (done.returncode, done.stdout) == (0, b"?\n")
