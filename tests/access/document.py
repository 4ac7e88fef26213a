"""Generator of the tables in docs/reference/permissions.md: `python -m tests.access.document` rewrites them."""

from __future__ import annotations

from pathlib import Path

from tenants.access.permission_texts import text_of
from tenants.access.permissions import (
    KEY_PERMISSIONS,
    PLATFORM_KEY_PERMISSIONS,
    PLATFORM_ROLES,
    TENANT_ROLES,
    Permission,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "permissions.md"
BEGIN, END = "<!-- roles -->\n", "<!-- end of roles -->\n"


def render_roles() -> str:
    """Return one row for each right: what it permits, and its holders."""
    columns: dict[str, frozenset[Permission]] = {
        **TENANT_ROLES,
        "key": KEY_PERMISSIONS,
        "platform key": PLATFORM_KEY_PERMISSIONS,
        **{role.value: rights for role, rights in PLATFORM_ROLES.items()},
    }
    head = f"| permission | meaning | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}\n"
    rows = []
    for right in Permission:
        ticks = " | ".join("✓" if right in rights else "" for rights in columns.values())
        rows.append(f"| `{right}` | {text_of(right)} | {ticks} |")
    return head + "\n".join(rows) + "\n"


def written() -> str:
    """Return the page with the generated tables."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + render_roles() + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(written())
