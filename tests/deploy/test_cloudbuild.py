"""cloudbuild.yaml: what Cloud Build would find wrong with it."""

import subprocess

import pytest

from tests.support import cloud_build
from tests.support.cloud_build import step


def test_file_has_no_problem():
    assert list(cloud_build.problems(cloud_build.load())) == []


def rename_substitution(build):
    build["substitutions"]["_LABEL"] = build["substitutions"].pop("_TAG")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda b: step(b, "test").update(waitfor=["check"]), "schema: "),
        (lambda b: b["options"].update(machineType="E2_HUGE"), "schema: "),
        (lambda b: b["substitutions"].update(_SCAN=True), "schema: "),
        (lambda b: step(b, "test").pop("id"), "step 2: no id"),
        (lambda b: step(b, "push").update(id="smoke"), "smoke: this id is there twice"),
        (lambda b: step(b, "build").update(waitFor=["chekc"]), "build: waits for 'chekc'"),
        (lambda b: step(b, "build").update(waitFor=["push"]), "build: waits for 'push'"),
        (rename_substitution, "options.env[0]: $_TAG is not declared"),
        (rename_substitution, "substitutions: _LABEL is not used"),
        (lambda b: b["substitutions"].update(_NEW="1"), "substitutions: _NEW is not used"),
        (lambda b: b["substitutions"].update(NEW="$PROJECT_ID"), "NEW must begin with _"),
        (lambda b: b["options"]["env"].append("A=$SHORT_SAH"), "$SHORT_SAH is not declared"),
        (lambda b: b["options"]["env"].append("A=$(date)"), "a single $ that names nothing"),
        (lambda b: b["options"].pop("dynamicSubstitutions"), "need dynamicSubstitutions"),
        (lambda b: b["options"].pop("logging"), "options: a service account"),
        (lambda b: b["options"]["env"].pop(0), "check: the script reads TAG, which nothing sets"),
        (lambda b: b.update(images=["a"]), "images: pushes only after the last step"),
        (lambda b: step(b, "push").update(args=["-c"]), "push: args and entrypoint"),
        (lambda b: step(b, "push").update(name="docker"), "push: docker has no fixed version"),
        (
            lambda b: step(b, "push").update(name="docker:latest"),
            "push: docker:latest has no fixed",
        ),
        (lambda b: step(b, "push").update(script="docker push"), "push: the script must begin"),
        (
            lambda b: step(b, "push").update(script=step(b, "push")["script"] + 'echo "$$IMAGE"'),
            "push: nothing is substituted",
        ),
        (
            lambda b: step(b, "push").update(script=step(b, "push")["script"] + 'echo "${_TAG}"'),
            "push: nothing is substituted",
        ),
    ],
)
def test_broken_file_is_found(break_it, said):
    build = cloud_build.load()
    break_it(build)
    assert [p for p in cloud_build.problems(build) if said in p], list(cloud_build.problems(build))


def test_escaped_dollar_is_no_reference():
    assert cloud_build.substituted("$$HOME ${_A}$B", {"_A": "x"}) == "$HOME x"


@pytest.mark.parametrize("name", [step["id"] for step in cloud_build.load()["steps"]])
def test_scripts_parse(name, tmp_path):
    script = tmp_path / "script"
    script.write_text(step(cloud_build.load(), name)["script"])
    subprocess.run(["bash", "-n", script], check=True)
