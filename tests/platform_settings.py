"""Change keys of JOBS_PLATFORM in tests.

The fixture `change_platform_settings` changes them until the test ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.test import override_settings

type ChangePlatformSettings = Callable[..., None]


class override_platform_settings(override_settings):  # noqa: N801 - named and used as Django's own
    """Set some keys of JOBS_PLATFORM as a context manager or a decorator; the other keys keep their values."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        super().__init__()

    def enable(self) -> None:
        """Add the changes to the keys as they are now."""
        self.options = {"JOBS_PLATFORM": {**settings.JOBS_PLATFORM, **self._changes}}
        super().enable()
