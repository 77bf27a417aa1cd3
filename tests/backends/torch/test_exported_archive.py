"""Loading a ``.pt2`` archive runs nothing that it brings, whichever way it asks for it."""

import io
import json
import os
import pickle
import zipfile

import pytest

from pipeline.backends.torch.exported_archive import check_plain
from pipeline.errors import UntrustedArtifactError
from tests.support import models


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The members of a plain archive, by their path below its folder."""
    path = models.torch_export(tmp_path_factory.mktemp("plain"))
    found = path if path.is_file() else next(path.rglob("*.pt2"))
    with zipfile.ZipFile(found) as archive:
        return {
            name.partition("/")[2]: archive.read(name)
            for name in archive.namelist()
            if not name.endswith("/")
        }


@pytest.fixture
def archive(plain, tmp_path):
    """Writes an archive with some members changed, added or removed (None)."""

    def write(root="archive/", **changes):
        path = tmp_path / "model.pt2"
        members = {**plain, **changes}
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                if content is not None:
                    file.writestr(root + name, content)
        return path

    return write


class Touch:
    """Its pickle makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def program(plain, change):
    """The program of the archive after `change`, as its member's bytes."""
    data = json.loads(plain["models/model.json"])
    change(data)
    return json.dumps(data).encode()


def node(data, index=0):
    return data["graph_module"]["graph"]["nodes"][index]


def test_plain_archive_is_plain(archive):
    check_plain(archive())


@pytest.mark.parametrize("rows", [None, 3])
def test_archive_of_a_fixed_or_free_number_of_rows_is_plain(tmp_path, rows):
    path = models.torch_export(tmp_path, rows=rows)
    check_plain(path if path.is_file() else next(path.rglob("*.pt2")))


NETWORKS = (
    *("convolutions", "recurrent", "attention", "shapes", "branches", "integers", "nested"),
    *("found", "pairs"),
)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_as_people_export_them_are_plain(name, tmp_path):
    import torch
    from torch import nn

    class Shapes(nn.Module):
        def forward(self, x):
            made = x.new_ones(x.shape[0] * 2 + x.shape[1] // 3)
            return torch.cat([x, x], 1), made, x.mean(1) * (x.shape[1] // 2 + 1) ** 0.5

    class Branches(nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (x,))

    class Integers(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 4)

        def forward(self, x):
            known = (x.abs().long() % 7) & 3
            return self.table(known).masked_fill((known == 2).unsqueeze(-1) & True, 0.0)

    class Dictionary(nn.Module):
        def forward(self, x):
            return {"scores": x.softmax(-1), "best": x.argmax(-1), "more": (x.max(), [x.min()])}

    class Found(nn.Module):
        def forward(self, x):
            return torch.nonzero(x > 0)

    rows, axis = torch.export.Dim("rows", min=2, max=4096), torch.export.Dim("axis", min=2, max=512)
    wide = torch.randn(2, 6, 8)
    network, example, dims = {
        "convolutions": (
            nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU6(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Dropout(0.1),
                nn.Linear(4, 2),
            ),
            torch.randn(2, 3, 16, 16),
            {0: rows},
        ),
        "recurrent": (nn.LSTM(8, 4, batch_first=True), wide, None),
        "attention": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), wide, {0: rows}),
        "shapes": (Shapes(), wide, {0: rows, 1: axis}),
        "branches": (Branches(), torch.randn(4), None),
        "integers": (Integers(), wide, {0: rows}),
        "nested": (Dictionary(), wide, {0: rows}),
        "found": (Found(), wide, {0: rows}),
        "pairs": (nn.Linear(8, 2), wide, {0: 2 * rows}),
    }[name]
    shapes = None if dims is None else (dims,)
    if name == "pairs":
        example = torch.cat([example, example])
    exported = torch.export.export(network.eval(), (example,), dynamic_shapes=shapes)
    path = tmp_path / "model.pt2"
    torch.export.save(exported, path)
    check_plain(path)


def test_pickled_objects_are_refused(archive, plain, tmp_path):
    marker = tmp_path / "marker"
    evil = pickle.dumps(Touch(marker))
    opaque = {"config": {"c": {"path_name": "opaque_obj_0", "use_pickle": True}}}
    weights = json.loads(plain["data/weights/model_weights_config.json"])
    next(iter(weights["config"].values()))["use_pickle"] = True
    for changes in (
        {
            "data/constants/model_constants_config.json": json.dumps(opaque),
            "data/constants/opaque_obj_0": evil,
        },
        {"data/weights/model_weights_config.json": json.dumps(weights)},
        {"data/sample_inputs/model.pt": evil},
        {"data/weights/model.pt": evil},
        {"data/constants/model.pt": evil},
    ):
        with pytest.raises(UntrustedArtifactError, match="trusted: true"):
            check_plain(archive(**changes))
    assert not marker.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.load",
        "torch.hub.load",
        "torch.ops.load_library",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.image.read_file.default",
        "torch.ops.aten.__class__.__bases__",
        "torch.ops.higher_order.triton_kernel_wrapper_mutation",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "math.__loader__.load_module",
        "#somebody:op",
        "builtins.eval",
    ],
)
def test_targets_that_are_no_operators_are_refused(archive, plain, target):
    changed = program(plain, lambda data: node(data).update(target=target))
    with pytest.raises(UntrustedArtifactError, match="the target"):
        check_plain(archive(**{"models/model.json": changed}))


EXPRESSIONS = [
    "__import__('os').system('touch x')",
    "Symbol('s0').__class__",
    "(lambda: 1)()",
    "[c for c in ()]",
    "open('x')",
    "Symbol('__import__(1)')",
    "eval('1')",
    "f'{1}'",
    "S('1')",
    "x := 1",
    "(" * 1000,
]


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("place", ["sizes", "guards"])
def test_expressions_that_do_more_than_count_are_refused(archive, plain, text, place):
    def change(data):
        if place == "guards":
            data["guards_code"] = [text]
        else:
            values = data["graph_module"]["graph"]["tensor_values"]
            next(iter(values.values()))["sizes"] = [{"as_expr": {"expr_str": text, "hint": None}}]

    with pytest.raises(UntrustedArtifactError, match=r"expr_str|guards_code"):
        check_plain(archive(**{"models/model.json": program(plain, change)}))


@pytest.mark.parametrize(
    "name", ["x, y=__import__('os')", "x\nimport os", "x)", "\uff45val", "x=1", "a b"]
)
def test_names_that_are_none_are_refused(archive, plain, name):
    def change(data):
        data["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = name

    with pytest.raises(UntrustedArtifactError, match="the name"):
        check_plain(archive(**{"models/model.json": program(plain, change)}))


@pytest.mark.parametrize(
    "member",
    ["data/aotinductor/model/a.so", "data/executorch/x", "../x", "models/../x.json", "code/a.py"],
)
def test_members_that_nobody_knows_are_refused(archive, member):
    with pytest.raises(UntrustedArtifactError, match="the member"):
        check_plain(archive(**{member: b"x"}))


def test_archives_that_readers_could_take_differently_are_refused(archive, plain, tmp_path):
    path = archive()
    data = path.read_bytes()
    (tmp_path / "before.pt2").write_bytes(b"x" * 10 + data)
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"PK\x05\x06"
    (tmp_path / "comment.pt2").write_bytes(path.read_bytes())
    twice = io.BytesIO(data)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(twice, "a") as file:
        file.writestr("archive/models/model.json", plain["models/model.json"])
    (tmp_path / "twice.pt2").write_bytes(twice.getvalue())
    for name in ("before", "comment", "twice"):
        with pytest.raises((UntrustedArtifactError, zipfile.BadZipFile)):
            check_plain(tmp_path / f"{name}.pt2")
