"""The URL prefixes of console and API: the site mounts both here, and middleware tells them apart by these."""

from __future__ import annotations

from typing import Final

CONSOLE_PREFIX: Final = "/admin/"
# What lies below it answers in problem details, whatever the version.
API_PREFIX: Final = "/api/"
API_V1_PREFIX: Final = f"{API_PREFIX}v1/"
