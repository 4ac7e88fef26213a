"""Job kinds that a test adds to the installed ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps

from scheduling.kit import registry


@contextmanager
def added_processor(path: str) -> Iterator[None]:
    """Let an installed app list one more processor, by its dotted path."""
    app = apps.get_app_config("diagnostics")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app, "processors", (*app.processors, path))
            registry.reset()
            yield
    finally:
        registry.reset()
