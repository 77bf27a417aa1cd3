"""Pickled weights become safetensors that load as they did; other pickles are refused."""

import json
from pathlib import Path

import pytest

from tests.support import models

INDEX = "pytorch_model.bin.index.json"


@pytest.fixture
def folder(tmp_path):
    """A folder with a configuration, and a network that ties two of its weights."""
    import torch
    import transformers

    path = models.bert_classifier(tmp_path)
    (path / "model.safetensors").unlink()
    config = transformers.AutoConfig.from_pretrained(path)
    torch.manual_seed(3)
    network = transformers.BertForMaskedLM(config)
    torch.save(network.state_dict(), path / "pytorch_model.bin")
    return path


def assert_loads_alike(folder, state):
    import torch
    import transformers

    made, told = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    assert not told["missing_keys"]
    assert made.state_dict().keys() == state.keys()
    for name, tensor in made.state_dict().items():
        torch.testing.assert_close(tensor, state[name])


def unpickled(folder):
    import torch

    return torch.load(folder / "pytorch_model.bin", weights_only=True)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_converted_weights_are_those_of_the_pickle_tied_ones_too(run, folder):
    done = run("safetensors", str(folder))
    assert done.status == 0, done.err
    assert done.out == f"wrote {folder / 'model.safetensors'}\n"
    assert_loads_alike(folder, unpickled(folder))
    modes = {(folder / f).stat().st_mode for f in ("model.safetensors", "pytorch_model.bin")}
    assert len(modes) == 1, "who could read the pickle can read the weights"
    again = run("safetensors", str(folder))
    assert again.status == 2
    assert "has model.safetensors already" in again.err


def in_two_files(folder):
    """The weights of a folder, which are put into two files with an index."""
    import torch

    state = unpickled(folder)
    (folder / "pytorch_model.bin").unlink()
    weight_map = {}
    for number in (1, 2):
        part = f"pytorch_model-0000{number}-of-00002.bin"
        some = dict(list(state.items())[number - 1 :: 2])
        torch.save(some, folder / part)
        weight_map |= dict.fromkeys(some, part)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return state


def test_weights_in_several_files_keep_their_index(run, folder):
    state = in_two_files(folder)
    done = run("safetensors", str(folder))
    assert done.status == 0, done.err
    assert "model-00002-of-00002.safetensors" in names(folder)
    assert_loads_alike(folder, state)


def test_run_that_was_killed_between_two_files_is_repeated(run, folder):
    state = in_two_files(folder)
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"of the run before")
    done = run("safetensors", str(folder))
    assert done.status == 0, done.err
    assert_loads_alike(folder, state)


def test_other_safetensors_are_not_mixed_with_those_that_are_written(run, folder):
    in_two_files(folder)
    (folder / "model-00001-of-00003.safetensors").write_bytes(b"of somebody")
    done = run("safetensors", str(folder))
    assert done.status == 2
    assert "has model-00001-of-00003.safetensors already" in done.err


def test_layers_in_folders_of_the_folder_are_converted(run, folder):
    import torch

    (folder / "2_Dense").mkdir()
    torch.save({"linear.weight": torch.ones(2, 2)}, folder / "2_Dense/pytorch_model.bin")
    assert run("safetensors", str(folder)).status == 0
    assert (folder / "2_Dense/model.safetensors").is_file()


def test_folder_of_which_one_layer_failed_goes_on_there(run, folder):
    import torch

    layer = folder / "2_Dense"
    layer.mkdir()
    torch.save([1], layer / "pytorch_model.bin")
    assert run("safetensors", str(folder)).status == 2
    whole = (folder / "model.safetensors").read_bytes()
    torch.save({"linear.weight": torch.ones(2, 2)}, layer / "pytorch_model.bin")
    done = run("safetensors", str(folder))
    assert done.status == 0, done.err
    assert done.out == f"wrote {layer / 'model.safetensors'}\n"
    assert (folder / "model.safetensors").read_bytes() == whole


class Trap:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def trap(folder):
    import torch

    torch.save({"weight": Trap(folder.parent / "sprung")}, folder / "pytorch_model.bin")


def plain_list(folder):
    import torch

    torch.save([torch.ones(1)], folder / "pytorch_model.bin")


def checkpoint(folder):
    import torch

    torch.save({"epoch": 3, "weight": torch.ones(1)}, folder / "pytorch_model.bin")


def empty(folder):
    (folder / "pytorch_model.bin").write_bytes(b"")


def cut(folder):
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-500])


def gone(folder):
    (folder / "pytorch_model.bin").unlink()


def index_of(part):
    def write(folder):
        (folder / "pytorch_model.bin").unlink()
        (folder / INDEX).write_text(json.dumps({"weight_map": {"weight": part}}))

    return write


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (trap, "holds a pickled"),
        (plain_list, "holds a list, expected weights by their names"),
        (checkpoint, "holds something else than tensors by their names: epoch"),
        (empty, "pytorch_model.bin is empty"),
        (cut, "cannot be loaded as pickled weights"),
        (gone, "has no pytorch_model.bin and no pytorch_model.bin.index.json; it holds "),
        (index_of("../x.bin"), "names weights in '../x.bin', expected a .bin file in its folder"),
        (index_of("part.bin"), "part.bin is missing"),
    ],
)
def test_what_is_no_weights_is_refused_and_leaves_nothing(run, folder, damage, says):
    damage(folder)
    before = names(folder)
    done = run("safetensors", str(folder))
    assert done.status == 2
    assert done.err.startswith("Nothing converted.\n")
    assert says in done.err
    assert names(folder) == before
    assert not (folder.parent / "sprung").exists()


def test_folder_that_is_not_on_this_machine_is_refused(run):
    done = run("safetensors", "gs://bucket/bert")
    assert done.status == 2
    assert "is not a folder on this machine" in done.err
