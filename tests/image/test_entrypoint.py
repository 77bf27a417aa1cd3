"""The entrypoint of the image, run with programs that only say that they were called."""

import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[2] / ".ci/image/entrypoint"

WORKER_FLAGS = [
    "--id=1-1",
    "--provision_endpoint=localhost:1",
    "--control_endpoint=localhost:2",
    "--logging_endpoint=localhost:3",
    "--artifact_endpoint=localhost:4",
    "--worker_pool",
    "--worker_pool=true",
    "-id=1-1",
    "-worker_pool",
]


@pytest.fixture
def start(tmp_path):
    """Starts the entrypoint with arguments; the lines that came out, program first."""

    def start(*args, **env):
        for name in ("boot", "launcher", "python"):
            program = tmp_path / name
            program.write_text(
                f'#!/bin/sh\nprintf "%s\\n" {name} "$@"\nexit "${{STATUS_{name}:-0}}"\n'
            )
            program.chmod(0o755)
        env = {
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "BEAM_BOOT": str(tmp_path / "boot"),
            "TEMPLATE_LAUNCHER": str(tmp_path / "launcher"),
            **env,
        }
        return subprocess.run([ENTRYPOINT, *args], env=env, capture_output=True, text=True)

    return start


@pytest.mark.parametrize("flag", WORKER_FLAGS)
def test_any_flag_of_a_worker_starts_boot_with_all_arguments_as_they_came(start, flag):
    others = ["--semi_persist_dir=/tmp/a b", "--x=*", ""]
    assert start(*others, flag).stdout.split("\n")[:-1] == ["boot", *others, flag]


@pytest.mark.parametrize("args", [["--id", "1-1"], ["-control_endpoint", "localhost:2"]])
def test_value_of_a_flag_may_be_the_next_argument(start, args):
    assert start(*args).stdout.split() == ["boot", *args]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--ensemble_spec=gs://b/e.yaml", "--output_path=gs://b/a b"],
        ["--id_field=id", "--identity=x", "ensemble_spec=--id=1", "id=1", "id", "-", "--"],
    ],
    ids=["no arguments", "template parameters", "look like worker flags"],
)
def test_everything_else_starts_the_launcher_with_all_arguments_as_they_came(start, args):
    assert start(*args).stdout.split("\n")[:-1] == ["launcher", *args]


@pytest.mark.parametrize(("args", "program"), [(["--id=1"], "boot"), ([], "launcher")])
def test_exit_status_is_that_of_the_program(start, args, program):
    assert start(*args, **{f"STATUS_{program}": "3"}).returncode == 3


@pytest.mark.parametrize("variable", ["BEAM_BOOT", "TEMPLATE_LAUNCHER"])
def test_program_takes_the_place_of_the_shell_so_that_a_signal_reaches_it(tmp_path, variable):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho $$\n")
    program.chmod(0o755)
    args = ["--id=1"] if variable == "BEAM_BOOT" else []
    with subprocess.Popen(
        [ENTRYPOINT, *args], env={variable: str(program)}, stdout=subprocess.PIPE, text=True
    ) as started:
        assert int(started.communicate()[0]) == started.pid


def test_devices_are_checked_before_boot_and_only_on_workers_that_ask_for_it(start):
    check = ["python", "/template/check_image.py"]
    assert start("--id=1", CHECK_DEVICES_AT_START="1").stdout.split() == [*check, "boot", "--id=1"]
    assert start("--id=1").stdout.split() == ["boot", "--id=1"]
    assert start("--x=1", CHECK_DEVICES_AT_START="1").stdout.split() == ["launcher", "--x=1"]


def test_failed_check_of_devices_is_told_and_keeps_no_worker_from_starting(start):
    done = start("--id=1", CHECK_DEVICES_AT_START="1", STATUS_python="1")
    assert done.stdout.split()[-2:] == ["boot", "--id=1"]
    assert "starting anyway" in done.stderr
    assert done.returncode == 0
