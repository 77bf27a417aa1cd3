"""Refreshes embedder and classifier together, under a stream of reviews.

    python examples/sentiment/stream.py --output_dir build/sentiment

starts main.py on a folder that is watched, drops reviews into it, and after a while one manifest
that names version 2 of both models. At the end it shows how often each generation was right: a
review that met the embedder of one generation and the classifier of the other would show. It takes
about half a minute. The exit status is 0 only if no review was lost.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REVIEWS_PER_FILE, FILE_SECS, PATIENCE_SECS = 20, 0.25, 120


def arguments(made: Path, folder: Path) -> list[str]:
    """Of main.py."""
    return [
        f"--ensemble_spec={made}/ensemble.yaml",
        "--streaming=true",
        f"--input_file_pattern={folder}/in/*.jsonl",
        f"--output_path={folder}/out/predictions",
        f"--release_events_path={folder}/out/release-events",
        "--output_file_secs=1",
        "--refresh_mode=watch",
        "--watch_interval_secs=1",
        f"--release_pattern={folder}/releases/*.json",
    ]


def put(path: Path, text: str) -> None:
    """Writes a file that nobody sees half of: under another name first."""
    path.with_name(f".{path.name}").write_text(text)
    path.with_name(f".{path.name}").rename(path)


def predictions(folder: Path) -> Iterator[dict[str, Any]]:
    """What is in finished files so far."""
    for file in folder.glob("out/predictions-2*.jsonl"):
        yield from map(json.loads, file.read_text().splitlines())


def feed(made: Path, folder: Path, job: subprocess.Popen[bytes]) -> int:
    """Drops reviews, the manifest amid them, until the second release has served for a while.

    Returns:
      how many reviews were dropped.
    """
    lines = (made / "reviews.jsonl").read_text().splitlines()
    manifest = {"models": {n: str(made / "models" / n / "2") for n in ("embedder", "classifier")}}
    manifest_at = more = None
    give_up_at = time.monotonic() + PATIENCE_SECS
    for number in range(10**6):
        first = number * REVIEWS_PER_FILE % len(lines)
        some = lines[first : first + REVIEWS_PER_FILE]
        put(folder / "in" / f"{number:05d}.jsonl", "".join(f"{line}\n" for line in some))
        time.sleep(FILE_SECS)
        if job.poll() is not None or time.monotonic() > give_up_at:
            sys.exit(f"main.py does not go on; its words are in {folder}/main.log")
        served = {line["release"]["generation"] for line in predictions(folder)}
        if manifest_at is None and 1 in served and number > 20:
            manifest_at = number
            put(folder / "releases" / "2.json", json.dumps(manifest))
            print("version 2 of both models is announced in one manifest", flush=True)
        if more is None and 2 in served:
            more = number + 20
            print("generation 2 serves", flush=True)
        if number == more:
            return (number + 1) * REVIEWS_PER_FILE
    raise AssertionError("a stream ends before that")


def wait_for(sent: int, folder: Path) -> None:
    """Waits until all reviews are in finished files: a stream that stops reads no further ones."""
    give_up_at = time.monotonic() + PATIENCE_SECS
    while sum(1 for _ in predictions(folder)) < sent and time.monotonic() < give_up_at:
        time.sleep(FILE_SECS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where make.py wrote")
    made = parser.parse_args().output_dir.resolve()
    if not (made / "reviews.jsonl").exists():
        sys.exit(f"{made}/reviews.jsonl is missing: run examples/sentiment/make.py first")
    folder = made / "streaming"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("in", "releases", "out"):
        (folder / name).mkdir(parents=True)
    command = [sys.executable, str(ROOT / "main.py"), *arguments(made, folder)]
    with (folder / "main.log").open("wb") as log:
        job = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            sent = feed(made, folder, job)
            wait_for(sent, folder)
            job.send_signal(signal.SIGTERM)
            status = job.wait(timeout=PATIENCE_SECS)
        finally:
            job.kill()
    by_models: dict[str, list[bool]] = {}
    for line in predictions(folder):
        models = line["release"]["models"]
        who = f"embedder {models['embedder']}, classifier {models['classifier']}"
        said = line["predictions"]["sentiment"] == "positive"
        by_models.setdefault(who, []).append(said == (line["pass_through"]["stars"] > 3))
    for who, right in sorted(by_models.items()):
        print(f"{who}: {len(right):,} reviews, {sum(right) / len(right):.0%} right")
    lost = sent - sum(map(len, by_models.values()))
    print(f"{sent:,} reviews sent, {lost} lost")
    sys.exit(1 if lost or status else 0)


if __name__ == "__main__":
    main()
