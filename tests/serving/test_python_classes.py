"""Versions of Python classes, and that only the ensemble file names what is imported."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.errors import ArtifactChangedError, ArtifactNotFoundError, ModelError
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate
from pipeline.releases.checks import GateChecks
from pipeline.releases.proposal import Proposal
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support import models

OWN = "python://own_step:Shout"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The file of a module, `own_step`, that can be imported."""
    file = tmp_path / "own_step.py"
    file.write_text("from tests.support.steps import Shout\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


@pytest.fixture
def graph(tmp_path):
    """*shout* is a class alone, *affine* one with files."""
    fields = {"text": {"dtype": "string"}, "x": {"dtype": "float32", "shape": [4]}}
    shout = {"inputs": {"text": "text"}, "outputs": {"shout": "s"}, "uri": "own_step:Shout"}
    affine = {"inputs": {"x": "x"}, "outputs": {"y": "y"}, "uri": "tests.support.steps:Affine"}
    affine["path"] = str(models.numpy_weights(tmp_path / "affine/1").parent)
    entries = [
        {"name": name, "framework": "python", **entry}
        for name, entry in (("shout", shout), ("affine", affine))
    ]
    spec = {"name": "e", "record": {"fields": fields}, "models": entries}
    return resolve(EnsembleSpec.model_validate(spec))


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache", BeamArtifactStore())


@pytest.fixture
def loader(graph, cache):
    return FrameworkLoader(graph.models, cache, "cpu", intra_op_threads=1)


@pytest.fixture
def checks(graph, cache, tmp_path):
    return GateChecks(graph, cache, BeamArtifactStore(), AllowedUris((str(tmp_path), "python://")))


def wanting(**uris):
    return Proposal(Candidate("c", "test", 0, models=uris), wanted=uris)


def test_digest_of_a_class_is_that_of_its_source(source, cache, loader):
    version = ModelVersion("shout", OWN, digest_of(source))
    assert cache.fetch(OWN).digest == version.digest
    assert version.label == "own_step:Shout"
    loader(version)
    source.write_text("from tests.support.steps import Shout  # another version\n")
    with pytest.raises(ArtifactChangedError, match=f"{OWN} holds other files"):
        loader(version)


@pytest.mark.parametrize("module", ["tests.nowhere", "nowhere.at.all", "sys"])
def test_module_without_source_is_named(module, cache):
    with pytest.raises(ArtifactNotFoundError, match=f"module '{module}'"):
        cache.fetch(f"python://{module}:Class")


def test_release_of_another_class_is_not_loaded(source, loader, tmp_path):
    """Such as one kept in --release_dir, from before the ensemble file was changed."""
    digest = digest_of(source)
    with pytest.raises(ArtifactChangedError, match=f"cannot replace a Python class.*{OWN}"):
        loader(ModelVersion("shout", "python://tests.steps:Shout", digest))
    with pytest.raises(ArtifactChangedError, match="cannot replace a Python class"):
        loader(ModelVersion("shout", str(source), digest))
    with pytest.raises(ArtifactChangedError, match="is a Python class, expected a file or folder"):
        loader(ModelVersion("affine", OWN, digest))


@pytest.mark.parametrize("model", ["shout", "affine"])
@pytest.mark.parametrize("prefix", ["python://", ""])
@pytest.mark.parametrize("name", ["planted:Shout", "planted_package.inner:Shout"])
def test_proposed_class_is_refused_and_never_imported(
    model, prefix, name, checks, source, tmp_path
):
    """Even where the operator allowed models from anywhere."""
    marker = tmp_path / "imported"
    planted = f"open({str(marker)!r}, 'w')\nfrom tests.support.steps import Shout\n"
    (tmp_path / "planted.py").write_text(planted)
    (tmp_path / "planted_package").mkdir()
    (tmp_path / "planted_package/__init__.py").write_text(planted)
    (tmp_path / "planted_package/inner.py").write_text(planted)
    with pytest.raises(ModelError, match=re.escape(f"model '{model}': {prefix}{name}")):
        checks.fetch(wanting(**{model: prefix + name}))
    assert not marker.exists()
    assert not {"planted", "planted_package"} & set(sys.modules)


def test_files_of_a_class_are_refreshed_and_the_class_stays(
    checks, graph, loader, source, tmp_path
):
    models.numpy_weights(tmp_path / "affine/2", scale=2.0)
    wanted = {"shout": OWN, "affine": str(tmp_path / "affine/2")}  # as a manifest names them all
    found = checks.fetch(wanting(**wanted))
    release = Release(2, tuple(one.version for one in found.values()))
    manager = ReleaseManager(loader)
    checks.check(release, found, {}, manager)
    with manager.use(release, "affine") as servable:
        (bias,) = servable.predict({"x": np.zeros((1, 4), np.float32)})["y"].tolist()
        assert bias == pytest.approx(models.affine_weights(2.0)[1].tolist())
    manager.close()


def test_what_lies_elsewhere_is_refused_for_the_files_of_a_class(checks):
    with pytest.raises(ModelError, match="/elsewhere/3 is outside the folders"):
        checks.fetch(wanting(affine="/elsewhere/3"))


def test_source_is_found_without_importing_the_module(tmp_path, monkeypatch, cache):
    (tmp_path / "loud_step.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cache.fetch("python://loud_step:Any").path == Path(tmp_path / "loud_step.py")
