"""What all sections of the settings share."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """Settings that belong together. An unknown key is an error, and nothing changes them later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def as_date(value: Any) -> Any:
    """Takes 2024-01-31, and the export's own 20240131 (which YAML reads as a number)."""
    text = str(value)
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return value


Date = Annotated[datetime.date, BeforeValidator(as_date)]
