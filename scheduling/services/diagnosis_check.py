"""One check of the self-diagnosis, and how it came out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One question: what was measured, and what to do if it is not as it should be."""

    name: str
    state: State
    measured: str
    hint: str = ""
