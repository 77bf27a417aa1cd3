"""TorchScript that could read or write files is refused before PyTorch reads it."""

import re
import zipfile
from pathlib import Path

import pytest

from pipeline.backends.torch.script_archive import check_code
from pipeline.errors import UntrustedArtifactError
from tests.support import models
from tests.support.networks import Writes
from tests.support.specs import load, model_spec

SPEC = {"framework": "torch", "inputs": {"x": "x"}, "outputs": {"output_0": "y"}}


def saved(network, path):
    import torch

    torch.jit.save(torch.jit.script(network), path)
    return path


@pytest.fixture
def archive(tmp_path):
    """Writes a network's archive in which code was changed by a function of its text."""

    def write(change, **members):
        source = models.torchscript(tmp_path / "plain")
        path = tmp_path / "changed.pt"
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                text = old.read(name)
                new.writestr(name, change(text.decode()) if name.endswith(".py") else text)
            root = old.namelist()[0].partition("/")[0]
            for name, content in members.items():
                new.writestr(f"{root}/{name}", content)
        return path

    return write


@pytest.fixture
def writes(tmp_path):
    """Networks that write or read files, and where they write."""
    import torch

    marker = tmp_path / "marker"

    class InForward(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.path = str(marker)

        def forward(self, x):
            torch.save(x, self.path)
            return x

    class Reads(torch.nn.Module):
        def forward(self, x):
            return x + torch.from_file("/etc/hostname", shared=False, size=0)

    class Below(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = InForward()

        def forward(self, x):
            return self.inner(x)

    return marker, [InForward(), Writes(str(marker)), Reads(), Below()]


def test_networks_that_touch_files_are_refused_before_they_are_loaded(writes, tmp_path):
    marker, networks = writes
    for each in networks:
        path = saved(each, tmp_path / "net.pt")
        marker.unlink(missing_ok=True)
        with pytest.raises(
            UntrustedArtifactError, match=r"calls (save|from_file) \(line \d+.*`trusted: true`"
        ):
            load(path, model_spec(**SPEC))
        assert not marker.exists()


def test_trusted_networks_may_touch_files(tmp_path):
    marker = tmp_path / "marker"
    path = models.torchscript_that_writes(tmp_path, marker)
    load(path, model_spec(**{**SPEC, "inputs": {"input": "x"}}, trusted=True))
    assert marker.exists()


def test_attribute_with_the_name_of_an_operator_is_none(tmp_path):
    import torch

    class Yolo(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.save = [4, 6]

        def forward(self, x):
            return x

    path = tmp_path / "net.pt"
    saved(Yolo(), path)
    with zipfile.ZipFile(path) as file:
        assert any(b"save :" in file.read(name) for name in file.namelist())
    check_code(path)


HIDDEN = [
    'torch.save(x, "a")',
    'x.save("a")',
    '("a").from_file(False, 4)',
    "f = torch.save",
    "torch . save",
    "ops.aten.save",
    'ops.image.read_file("a")',
    "ops.debugprims.load_tensor",
    "o = ops",
    'getattr(ops, "image")',
    'getattr(x, "save")("a")',
    'getattr(x, "s\\141ve")("a")',
    'getattr(x, "sa" "ve")("a")',
    "getattr(x, 'save')('a')",
    'getattr(x, """save""")("a")',
    'torch.add("""a"b""", torch.save(x, """c"d"""))',
    "c = __torch__.torch.classes",
    "t = __torch__",
    "__torch__.torch.classes.torchvision.Video",
    "a = 1 # comment",
    "\uff53ave",
]


@pytest.mark.parametrize("statement", HIDDEN)
def test_ways_to_name_an_operator_are_seen(statement, archive):
    def change(code):
        return code.replace("    return ", f"    {statement}\n    return ", 1)

    path = archive(change)
    with pytest.raises(UntrustedArtifactError, match=r"line \d+ of"):
        check_code(path)


def test_code_is_found_as_pytorch_finds_it(archive):
    with pytest.raises(UntrustedArtifactError, match=r"line 1 of code/__torch__/More\.PY"):
        check_code(archive(str, **{"code/__torch__/More.PY": "torch.save(x)"}))
    with pytest.raises(UntrustedArtifactError, match=r"program of an old format"):
        check_code(archive(str, **{"MODEL.json": "{}"}))


def test_every_operator_that_names_a_file_is_known():
    import torch

    from pipeline.backends.torch.operators import only_computes

    for schema in torch._C._jit_get_all_schemas():
        texts = [a.name for a in schema.arguments if str(a.type) == "str"]
        if any(re.search("file|path", name) for name in texts):
            assert not only_computes(*schema.name.split("::")), schema


def plain_networks():
    import torch
    from torch import nn

    class Words(nn.Module):
        """Texts with everything in them, and modules whose names are no names."""

        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict({"0": nn.Linear(4, 4), "wide layer": nn.Linear(4, 4)})

        def forward(self, x):
            for layer in self.layers.values():
                x = layer(x)
            if x.shape[0] == 0:
                raise ValueError("don't # \"save\", 'x'\n`x`\\")
            return x

    quantized = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4)), {nn.Linear, nn.LSTM}
    )
    return [
        torch.jit.script(Words()),
        torch.jit.script(quantized),
        torch.jit.script(nn.TransformerEncoderLayer(8, 2).eval()),
        torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU6())).eval()),
        torch.jit.trace(nn.GRU(4, 4), torch.zeros(2, 1, 4)),
    ]


def test_networks_as_people_save_them_are_plain(tmp_path):
    import torch

    for position, each in enumerate(plain_networks()):
        path = tmp_path / f"{position}.pt"
        torch.jit.save(each, path)
        check_code(Path(path))
