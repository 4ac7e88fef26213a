"""Features that may be switched off under load: who decides is registered by the app that knows the load."""

from __future__ import annotations

from collections.abc import Callable

_guards: list[Callable[[str], None]] = []


def guard_features(guard: Callable[[str], None]) -> None:
    """Let a function decide about features; it raises a `DomainError` for one that is switched off."""
    _guards[:] = [guard]


def require_feature(name: str) -> None:
    """Raise the error of the guard if the feature is switched off."""
    for guard in _guards:
        guard(name)
