"""A project of Google Cloud in which nothing is yet, as far as the set-up commands change it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT, BUCKET, REPOSITORY = "my-project", "my-bucket", "templates"
# The service that must be enabled before a group of commands works.
_SERVICES = {
    "storage": "storage",
    "artifacts": "artifactregistry",
    "compute": "compute",
    "pubsub": "pubsub",
    "iam": "iam",
    "projects": "cloudresourcemanager",
    "logging": "logging",
    "monitoring": "monitoring",
}
_ACCOUNT = re.compile(rf"(ensemble-\w+)@{PROJECT}\.iam\.gserviceaccount\.com")


def commands(recipe: str, folder: Path) -> list[list[str]]:
    """What a shell recipe calls gcloud with, in order. gcloud is a stub that notes it."""
    noted = folder / "commands"
    stub = f'gcloud() {{ printf "%q " "$@" >>{noted}; echo >>{noted}; }}\n'
    subprocess.run(["bash", "-euo", "pipefail", "-c", stub + recipe], cwd=ROOT, check=True)
    return [shlex.split(line) for line in noted.read_text().splitlines()]


@dataclass
class EmptyProject:
    """Takes commands in their order.

    Attributes:
      things: (kind, name) of what was made: service, bucket, repository, topic, subscription...
      flags: (kind, name) -> the flags that it was made with.
      roles: (who, role, on what), in the words of docs/deploy.md.
    """

    things: set[tuple[str, str]] = field(default_factory=set)
    flags: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    roles: set[tuple[str, str, str]] = field(default_factory=set)

    def run(self, words: list[str]) -> None:
        """One command of gcloud.

        Raises:
          AssertionError: it would fail: what it needs is not there, or what it makes is.
        """
        path = [word for word in words if not word.startswith("-") and word != "alpha"]
        flags = dict(word.partition("=")[::2] for word in words if word.startswith("-"))
        assert flags.get("--project", PROJECT) == PROJECT or "storage" in path, words
        if path[:2] == ["services", "enable"]:
            self.things |= {("service", name.split(".")[0]) for name in path[2:]}
            return
        service = _SERVICES[path[0]]
        assert ("service", service) in self.things, f"{service} is not enabled: {words}"
        for file in (
            value for name, value in flags.items() if name.endswith(("-file", "--policy"))
        ):
            json.loads((ROOT / file).read_text())
        if path[-2] == "add-iam-policy-binding":
            self._grant(path, flags)
        elif path[-2] == "set-cleanup-policies":
            self._needs("repository", path[-1])
        else:
            self._create(path, flags)

    def _create(self, path: list[str], flags: dict[str, str]) -> None:
        verb = path.index("create")
        kind = path[verb - 1].removesuffix("s").replace("repositorie", "repository")
        kind = kind.replace("policie", "policy")
        name = path[verb + 1] if path[verb + 1 :] else json.dumps(sorted(flags.items()))
        name = name.removeprefix("gs://")
        for needed in ("topic", "network"):
            if f"--{needed}" in flags:
                self._needs(needed, flags[f"--{needed}"])
        assert (kind, name) not in self.things, f"{kind} {name} is there already"
        self.things.add((kind, name))
        self.flags[kind, name] = flags

    def _grant(self, path: list[str], flags: dict[str, str]) -> None:
        kind = path[-3].removesuffix("s").replace("repositorie", "repository")
        name = path[-1].removeprefix("gs://")
        if kind == "project":
            assert name == PROJECT
            assert flags["--condition"] == "None"  # else gcloud may ask which one is meant
        elif kind == "service-account":
            name = _ACCOUNT.fullmatch(name)[1]
            self._needs(kind, name)
        else:
            self._needs(kind, name)
        on = {
            "project": "project",
            "bucket": "bucket",
            "repository": "repository",
            "service-account": f"{name.removeprefix('ensemble-')} account",
        }.get(kind, f"{kind} {name}")
        self.roles.add((self._member(flags["--member"]), flags["--role"], on))

    def _member(self, member: str) -> str:
        if account := _ACCOUNT.fullmatch(member.removeprefix("serviceAccount:")):
            self._needs("service-account", account[1])
            return f"{account[1].removeprefix('ensemble-')} account"
        return member.removeprefix("user:").partition("@")[0]

    def _needs(self, kind: str, name: str) -> None:
        assert (kind, name) in self.things, f"{kind} {name} is not there yet"
