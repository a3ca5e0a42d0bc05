"""Section `card`: what no program can know of the model; it stands on the model card."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class CardSection(Section):
    """What people must say of the model themselves (step `register`).

    Empty texts are allowed: card and version page then say that nothing was stated.
    """

    intended_use: str = Field(max_length=1000)
    """What the model is for, and what it is not for."""
    licence: str = Field(max_length=200)
    """Under which terms code, model and data may be used."""
    limits: tuple[str, ...] = Field(strict=False, max_length=20)
    """What a user must know that no measurement shows, one sentence each."""
