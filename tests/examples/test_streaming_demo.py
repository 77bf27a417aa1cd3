"""The streaming demo as a user runs it, short; and its accounts, which must not be lenient."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.digits import trained_digits

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def run_script(name: str, *arguments: object, **environment: str):
    command = [sys.executable, DIGITS / name, *arguments]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=os.environ | environment
    )


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The folder with trained models and records."""
    output_dir = tmp_path_factory.mktemp("streaming")
    folder, _ = trained_digits(tmp_path_factory)
    shutil.copytree(folder / "models", output_dir / "models")
    shutil.copy(DIGITS / "ensemble-streaming.yaml", output_dir)
    result = run_script("make_records.py", "--output_dir", output_dir)
    assert result.returncode == 0, result.stderr
    return output_dir


@pytest.fixture(scope="session", params=[pytest.param("folder", marks=pytest.mark.long), "pubsub"])
def played(request, digits):
    """A short run: its folder, and what it printed. The README plays through a folder."""
    through = ("--through", request.param, "--seconds", 6)
    result = run_script("stream.py", "--output_dir", digits, *through)
    assert result.returncode == 0, result.stdout + result.stderr
    return digits / {"folder": "streaming"}.get(request.param, request.param), result.stdout


def lines_of(folder: Path):
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.open("rb")]


def test_every_release_serves_and_its_label_tells_the_forest_that_did(played):
    right = {}
    for prediction in lines_of(played[0] / "predictions"):
        release, outputs = prediction["release"], prediction["predictions"]
        found = outputs["forest_label"] == prediction["pass_through"]["digit"]
        right.setdefault((release["generation"], release["models"]["forest"]), []).append(found)

    assert set(right) == {(1, "1"), (2, "2"), (3, "1")}
    accuracy = {generation: sum(found) / len(found) for (generation, _), found in right.items()}
    assert accuracy[2] > 0.9 > accuracy[1] + 0.05
    assert accuracy[2] > 0.9 > accuracy[3] + 0.05


def test_better_forest_is_accepted_corrupt_one_rejected_with_reason_and_all_rolled_back(played):
    folder, printed = played
    events = sorted(lines_of(folder / "release-events"), key=lambda event: event["time"])
    verdicts = [e for e in events if "candidate" in e and e["event"] != "ignored"]
    told = re.findall(r" s  (?:demo|models)  +(\w+:? \w+)", printed)

    assert [e["event"] for e in verdicts] == ["accepted", "rejected", "rolled_back"]
    assert "models/forest/3/model.skops" in verdicts[1]["reason"]
    assert [text for text in told if not text.startswith("activated")] == [
        "the forest",
        "version 2",
        "accepted as",
        "version 3",
        "rejected: model",
        "roll back",
        "rolled back",
        "no more",
    ]


def test_no_record_is_lost(played):
    folder, printed = played
    predicted = Counter(line["id"] for line in lines_of(folder / "predictions"))
    dead_letters = lines_of(folder / "dead-letters")

    sent = int(re.search(r"records sent +([\d,]+)", printed)[1].replace(",", ""))
    assert sent > 500
    assert predicted.total() + len(dead_letters) >= sent
    assert f"All {sent:,} records sent came out" in printed
    assert len({letter["error_message"] for letter in dead_letters}) > 5


def test_picture_and_page_are_written_and_the_page_needs_no_other_file(played):
    picture = (played[0] / "report.png").read_bytes()
    page = (played[0] / "report.html").read_text()

    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height) > (1000, 700)
    sources = re.findall(r"(?:src|href)=\"([^\"]{0,22})", page)
    assert sources == ["data:image/png;base64,"]
    assert "rejected: model" in page


def test_neither_main_nor_the_emulator_is_left_running(played):
    folder, _ = played
    arguments = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            arguments.append((process / "cmdline").read_bytes())

    assert not [some for some in arguments if str(folder).encode() in some]
    if (log := folder / "emulator.log").exists():
        port = re.search(r"--port=(\d+)", log.read_text())[1]
        assert not [some for some in arguments if f"--port={port}".encode() in some]


@pytest.fixture
def account_of(monkeypatch):
    """Makes an account of records that were sent, by their ids; None is a broken line."""
    monkeypatch.syspath_prepend(DIGITS)
    from streaming.account import Account
    from streaming.feed import Record

    def make(*ids):
        account = Account()
        account.send(Record(f"record {record_id}".encode(), record_id) for record_id in ids)
        return account

    return make


def dead_letter(payload: str):
    return json.dumps({"payload": payload, "payload_encoding": "utf-8"}).encode()


BROKEN = dead_letter("record None")


@pytest.mark.parametrize(
    ("predictions", "dead_letters", "verdict"),
    [
        ([b'{"id": "a"}', b'{"id": "b"}'], [BROKEN, BROKEN], "all 4 .* each once"),
        ([b'{"id": "a"}', b'{"id": "b"}'], [BROKEN] * 3, "all 4 .* 1 of them more than once"),
        ([b'{"id": "a"}', b'{"id": "a"}'], [BROKEN, BROKEN], "NOT BALANCED.* 1 never came out"),
        ([b'{"id": "a"}', b'{"id": "b"}'], [BROKEN], "NOT BALANCED.* 1 never came out"),
        ([b'{"id": "a"}'], [BROKEN, BROKEN, dead_letter("record b")], "all 4 .* each once"),
        (
            [b'{"id": "a"}', b'{"id": "b"}', b'{"id": "?"}'],
            [BROKEN] * 2,
            "1 came out that were not",
        ),
    ],
)
def test_account_tells_lost_repeated_and_unknown_records(
    account_of, predictions, dead_letters, verdict
):
    account = account_of("a", "b", None, None)

    found = account.audit(predictions, dead_letters)

    assert re.search(verdict, found.verdict())
    assert found.is_balanced == (not re.search("NOT BALANCED|not sent", found.verdict()))


def test_missing_emulator_ends_the_demo_with_how_to_get_it(tmp_path):
    for needed in ("models/dense/1", "records"):
        (tmp_path / needed).mkdir(parents=True)

    result = run_script("stream.py", "--output_dir", tmp_path, "--through", "pubsub", PATH="")

    assert result.returncode == 1
    assert "gcloud components install beta pubsub-emulator" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_models_end_the_demo_with_how_to_train_them(tmp_path):
    result = run_script("stream.py", "--output_dir", tmp_path)

    assert result.returncode == 1
    assert f"train.py --output_dir {tmp_path}" in result.stderr
    assert "Traceback" not in result.stderr
