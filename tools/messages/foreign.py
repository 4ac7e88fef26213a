"""What the packages beneath translate themselves."""

from __future__ import annotations

import gettext
from pathlib import Path

LANGUAGE = "zh_Hans"


def known_to(package: Path) -> frozenset[str]:
    """What a package says itself in this language."""
    known: set[str] = set()
    for path in package.rglob(f"{LANGUAGE}/LC_MESSAGES/django.mo"):
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined] # noqa: SLF001
        known |= {str(key if isinstance(key, str) else key[0]) for key in catalog}
    return frozenset(known)
