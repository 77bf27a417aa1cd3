"""What every part of the ensemble file is made of: a model that is strict, and names."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class StrictModel(BaseModel):
    """Base of everything in the ensemble file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
