"""Loader of named SQL statements."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR
from tenants.database.sql import load_sql
from tests.named_sql import named_statements, sql_files

HEADERS = re.compile(r"^-- (?:name|fragment): (\w+)$", re.MULTILINE)
INCLUDES = re.compile(r"^ *-- include: (\w+)$", re.MULTILINE)


def load(folder: Path, text: str, shared: str | None = None) -> dict[str, str]:
    """Write a file in a package, and the shared file of the package around it; load it as its module does."""
    (folder / "inner").mkdir()
    for package in (folder, folder / "inner"):
        (package / "__init__.py").touch()
    (folder / "inner" / "jobs.sql").write_text(text)
    if shared is not None:
        (folder / "shared.sql").write_text(shared)
    found = load_sql(str(folder / "inner" / "jobs.py"))
    # Without the texts that every module can include.
    (folder / "none.sql").touch()
    common = () if shared is not None else load_sql(str(folder / "none.py")).keys()
    return {name: text for name, text in found.items() if name not in common}


def test_statement_is_read_without_comments_and_indentation(tmp_path: Path) -> None:
    text = (
        "-- About the file.\n\n-- name: find_job\n-- Find a job.\n--\n-- At most one.\nSELECT 1\n  -- 100 % of\n"
        "    WHERE true;\n\n-- name: drop_job\nDELETE FROM job WHERE id = %(id)s;\n"
    )
    assert load(tmp_path, text) == {
        "find_job": "SELECT 1\nWHERE true",
        "drop_job": "DELETE FROM job WHERE id = %(id)s",
    }


def test_include_is_replaced_by_the_text_of_its_name(tmp_path: Path) -> None:
    text = (
        "-- name: find\n-- Described.\n-- include: head\nSELECT * FROM head\n    -- include: tail\n;\n\n"
        "-- fragment: head\nWITH head AS (SELECT 1)\n\n-- fragment: tail\n-- Described too.\nWHERE\n-- include: true\n"
    )
    shared = "-- fragment: true\ntrue\n"
    found = load(tmp_path, text, shared)
    assert " ".join(found["find"].split()) == "WITH head AS (SELECT 1) SELECT * FROM head WHERE true"


@pytest.mark.parametrize(
    ("text", "shared", "message"),
    [
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n", None, "a is defined twice"),
        ("-- name: a\nSELECT 1;\n", "-- fragment: a\n2\n", "a is defined twice"),
        ("-- name: a\nSELECT\n-- include: b\n;\n", None, "include b is defined nowhere"),
    ],
)
def test_ambiguous_and_unknown_names_are_refused(tmp_path: Path, text: str, shared: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, text, shared)


def test_unknown_statement_raises_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load(tmp_path, "-- name: a\nSELECT 1;\n")["b"]


def test_module_without_its_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_sql(str(tmp_path / "jobs.py"))


def test_statements_of_the_product_contain_no_unresolved_include() -> None:
    assert named_statements()
    assert [name for name, text in named_statements().items() if "include:" in text or ";" in text] == []


def test_every_statement_of_the_product_is_described() -> None:
    bare = re.compile(r"^-- name: (\w+)\n(?!-- (?!include: ))", re.MULTILINE)
    found = {str(path.relative_to(BASE_DIR)): bare.findall(path.read_text()) for path in sql_files()}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_name_of_the_product_is_used() -> None:
    """A statement is named by the module beside its file, a fragment by an include."""
    unused = []
    included = {name for path in sql_files() for name in INCLUDES.findall(path.read_text())}
    for path in sql_files():
        module = path.with_suffix(".py")
        source = module.read_text() if module.exists() else ""
        for name in HEADERS.findall(path.read_text()):
            # A dynamic name, such as look_{table}, counts by its beginning.
            beginnings = [name[: underscore.start()] for underscore in re.finditer("_", name)]
            is_named = f'"{name}"' in source or any(f'f"{beginning}_{{' in source for beginning in beginnings)
            if name not in included and not is_named:
                unused.append(f"{path.relative_to(BASE_DIR)}:{name}")
    assert unused == []
