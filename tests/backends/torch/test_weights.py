"""Weights as training scripts leave them: nested, with prefixes, from wrappers, as safetensors."""

import re

import numpy as np
import pytest

from pipeline.errors import LoadError, UntrustedArtifactError
from tests.support import models
from tests.support.specs import load, model_spec

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
TWO_LAYERS = {"module": "tests.support.networks.TwoLayers"}


def spec(**changes):
    entry = {"framework": "torch", "inputs": {"x": "c"}, "outputs": {"output_0": "y"}}
    return model_spec(**{**entry, **TWO_LAYERS, **changes})


def network():
    import torch

    from tests.support.networks import TwoLayers

    torch.manual_seed(0)
    return TwoLayers().eval()


def as_it_is(made):
    return made.state_dict()


def in_data_parallel_training(made):
    import torch

    return torch.nn.DataParallel(made).state_dict()


def compiled(made):
    import torch

    return torch.compile(made).state_dict()


def compiled_in_part(made):
    import torch

    made.first = torch.compile(made.first)
    return made.state_dict()


def compiled_and_in_data_parallel_training(made):
    import torch

    return {"epoch": 3, "model": torch.nn.DataParallel(torch.compile(made)).state_dict()}


def beside_an_optimizer(made):
    import torch

    optimizer = torch.optim.Adam(made.parameters())
    made(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "best": 0.5,
        "optimizer_state_dict": optimizer.state_dict(),
        "model_state_dict": made.state_dict(),
    }


def in_a_lightning_checkpoint(made):
    import torch

    weights = {f"net.{name}": value for name, value in made.state_dict().items()}
    return {
        "epoch": 1,
        "global_step": 8,
        "pytorch-lightning_version": "2.5.0",
        "callbacks": {},
        "loops": {"fit_loop": {"state_dict": {}}},
        "lr_schedulers": [],
        "optimizer_states": [torch.optim.SGD(made.parameters()).state_dict()],
        "state_dict": weights,
    }


SAVED = (
    *(as_it_is, in_data_parallel_training, compiled, compiled_in_part),
    *(compiled_and_in_data_parallel_training, beside_an_optimizer, in_a_lightning_checkpoint),
)


@pytest.mark.parametrize("saved", SAVED, ids=lambda saved: saved.__name__)
@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".bin"])
def test_weights_are_found_however_training_saved_them(saved, suffix, tmp_path):
    import torch

    made = network()
    torch.save(saved(made), tmp_path / f"model{suffix}")
    with torch.no_grad():
        expected = made(torch.from_numpy(X)).numpy()
    found = load(tmp_path, spec()).predict({"x": X})["output_0"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("saved", [as_it_is, in_data_parallel_training, compiled])
def test_safetensors_are_read(saved, tmp_path):
    import torch
    from safetensors.torch import save_file

    made = network()
    save_file(dict(saved(made)), tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = made(torch.from_numpy(X)).numpy()
    found = load(tmp_path, spec()).predict({"x": X})["output_0"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_safetensors_without_their_package_tell_how_to_get_it(tmp_path, monkeypatch):
    import sys

    from safetensors.torch import save_file

    save_file(network().state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(LoadError, match=r"'safetensors' is needed.*pip install.*EXTRAS=transf"):
        load(tmp_path, spec())


def test_safetensors_without_a_network_are_refused_with_what_to_add(tmp_path):
    from safetensors.torch import save_file

    save_file(network().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(LoadError, match=r"a state dict.*`module: package.Class`"):
        load(tmp_path, spec(module=None))


def test_a_network_whose_own_names_look_like_wrappers_keeps_them(tmp_path):
    import torch

    weights = {f"module.{name}": tensor for name, tensor in network().state_dict().items()}
    torch.save(weights, tmp_path / "model.pt")
    keys = load(tmp_path, spec(module="tests.support.networks.Wrapped"))
    assert keys.predict({"x": X})["output_0"].shape == (5, 3)


def test_names_that_are_not_all_the_networks_are_left_to_pytorch_to_refuse(tmp_path):
    import torch

    weights = {f"net.{name}": tensor for name, tensor in network().state_dict().items()}
    torch.save({**weights, "criterion.weight": torch.ones(3)}, tmp_path / "model.pt")
    with pytest.raises(LoadError, match=r'Missing key.*"first.weight".*Unexpected key.*"net.first'):
        load(tmp_path, spec())


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"epoch": 1, "lr": 0.5}, "a dictionary (epoch, lr) with no state dict in it"),
        ([1, 2], "holds a list, not a state dict"),
    ],
)
def test_what_holds_no_weights_is_refused_with_what_to_save(saved, message, tmp_path):
    import torch

    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(LoadError, match=re.escape(message)) as refused:
        load(tmp_path, spec())
    assert "torch.save(model.state_dict(), path)" in str(refused.value)


def test_two_sets_of_weights_are_refused_and_both_named(tmp_path):
    import torch

    made = network().state_dict()
    torch.save({"state_dict": made, "state_dict_ema": made}, tmp_path / "model.pth")
    with pytest.raises(LoadError, match="state dicts under state_dict, state_dict_ema, expected"):
        load(tmp_path, spec())


def test_pickled_settings_beside_the_weights_are_refused(tmp_path):
    import torch

    made = {"state_dict": network().state_dict(), "hyper_parameters": models.Pickled()}
    torch.save(made, tmp_path / "model.ckpt")
    with pytest.raises(UntrustedArtifactError, match=r"models\.Pickled.*save only the weights"):
        load(tmp_path, spec())


def test_a_file_that_names_its_format_comes_before_one_of_weights(tmp_path):
    import torch

    models.torchscript(tmp_path)
    torch.save({}, tmp_path / "last.ckpt")
    (tmp_path / "training_args.bin").write_bytes(b"more")
    entry = {"module": None, "inputs": {"input": "c"}}
    assert load(tmp_path, spec(**entry)).predict({"input": X})["output_0"].shape == (5, 3)
