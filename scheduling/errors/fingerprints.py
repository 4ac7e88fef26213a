"""Fingerprints of errors: hashes of the messages without the parts that vary between errors of one cause.

If too little is removed, one cause gets a thousand groups; if too much, several causes get one. Numbers, ids, paths,
addresses and times are always removed. Quoted text is removed too, except in errors of code, whose quoted name is the
cause: ``KeyError: 'size'`` and ``KeyError: 'name'`` differ.
"""

from __future__ import annotations

import hashlib
import re

GAP = "#"
FINGERPRINT_CHARACTERS = 16
# Causes differ at the beginning of a message, and this bounds the cost of one of 16 KiB.
MAX_READ_CHARACTERS = 2_000
# Errors whose quoted part is a name in code.
_OF_CODE = frozenset(
    {
        "AttributeError",
        "FieldDoesNotExist",
        "FieldError",
        "ImportError",
        "IntegrityError",
        "KeyError",
        "ModuleNotFoundError",
        "NameError",
        "ProgrammingError",
        "TypeError",
        "UnboundLocalError",
    }
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z_]*(?:\.[A-Za-z_]+)*\Z")
_MAX_NAME_CHARACTERS = 60
# A quote begins after and ends before a character that is no letter: the apostrophe of "can't" opens none.
_QUOTED = re.compile(
    r"(?<!\w)'([^'\n]*)'(?!\w)|(?<!\w)\"([^\"\n]*)\"(?!\w)|`([^`\n]*)`|“([^”\n]*)”|‘([^’\n]*)’|「([^」\n]*)」|«([^»\n]*)»"
)
_FILE_ENDINGS = (
    "bmp|csv|docx?|gif|gz|html?|jpe?g|json|log|md|odt|pdf|png|pptx?|tar|tiff?|tmp|tsv|txt|webp|xlsx?|xml|zip"
)
_UNITS = "%|[kmgt]i?b|bytes?|ns|us|µs|ms|s|secs?|seconds?|min|minutes?|h|hours?|d|days?"
# In this order: patterns that later ones would split come first.
_CHANGING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Mail addresses.
        r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}",
        # Keys in messages of PostgreSQL: (name)=(acme).
        r"(?<==)\([^)\n]*\)",
        # Paths: of Windows, absolute or relative with a leading slash or dot, with an extension, and plain names of
        # documents.
        r"(?<!\w)(?:[a-z]:|\\)\\[^\s'\":;,<>|]+",
        r"(?<![\w/.:>)\]#-])(?:~|\.{1,2})?/[^\s'\"`,;:()<>\[\]{}|]+",
        r"(?<![\w/.])\w[\w.-]{0,99}(?:/[\w.-]{1,100}){1,20}\.[a-z0-9]{1,8}\b",
        rf"(?<![\w.])\w[\w.-]{{0,99}}\.(?:{_FILE_ENDINGS})\b",
        # Objects in memory, UUIDs, hardware addresses, IPv6 addresses, times.
        r"\b0x[0-9a-f]+\b",
        r"\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b",
        r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b",
        r"\[?(?<![\w:])(?=[0-9a-f:]*\d)(?=[0-9a-f:]*::|(?:[0-9a-f]{1,4}:){7})[0-9a-f:]{2,39}(?:%\w+)?(?![\w:])(?:\]:\d+|\])?",
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z\b|\s?[+-]\d\d:?\d\d\b)?",
        # Ids: at least eight hexadecimal digits with a figure among them, or twelve characters with three.
        r"(?<![\w-])(?=[a-f]*\d)[0-9a-f]{8,}(?![\w-])",
        r"(?<![\w-])(?=(?:[^\W\d]|-)*\d(?:[^\W\d]|-)*\d(?:[^\W\d]|-)*\d)[\w-]{12,}(?![\w-])",
        # Numbers with units, and with points, colons or commas inside: versions, addresses, times of day.
        rf"(?<![^\W\d_])[+-]?\d+(?:[.,:_]\d+)*(?:e[+-]?\d+)?(?:\s?(?:{_UNITS})(?!\w))?",
        r"\d+",
    )
)
_ROWS_OF_GAPS = re.compile(rf"{GAP}(?:\s*[,;/.:x-]?\s*{GAP})+")
_SPACES = re.compile(r"\s+")
_URL_TAIL = re.compile(r"(\bhttps?://)(?:[^\s/@'\"]*@)?([^\s/?#'\"<>)\],;]*)[^\s'\"<>)\],;]*", re.IGNORECASE)


def normalised_message(error_type: str, message: str) -> str:
    """Return the message with ``#`` in place of each varying part; of a URL the server is kept."""
    text = message[:MAX_READ_CHARACTERS]
    keeps_names = error_type.rpartition(".")[2] in _OF_CODE
    text = _QUOTED.sub(lambda quoted: _quoted(quoted, keeps_names=keeps_names), text)
    text = _URL_TAIL.sub(rf"\1\2/{GAP}", text)
    for pattern in _CHANGING:
        text = pattern.sub(GAP, text)
    return _SPACES.sub(" ", _ROWS_OF_GAPS.sub(GAP, text)).strip()


def fingerprint_of(error_type: str, message: str) -> str:
    """Return 16 hexadecimal digits that are equal for errors of one type whose messages differ only in details."""
    text = f"{error_type}:{normalised_message(error_type, message)}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:FINGERPRINT_CHARACTERS]


def _quoted(quoted: re.Match[str], *, keeps_names: bool) -> str:
    inside = next((part for part in quoted.groups() if part is not None), "")
    is_name = len(inside) <= _MAX_NAME_CHARACTERS and _NAME.match(inside) is not None
    return f"'{inside}'" if keeps_names and is_name else GAP
