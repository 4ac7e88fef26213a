"""Files of translations: `django.po`, which people edit, and `django.mo`, which is served. No gettext is needed."""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import django
from django.apps import apps

from tools.messages.foreign import LANGUAGE, known_to
from tools.messages.sources import ROOT, Message

FOLDER = ROOT / "jobsplatform" / "locale" / LANGUAGE / "LC_MESSAGES"
PO, MO = FOLDER / "django.po", FOLDER / "django.mo"
HEADER = "Content-Type: text/plain; charset=UTF-8\nLanguage: zh_Hans\nPlural-Forms: nplurals=1; plural=0;\n"
PLACES = re.compile(r"%\((\w+)\)[#0\- +]*[\d.]*[a-z]|%[sd]|\{(\w+)\}")
_FIELD = re.compile(r'^(msgid|msgid_plural|msgstr|msgstr\[0\]|)\s*("(?:[^"\\]|\\.)*")$')


class CatalogueError(Exception):
    """A line of the file of translations is none."""


def read(path: Path = PO) -> dict[Message, str]:
    """The translations by their messages; fuzzy ones count as none."""
    found: dict[Message, str] = {}
    for block in path.read_text(encoding="utf-8").split("\n\n") if path.exists() else []:
        fields: dict[str, str] = {}
        key = ""
        for line in block.strip().splitlines():
            if line.startswith("#"):
                continue
            match = _FIELD.match(line)
            if match is None:
                raise CatalogueError(f"{path.name}: {line}")
            key = match[1] or key
            fields[key] = fields.get(key, "") + ast.literal_eval(match[2])
        if fields.get("msgid"):
            text = fields.get("msgstr", fields.get("msgstr[0]", ""))
            message = Message(fields["msgid"], fields.get("msgid_plural", ""))
            found[message] = "" if "#, fuzzy" in block else text
    return found


def write(translations: Mapping[Message, str], places: Mapping[Message, list[str]]) -> None:
    """Both files, in the order of the messages, so that a change is a change of its own lines."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    blocks = [f'msgid ""\nmsgstr {_quoted(HEADER)}']
    for message in sorted(places):
        lines = [f"#: {' '.join(places[message][:2])}", f"msgid {_quoted(message.text)}"]
        text = _quoted(translations.get(message, ""))
        lines += (
            [f"msgid_plural {_quoted(message.plural)}", f"msgstr[0] {text}"] if message.plural else [f"msgstr {text}"]
        )
        blocks.append("\n".join(lines))
    PO.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    MO.write_bytes(compiled({message: translations.get(message, "") for message in places}))


def compiled(translations: Mapping[Message, str]) -> bytes:
    """The same as gettext's own format holds it."""
    texts = {"": HEADER}
    for message, text in translations.items():
        if text:
            texts["\0".join(filter(None, (message.text, message.plural)))] = text
    keys = sorted(key.encode() for key in texts)
    values = [texts[key.decode()].encode() for key in keys]
    table, at = [], 28 + 16 * len(keys)
    for part in (keys, values):
        for data in part:
            table.append(struct.pack("<2I", len(data), at))
            at += len(data) + 1
    start = struct.pack("<7I", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, 28 + 16 * len(keys))
    return start + b"".join(table) + b"".join(data + b"\0" for data in [*keys, *values])


def faults(message: Message, text: str) -> list[str]:
    """What is wrong with a translation: none, or other places for values than the message has."""
    if not text:
        return ["untranslated"]
    wanted = {"".join(found) for found in PLACES.findall(message.plural or message.text)}
    given = {"".join(found) for found in PLACES.findall(text)}
    return [] if wanted == given else [f"values {sorted(given)} in place of {sorted(wanted)}"]


def known_to_django() -> frozenset[str]:
    """What those parts of Django say themselves in this language that are installed."""
    parts = [config.path for config in apps.get_app_configs() if config.name.startswith("django.")]
    return known_to(Path(django.__file__).parent / "conf").union(*(known_to(Path(part)) for part in parts))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
