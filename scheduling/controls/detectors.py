"""Detectors of card numbers, keys and e-mail addresses in documents; none keeps or returns what it finds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, Final

# The part of a document that is searched.
SEARCHED_CHARACTERS: Final = 65_536
# From each digit on, because the digits before it can be of another number.
_CARD = re.compile(r"(?<![\w.-])(?=([2-6][0-9]{3}(?:[ -]?[0-9]){9,15})(?![\w-]))")
# Its beginning, which is found much faster, and which most texts lack.
_FOUR_DIGITS = re.compile("[2-6][0-9]{3}")
_CARD_DIGITS: Final = 13
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")


def find(document: Any, names: Sequence[str]) -> str:
    """Return the name of the first detector that finds something in a JSON document; empty if none does."""
    text = json.dumps(document, ensure_ascii=False, default=str)[:SEARCHED_CHARACTERS]
    # A line end is written as a backslash and a letter, which would be taken for a part of the word after it.
    text = _ESCAPE.sub(lambda match: '"' if match[0] == '\\"' else " ", text)
    return next((name for name in names if DETECTORS[name](text)), "")


def has_card(text: str) -> bool:
    """Return whether the text has a card number: 13 to 19 digits with a valid check digit, also before other digits."""
    if not _FOUR_DIGITS.search(text):
        return False
    return any(_is_luhn(digits) for found in _CARD.findall(text) for digits in _numbers_of(found))


def has_email(text: str) -> bool:
    """Return whether the text has an e-mail address."""
    return "@" in text and _EMAIL.search(text) is not None


def has_key(text: str) -> bool:
    """Return whether the text has a private key, or an access key of a known service."""
    return any(pattern.search(text) for pattern in _key_patterns())


DETECTORS: Final[Mapping[str, Callable[[str], bool]]] = {"card": has_card, "email": has_email, "key": has_key}


def _numbers_of(found: str) -> Iterator[str]:
    """Yield the beginnings of a run of groups of digits that are long enough, each of whole groups."""
    groups = re.split("[ -]", found)
    numbers = accumulate(groups)
    return (number for number in numbers if len(number) >= _CARD_DIGITS)


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
