"""The prepare step that hashes categories into buckets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.batch.tensors import INTEGERS
from pipeline.spec.column_types import TEXTS, Type, need
from pipeline.spec.prepare.step import Elementwise


class Hash(Elementwise):
    """Categories as the numbers of their buckets: `[...]` -> `int64[...]`, 0 to `buckets` - 1.

    Text by its UTF-8, `bytes` as they are, integers as text in decimal digits. `farm`: FarmHash
    Fingerprint64, as TensorFlow's `to_hash_bucket_fast` and Keras' `Hashing` without a salt have
    it. `murmur3`: the absolute value of the signed MurmurHash3 (32 bits), as scikit-learn's
    `FeatureHasher` and `HashingVectorizer` number their columns; `murmur3_unsigned`: the same bits
    without a sign, as `murmurhash3_32(..., positive=True)` gives them. The rest of a division by
    `buckets`.
    """

    op: Literal["hash"]
    function: Literal["farm", "murmur3", "murmur3_unsigned"] = Field(
        description="As the training side has it."
    )
    buckets: int = Field(ge=1, lt=1 << 31, description="How many there are.")
    seed: int = Field(default=0, ge=0, lt=1 << 32, description="Of `murmur3`.")
    prefix: str = Field(
        default="", description="Stands before each text, such as `sex=` for a `FeatureHasher`."
    )

    @model_validator(mode="after")
    def _seed_is_of_use(self) -> Hash:
        if self.function == "farm" and self.seed:
            raise ValueError("key 'seed' has no use with `function: farm`, which takes none")
        return self

    def types(self, *read: Type) -> dict[str, Type]:
        """int64 of the same shape."""
        ((dtype, shape),) = read
        need(dtype in (*TEXTS, *INTEGERS), "text, bytes or integers")
        need(dtype != "bytes" or not self.prefix, "text or integers, as it has a `prefix`")
        return {self.column: ("int64", shape)}
