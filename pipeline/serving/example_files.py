"""Finds the files of examples that come with a model version; see `serving.golden`."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.hub_url import is_hub_url
from pipeline.core.model_spec import ModelSpec, is_class_uri
from pipeline.core.release import ModelVersion
from pipeline.errors import ArtifactError, ArtifactNotFoundError, ModelError
from pipeline.serving import golden
from pipeline.serving.artifacts import ArtifactStore, is_local


def text_beside(store: ArtifactStore, uri: str, folder: Path | str | None, name: str) -> str | None:
    """The text of a file that comes with a version.

    Args:
      store: reads it.
      uri: of the version.
      folder: with the version's files; None where the version is a single file.
      name: of the file.

    Returns:
      None where there is none.

    Raises:
      ArtifactError: it cannot be read.
      ModelError: it is no text.
    """
    if is_class_uri(uri):
        return None
    above = uri[: uri.rfind("/") + 1]
    places = [f"{uri}.{name}", above + name] if folder is None else [f"{folder}/{name}"]
    for place in places:
        try:
            return store.read_text(place)
        except ArtifactNotFoundError:
            continue
        except ValueError as error:
            raise ModelError(f"{name}: {error}") from error
    return None


def examples_of(
    store: ArtifactStore, version: ModelVersion, spec: ModelSpec
) -> list[golden.Example]:
    """The examples that come with a version, golden ones first, as long as they can be read.

    What is wrong with others is for the gate to say.
    """
    uri = version.uri
    found: list[golden.Example] = []
    try:
        if is_class_uri(uri) or is_hub_url(uri):
            return found
        is_folder = Path(uri).is_dir() if is_local(uri) else store.list_files(uri)[0].relative != ""
        for kind in (golden.GOLDEN, golden.WARM_UP):
            text = text_beside(store, uri, uri if is_folder else None, kind)
            found += [] if text is None else golden.parse(text, kind, spec)
    except (ArtifactError, ModelError):
        pass
    return found
