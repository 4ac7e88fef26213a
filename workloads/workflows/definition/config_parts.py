"""Parts of the JSON Schema that the configs of several types of nodes share."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 64_000
NAME: Final = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}
TEMPLATE: Final = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
