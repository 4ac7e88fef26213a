"""Row locks do not block foreign keys of other rows: FOR NO KEY UPDATE, unless the locked row will be deleted."""

from __future__ import annotations

import ast
import re

from jobsplatform.settings.env import BASE_DIR
from tests.architecture.test_cross_tenant_functions import sources
from tests.named_sql import sql_sources
from tests.syntax import nodes_of, parse

FOR_UPDATE = re.compile(r"\bFOR\s+UPDATE\b(?! TO )")
# Files that lock rows FOR UPDATE because they delete them. No row of a tenant itself is among them.
DELETING = {
    "workloads/documents/evaluation/service.py": 1,
    "workloads/documents/indexing/service.py": 1,
    "workloads/pipelines/service.py": 1,
    "workloads/documents/service.py": 1,
    "workloads/workflows/service.py": 1,
    "workloads/workflows/records/upkeep.sql": 1,
    "scheduling/upkeep/retention/jobs.sql": 2,
    "scheduling/log_search/platform_lines.sql": 1,
}


def full_locks(source: str) -> int:
    """Return how many locks of a module block foreign key checks of other transactions."""
    found = 0
    for node in nodes_of(parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "select_for_update":
            found += not any(
                keyword.arg == "no_key" and getattr(keyword.value, "value", None) is True for keyword in node.keywords
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += len(FOR_UPDATE.findall(node.value))
    return found


def test_full_row_locks_are_taken_for_deleted_rows_only() -> None:
    found = {path: count for path, source in sources() if (count := full_locks(source))}
    found |= {path: count for path, text in sql_sources() if (count := len(FOR_UPDATE.findall(text)))}
    assert found == DELETING


def test_full_locks_are_counted() -> None:
    assert full_locks("rows.select_for_update().get(); rows.select_for_update(skip_locked=True)") == 2
    assert full_locks("Q = 'SELECT 1 FROM t FOR UPDATE SKIP LOCKED'") == 1
    assert full_locks("rows.select_for_update(no_key=True); Q = 'SELECT 1 FROM t FOR NO KEY UPDATE'") == 0


def test_named_files_exist() -> None:
    assert [path for path in DELETING if not (BASE_DIR / path).is_file()] == []
