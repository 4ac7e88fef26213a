"""Detectors of card numbers, keys and e-mail addresses in documents; none keeps or returns what it finds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

# The part of a document that is searched.
SEARCHED_CHARACTERS: Final = 65_536
_CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")


def find(document: Any, names: Sequence[str]) -> str:
    """Return the name of the first detector that finds something in a JSON document; empty if none does."""
    text = json.dumps(document, ensure_ascii=False, default=str)[:SEARCHED_CHARACTERS]
    return next((name for name in names if DETECTORS[name](text)), "")


def has_card(text: str) -> bool:
    """Return whether the text has a card number: 13 to 19 digits with a valid check digit."""
    return any(_is_luhn(re.sub(r"\D", "", match)) for match in _CARD.findall(text))


def has_email(text: str) -> bool:
    """Return whether the text has an e-mail address."""
    return "@" in text and _EMAIL.search(text) is not None


def has_key(text: str) -> bool:
    """Return whether the text has a private key, or an access key of a known service."""
    return any(pattern.search(text) for pattern in _key_patterns())


DETECTORS: Final[Mapping[str, Callable[[str], bool]]] = {"card": has_card, "email": has_email, "key": has_key}


def _is_luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


@cache
def _key_patterns() -> Sequence[re.Pattern[str]]:
    """Return the patterns of detectors whose time is linear in the text; that of JSON web tokens is not."""
    # Only processes with such a control need the library.
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
    from detect_secrets.plugins.private_key import PrivateKeyDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.stripe import StripeDetector

    chosen = (AWSKeyDetector, GitHubTokenDetector, GitLabTokenDetector, PrivateKeyDetector, SlackDetector)
    return [pattern for detector in (*chosen, StripeDetector) for pattern in detector.denylist]
