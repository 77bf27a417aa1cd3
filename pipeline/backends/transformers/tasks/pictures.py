"""Pictures as a model takes them: prepared by the folder's own image processor."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.failures import needs_package
from pipeline.batch.columns import Array
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError

_USUAL_SIZE = 224
_FILES = ("preprocessor_config.json", "processor_config.json")


class Pictures:
    """The image processor of a folder: Pillow's, by which results are the same on every machine.

    Args:
      path: the folder.
      reader: a method that it needs besides, which reads the model's answer.

    Attributes:
      processor: transformers' object.
      tensor: the input.
    """

    tensor = TensorSpec("image", "uint8", (None, None, None, 3))

    def __init__(self, path: Path, reader: str | None = None) -> None:
        from transformers import AutoImageProcessor
        from transformers.utils import requires_backends

        with needs_package("pillow"):
            requires_backends(AutoImageProcessor, ["vision"])
        check_processor(path)
        self.processor = AutoImageProcessor.from_pretrained(
            path, local_files_only=True, trust_remote_code=False, backend="pil"
        )
        if reader is not None and not hasattr(self.processor, reader):
            raise LoadError(
                f"{path} has the image processor {type(self.processor).__name__}, which has no "
                f"`{reader}`: it reads no answers of this task"
            )

    def prepared(self, images: Iterable[Array]) -> dict[str, Any]:
        """Pictures [height, width, 3] as the model's arguments.

        Raises:
          ValueError: one has no pixels, of which a processor may make a black one.
        """
        listed = list(images)
        if not all(image.size for image in listed):
            raise ValueError("the picture has no pixels")
        made = self.processor(listed, input_data_format="channels_last", return_tensors="pt")
        return dict(made)

    def examples(self, config: Any) -> list[dict[str, Any]]:
        """Arguments of the model for two pictures and for one, of the size that its `config` names.

        A processor that resizes none hands them to the model as they are.
        """
        size = getattr(config, "image_size", None) or _USUAL_SIZE
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        shown = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype="uint8")
        return [self.prepared(shown), self.prepared(shown[:1])]


def png(pixels: Array) -> bytes:
    """A picture of one channel [height, width], uint8 or uint16, as a file without losses."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def check_processor(path: Path) -> None:
    """Refuses a folder without the file of its image processor.

    Raises:
      LoadError: it has none.
    """
    if not any((path / name).is_file() for name in _FILES):
        raise LoadError(
            f"{path} has no file of its image processor, expected {' or '.join(_FILES)}; "
            "save it beside the model: its save_pretrained writes it"
        )
