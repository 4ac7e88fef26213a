"""`python -m tools.messages` brings the file of translations up to what is said, and prints what has none yet.

`--fill FILE` takes translations from lines of `number<tab>translation`, numbered as they were printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Container
from pathlib import Path

import django


def main(arguments: list[str]) -> int:
    """Write both files; 1 while something is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.messages", description=__doc__)
    parser.add_argument("--fill", type=Path, metavar="FILE", help="translations of what was printed as missing")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")
    django.setup()
    from tools.messages import catalogue
    from tools.messages.sources import find_messages

    translations = catalogue.read()
    places = wanted(find_messages(), catalogue.known_to_django(), kept=translations)
    missing = [message for message in sorted(places) if catalogue.faults(message, translations.get(message, ""))]
    if options.fill:
        for line in options.fill.read_text(encoding="utf-8").splitlines():
            number, _tab, text = line.partition("\t")
            if number.isdigit() and text:
                translations[missing[int(number)]] = text.replace("\\n", "\n")
    catalogue.write(translations, places)
    for number, message in enumerate(missing):
        for fault in catalogue.faults(message, translations.get(message, "")):
            note = "" if fault == "untranslated" else f"  # {fault}"
            plural = f" | {message.plural!r}" if message.plural else ""
            sys.stdout.write(f"{number}\t{message.text!r}{plural}{note}\n")
    return int(any(catalogue.faults(message, translations.get(message, "")) for message in missing))


def wanted(found: dict, known: frozenset[str], kept: Container = ()) -> dict:  # type: ignore[type-arg]
    """What this project translates: all but what this Django does; of that, what is ``kept`` since another does not."""
    return {message: where for message, where in found.items() if message.text not in known or message in kept}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
