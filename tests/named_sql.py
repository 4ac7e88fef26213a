"""The `.sql` files of the product and the statements in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR
from tenants.database.sql import load_sql

PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def sql_files() -> list[Path]:
    """Return the `.sql` files of the product, without those of migrations."""
    found = [path for package in PACKAGES for path in sorted((BASE_DIR / package).rglob("*.sql"))]
    return [path for path in found if "migrations" not in path.parts]


def sql_sources() -> Iterator[tuple[str, str]]:
    """Yield path and text of each file."""
    for path in sql_files():
        yield str(path.relative_to(BASE_DIR)), path.read_text()


def named_statements() -> dict[str, str]:
    """Return the texts of all statements, with their includes, by file and name."""
    return {
        f"{path.relative_to(BASE_DIR)}:{name}": load_sql(str(path))[name]
        for path in sql_files()
        for name in _NAME.findall(path.read_text())
    }
