"""Runs the scripts of cloudbuild.yaml in a shell, with stubs for what is not on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import cloud_build

ROOT = cloud_build.FILE.parent
NAME = "us-central1-docker.pkg.dev/my-project/dataflow/ensemble"
WORKERS = f"{NAME}@sha256:{'a' * 64}"
DIGEST = f"{NAME}@sha256:{'c' * 64}"  # the launcher's, which the spec names
SPEC = "gs://my-bucket/templates/ensemble/1.2.0.json"
MANUAL = {"PROJECT_ID": "my-project", "_TAG": "1.2.0", "_BUCKET": "my-bucket"}

# Each stub answers like the program it stands for, as far as the scripts look at the answer.
GCLOUD = """
case "$*" in
  "storage ls "*)
    echo "ERROR: (gcloud.storage.ls) One or more URLs matched no objects." >&2
    exit 1 ;;
  "artifacts docker images scan "*) echo projects/my-project/locations/us/scans/1 ;;
  *list-vulnerabilities*) echo '[]' ;;
  "dataflow flex-template build "*)
    for argument; do case $argument in --image=*) image=${argument#--image=} ;; esac; done
    printf '{"image": "%s", "metadata": {"name": "Ensemble"}' "$image"
    printf ', "sdkInfo": {"language": "PYTHON"}}' ;;
esac
"""
DOCKER = f"""
case "$*" in
  *.ci/template_spec.py*) while [[ $1 != .ci/* ]]; do shift; done; exec {sys.executable} "$@" ;;
  *"pip freeze"*)
    printf '%s\\n' 'dataflow-ensemble @ file:///source' numpy==2.4.6 torch==2.13.0+cpu pip==25.0 ;;
  *template/main.py*)
    mkdir -p build/digits/out
    seq 300 >build/digits/out/predictions-00000-of-00002.jsonl
    seq 200 >build/digits/out/predictions-00001-of-00002.jsonl
    seq 9 >build/digits/out/dead-letters-00000-of-00001.jsonl ;;
  "image inspect"*-launcher) echo "{DIGEST}" ;;
  "image inspect"*) echo "other/name@sha256:{"b" * 64}"; echo "{WORKERS}" ;;
  *"-launcher -") cat >$HOME/launcher.Dockerfile ;;
esac
"""


@dataclass
class Done:
    status: int
    stdout: str
    stderr: str


@dataclass
class Workspace:
    """A folder like Cloud Build's /workspace, and a build that was started in it.

    Attributes:
      folder: the project's files, as far as scripts read them.
      given: the substitutions that the build was started with.
      build: the content of cloudbuild.yaml.
      environment: more variables for the scripts.
    """

    folder: Path
    given: dict[str, str] = field(default_factory=lambda: dict(MANUAL))
    build: cloud_build.Build = field(default_factory=cloud_build.load)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "workspace/.ci").mkdir(parents=True)
        for script in ("template_spec.py", "vulnerabilities.py"):
            shutil.copy(ROOT / ".ci" / script, self.path(".ci"))
        shutil.copy(ROOT / "accepted-vulnerabilities.txt", self.path(""))
        self.path("metadata.json").write_text('{"name": "Ensemble", "streaming": true}')
        self.stub("gcloud", GCLOUD)
        self.stub("docker", DOCKER)
        self.stub("pip", "")
        self.stub("pip-audit", "")

    def path(self, name: str) -> Path:
        return self.folder / "workspace" / name

    def stub(self, program: str, answer: str) -> None:
        """Puts a shell script in the place of `program`: it notes its arguments, then answers."""
        note = f"printf '%s\\x1f' {program} \"$@\"; printf '\\x1e'"
        calls = self.folder / "calls"
        self.script(self.folder / "bin" / program, f"{{ {note}; }} >>{calls}\n{answer}")

    def script(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{text}")
        path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """What the stubs were called with, in order: the program, then its arguments."""
        calls = self.folder / "calls"
        noted = calls.read_text() if calls.exists() else ""
        return [call.split("\x1f")[:-1] for call in noted.split("\x1e")[:-1]]

    def names(self) -> dict[str, str]:
        """What earlier steps noted for later ones."""
        lines = self.path("build/cloud/names").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def run(self, *steps: str) -> Done:
        """Runs these steps, in the order of the file, as Cloud Build does, up to one that fails."""
        by_id = {step["id"]: step for step in self.build["steps"]}
        assert set(steps) <= set(by_id)
        for step in self.build["steps"]:
            if step["id"] in steps:
                done = self._run(step)
                if done.status:
                    break
        return done

    def _run(self, step: dict[str, Any]) -> Done:
        script = self.folder / f"{step['id']}.sh"
        script.write_text(step["script"])
        script.chmod(0o755)
        done = subprocess.run(
            [script],
            cwd=self.folder / "workspace",
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                **cloud_build.environment(self.build, **self.given),
                **self.environment,
            },
            capture_output=True,
            text=True,
        )
        return Done(done.returncode, done.stdout, done.stderr)
