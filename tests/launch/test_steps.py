"""What steps need from outside, files and packages, is there at launch or refused."""

import json
import sys

import pytest
import yaml

from pipeline.errors import SpecError
from pipeline.launch.job import read_graph

SPEC = {
    "name": "e",
    "record": {"fields": {"word": {"dtype": "string"}, "file": {"dtype": "bytes"}}},
    "models": [
        {
            "name": "a",
            "framework": "onnx",
            "uri": "a",
            "inputs": {"x": "made"},
            "outputs": {"y": "y"},
        }
    ],
}
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
}


def read(folder, files=None, **step):
    for name, content in (files or {}).items():
        (folder / name).write_text(content)
    (folder / "e.yaml").write_text(
        yaml.safe_dump({**SPEC, "prepare": [{"column": "made", **step}]})
    )
    return read_graph(str(folder / "e.yaml"))


def problem(*args, **step):
    with pytest.raises(SpecError) as error:
        read(*args, **step)
    return str(error.value)


def test_labels_and_tokenizers_are_read_into_the_spec(tmp_path):
    made = read(tmp_path, {"l.txt": "b\na\n"}, op="one_hot", of="word", file="l.txt")
    assert made.prepare[0].labels == ("b", "a")
    assert made.types["made"] == ("float32", (2,))
    text = json.dumps(TOKENIZER)
    made = read(tmp_path, {"t.json": text}, op="tokenize", of="word", file="t.json")
    assert made.prepare[0].tokenizer == text


@pytest.mark.parametrize("content", ["", "[1, 'a'", '["a", 1]', "a\na"])
def test_file_without_labels_is_refused(tmp_path, content):
    shown = problem(tmp_path, {"l.txt": content}, op="one_hot", of="word", file="l.txt")
    assert shown.startswith(f"{tmp_path}/e.yaml: prepare step 'made': {tmp_path}/l.txt")


def test_missing_and_wrong_tokenizer_are_refused(tmp_path):
    shown = problem(tmp_path, op="tokenize", of="word", file="t.json")
    assert shown == (f"{tmp_path}/e.yaml: prepare step 'made': '{tmp_path}/t.json' does not exist")
    shown = problem(tmp_path, {"t.json": "{}"}, op="tokenize", of="word", file="t.json")
    assert "prepare step 'made' (tokenize) cannot read its tokenizer.json" in shown


def test_missing_package_names_the_step_and_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    shown = problem(tmp_path, op="decode_image", of="file")
    assert "prepare step 'made' (decode_image) needs the package 'pillow'" in shown
    assert shown.endswith("pip install pillow")
    assert "\n" not in shown
