"""Base class and helpers of all sections of `data.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from sedmtl.runtime.errors import suggest


def wrong(text: str) -> PydanticCustomError:
    """A validation error with our own message."""
    return PydanticCustomError("wrong", "{text}", {"text": text})


def _without_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise wrong("should be a path without NUL characters")
    return path


AnyPath = Annotated[Path, AfterValidator(_without_nul)]


class Section(BaseModel):
    """A section of `data.yaml`: immutable, without unknown keys."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, value: Any) -> Any:
        if value is None:  # a section whose keys are all commented out
            return {}
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                raise wrong(f"'{key}' is not a key; {suggest(str(key), cls.model_fields)}")
        return value
