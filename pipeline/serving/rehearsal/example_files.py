"""Finds the files of examples that come with a model version; see `serving.rehearsal.golden`."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ArtifactNotFoundError, ModelError
from pipeline.serving.files.artifacts import ArtifactStore, Fetched
from pipeline.serving.rehearsal import golden
from pipeline.spec.model import ModelSpec
from pipeline.spec.uris import is_class_uri


def text_beside(store: ArtifactStore, uri: str, folder: Path | None, name: str) -> str | None:
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
    store: ArtifactStore, uri: str, fetched: Fetched, spec: ModelSpec
) -> list[golden.Example]:
    """The examples that come with a version, golden ones first.

    Those of a folder are read from the files that were fetched, which the digest covers; those of a
    single file lie beside it, where its URI says.

    Args:
      store: reads them.
      uri: of the version.
      fetched: its files.
      spec: the model's entry in the ensemble file.

    Raises:
      ArtifactError: they cannot be read, or the files were changed since.
      ModelError: they are no examples of this model.
    """
    folder = fetched.path if fetched.path.is_dir() else None
    kinds = (golden.GOLDEN, golden.WARM_UP)
    texts = {kind: text_beside(store, uri, folder, kind) for kind in kinds}
    fetched.check_unchanged()
    return [
        example
        for kind, text in texts.items()
        if text is not None
        for example in golden.parse(text, kind, spec)
    ]
