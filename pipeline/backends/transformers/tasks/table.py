"""Every task: the class of transformers that reads its models, and what opens it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.transformers.tasks import (
    captions,
    classification,
    detection,
    embeddings,
    image_text,
    questions,
    sentences,
    speech,
    tokens,
    writing,
    zero_shot,
)
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

Open = Callable[[Path, TransformersModel, Network], Task]


@dataclass(frozen=True)
class TaskKind:
    """How models of a task are read.

    Attributes:
      auto_class: of transformers.
      architectures: its table of their names, in `transformers.models.auto.modeling_auto`.
      open: (folder, entry, model) -> the task, with the tokenizer or processor of the folder.
      without: a table of architectures that need more than the task gives them.
      model_types: those of config.json that the task knows; none for all of the architectures.
      other: how the task reads models of other types.
      unused: beginnings of the names of weights that no output of the task uses.
    """

    auto_class: str
    architectures: str
    open: Open
    unused: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()
    without: str | None = None
    other: TaskKind | None = None

    def fits(self, architecture: str, model_type: str) -> bool:
        """Whether a model of an architecture can be read."""
        kind = self.of(model_type)
        if kind is None or (kind.without is not None and architecture in _names(kind.without)):
            return False
        return architecture in _names(kind.architectures)

    def of(self, model_type: str) -> TaskKind | None:
        """The kind that reads models of a type: this one or the other; None where neither does."""
        if model_type in self._types:
            return self
        return self.other and self.other.of(model_type)

    @property
    def known_types(self) -> tuple[str, ...]:
        """The model types of this kind and of the other."""
        return (*self._types, *(self.other.known_types if self.other else ()))

    @property
    def _types(self) -> tuple[str, ...]:
        return self.model_types or tuple(sorted(_table(self.architectures)))


_TWO_TOWERS = ("clip", "siglip")
_TEXT_TO_TEXT = TaskKind(
    "AutoModelForSeq2SeqLM",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    writing.open_text_to_text,
    # The others of the table listen to sound.
    model_types=(
        *("bart", "blenderbot", "blenderbot-small", "bigbird_pegasus", "encoder-decoder", "fsmt"),
        *("led", "longt5", "m2m_100", "marian", "mbart", "mt5", "mvp", "nllb-moe", "pegasus"),
        *("pegasus_x", "plbart", "prophetnet", "switch_transformers", "t5", "umt5"),
    ),
)
_SPEECH = TaskKind(
    "AutoModelForCTC",
    "MODEL_FOR_CTC_MAPPING_NAMES",
    speech.open_letters,
    model_types=(
        *("data2vec-audio", "hubert", "sew", "sew-d", "unispeech", "unispeech-sat", "wav2vec2"),
        *("wav2vec2-bert", "wav2vec2-conformer", "wavlm"),
    ),
    other=TaskKind(
        "AutoModelForSpeechSeq2Seq",
        "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
        speech.open_whisper,
        model_types=("whisper",),
    ),
)

TASKS: Mapping[str, TaskKind] = {
    "text-classification": TaskKind(
        "AutoModelForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        classification.open_texts,
    ),
    "zero-shot-classification": TaskKind(
        "AutoModelForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        zero_shot.open_zero_shot,
    ),
    "image-classification": TaskKind(
        "AutoModelForImageClassification",
        "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        classification.open_pictures,
    ),
    "token-classification": TaskKind(
        "AutoModelForTokenClassification",
        "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
        tokens.open_entities,
    ),
    "question-answering": TaskKind(
        "AutoModelForQuestionAnswering",
        "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
        questions.open_questions,
    ),
    "text2text-generation": _TEXT_TO_TEXT,
    "summarization": _TEXT_TO_TEXT,
    "translation": _TEXT_TO_TEXT,
    "fill-mask": TaskKind(
        "AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES", tokens.open_masks
    ),
    "image-text-similarity": TaskKind(
        "AutoModelForZeroShotImageClassification",
        "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        image_text.open_similarity,
        model_types=_TWO_TOWERS,
    ),
    "zero-shot-image-classification": TaskKind(
        "AutoModelForZeroShotImageClassification",
        "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        image_text.open_zero_shot,
        model_types=_TWO_TOWERS,
    ),
    "image-to-text": TaskKind(
        "AutoModelForImageTextToText",
        "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
        captions.open_captions,
        model_types=("blip", "vision-encoder-decoder"),
    ),
    "visual-question-answering": TaskKind(
        "AutoModelForVisualQuestionAnswering",
        "MODEL_FOR_VISUAL_QUESTION_ANSWERING_MAPPING_NAMES",
        captions.open_answers,
        model_types=("blip",),
    ),
    "object-detection": TaskKind(
        "AutoModelForObjectDetection",
        "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
        detection.open_objects,
    ),
    "image-segmentation": TaskKind(
        "AutoModelForSemanticSegmentation",
        "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES",
        detection.open_segments,
    ),
    "automatic-speech-recognition": _SPEECH,
    "audio-classification": TaskKind(
        "AutoModelForAudioClassification",
        "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
        classification.open_waveforms,
    ),
    "text-generation": TaskKind(
        "AutoModelForCausalLM",
        "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        writing.open_continuation,
        without="MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    ),
    "feature-extraction": TaskKind(
        "AutoModel", "MODEL_MAPPING_NAMES", embeddings.open_features, unused=("pooler.",)
    ),
    "sentence-embedding": TaskKind(
        "AutoModel", "MODEL_MAPPING_NAMES", sentences.open_sentences, unused=("pooler.",)
    ),
}
"""Task -> its kind; those that are more special first, since `init` takes the first that fits."""


def task_of(path: Path) -> tuple[str, str]:
    """The task that a model was saved for, and what says so.

    Raises:
      LoadError: config.json names no architecture, or one that no task fits.
    """
    if (path / sentences.MODULES).is_file():
        return "sentence-embedding", f"by {sentences.MODULES}"
    file = path / "config.json"
    try:
        config: Any = json.loads(file.read_text())
        named = [str(name) for name in config["architectures"] or ()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(
            f"{file} names no architecture, so `task` is not known; expected {_expected()}"
        ) from error
    for task, kind in TASKS.items():
        for name in named:
            if kind.fits(name, str(config.get("model_type"))):
                return task, f"by the architecture in config.json, {name}"
    raise LoadError(
        f"{file}: found the architecture {', '.join(named) or 'none'}, which fits no task; "
        f"expected one of {_expected()}"
    )


def _expected() -> str:
    return ", ".join(TASKS)


def _names(table: str) -> set[str]:
    """The architectures of a table of transformers; a model may have several."""
    found: set[str] = set()
    for names in _table(table).values():
        found.update([names] if isinstance(names, str) else names)
    return found


def _table(name: str) -> Mapping[str, Any]:
    """Model type -> architectures of that type."""
    from transformers.models.auto import modeling_auto

    table: Mapping[str, Any] = getattr(modeling_auto, name)
    return table
