"""Loader of named SQL statements from the ``.sql`` file beside a module.

``-- name: claim_jobs`` starts a statement and ``-- fragment: gate`` starts a part to include; comment lines below it
describe it. The line ``-- include: gate`` is replaced by the text of that name, from the same file or from a
``shared.sql`` in its package, in a package around it or in this package. Parameters are psycopg's: ``%(job_id)s``.
Comments and indentation are removed, since the texts are sent and logged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

_SHARED = Path(__file__).with_name("shared.sql")
_BEGIN = re.compile(r"^-- (?:name|fragment): (\w+)\n(?:--(?! include: ).*\n)*", re.MULTILINE)
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_LAYOUT = re.compile(r"^\s*(?:--(?! include: ).*\n\s*)*", re.MULTILINE)


def load_sql(module_file: str) -> Mapping[str, str]:
    """Return the texts of a module's ``.sql`` file and of the shared files, by name, with their includes filled in.

    Raise ValueError if a name occurs twice or an include names no text.
    """
    own = Path(module_file).with_suffix(".sql")
    packages = takewhile(lambda folder: (folder / "__init__.py").exists(), own.parents)
    texts: dict[str, str] = {}
    for path in dict.fromkeys((_SHARED, *(folder / "shared.sql" for folder in packages), own)):
        if path != own and not path.exists():
            continue
        _, *parts = _BEGIN.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in texts:
                raise ValueError(f"{path}: {name} is defined twice.")
            texts[name] = _LAYOUT.sub("", text).strip().removesuffix(";").rstrip()

    def include(match: re.Match[str]) -> str:
        """Return the text that an include names."""
        if match[1] not in texts:
            raise ValueError(f"{own}: the include {match[1]} is defined nowhere.")
        return _INCLUDE.sub(include, texts[match[1]])

    return {name: _INCLUDE.sub(include, text) for name, text in texts.items()}
