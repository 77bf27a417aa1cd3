"""Prepare steps of text."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.spec.column_types import Type, need
from pipeline.spec.prepare.step import Elementwise, OfOne
from pipeline.spec.strict_model import Name

_MAX_TOKENIZER_CHARS = 8 << 20


class Lower(Elementwise):
    """Text in lower case; any shape."""

    op: Literal["lower"]

    def types(self, *read: Type) -> dict[str, Type]:
        """Text of the same shape."""
        ((dtype, shape),) = read
        need(dtype == "string", "text")
        return {self.column: (dtype, shape)}


class Tokenize(OfOne):
    """Text as the integers that a transformer reads: `string` -> `int64[any]`.

    By the `tokenizer.json` that Hugging Face models come with; its own settings of truncation and
    padding do not count.
    """

    op: Literal["tokenize"]
    file: str | None = Field(
        default=None, description="The `tokenizer.json`; relative to the ensemble file."
    )
    tokenizer: str | None = Field(
        default=None, description="Instead of `file`: the JSON itself, as text."
    )
    mask: Name | None = Field(
        default=None,
        description="Name of a second column of the same shape: 1 for tokens, 0 for padding.",
    )
    max_length: int | None = Field(
        default=None, ge=1, description="Most tokens of a text; what comes after is cut off."
    )
    pad: bool = Field(
        default=False, description="Fill every text up to `max_length`: `int64[max_length]`."
    )
    pad_id: int = Field(default=0, ge=0, description="The token that fills.")
    special_tokens: bool = Field(
        default=True, description="Add the tokens that mark begin and end, as the file has them."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Tokenize:
        if (self.file is None) == (self.tokenizer is None):
            raise ValueError("expected either `file` or `tokenizer`")
        if self.pad and self.max_length is None:
            raise ValueError("key 'pad' needs the key 'max_length'")
        return self

    def columns_written(self) -> list[str]:
        """The tokens, and the mask when it is asked for."""
        return [self.column] if self.mask is None else [self.column, self.mask]

    def with_file_text(self, text: str) -> Self:
        """The step with the tokenizer instead of the file; it travels with the job."""
        if len(text) > _MAX_TOKENIZER_CHARS:
            raise ValueError(
                f"holds {len(text):,} characters, expected at most {_MAX_TOKENIZER_CHARS:,}: it "
                "travels with the job"
            )
        return self.model_copy(update={"tokenizer": text, "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """Tokens, and the mask like them."""
        need(read == (("string", ()),), "one text in each record")
        tokens: Type = ("int64", (self.max_length if self.pad else None,))
        return dict.fromkeys(self.columns_written(), tokens)
