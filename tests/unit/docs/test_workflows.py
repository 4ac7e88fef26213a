"""The page on workflows and its schema equal the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from django.conf import settings

from workloads.workflows.definition.graph_checks import __file__ as graph_checks
from workloads.workflows.definition.node_parts import OPERATORS
from workloads.workflows.definition.node_types import NODE_TYPES
from workloads.workflows.definition.schema import definition_schema
from workloads.workflows.definition.template_filters import FILTER_NAMES
from workloads.workflows.tenant_settings import SETTINGS

DOCS = Path(settings.BASE_DIR) / "docs"
PAGE = (DOCS / "how-to" / "workflows.md").read_text()


def test_documented_schema_is_the_published_one() -> None:
    assert json.loads((DOCS / "reference" / "workflow.schema.json").read_text()) == definition_schema()


def test_page_names_every_node_type_with_config_and_outputs() -> None:
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
    for name, kind in NODE_TYPES.items():
        missing = [word for word in (*kind.properties, *(kind.outputs or ())) if f"`{word}" not in rows[name]]
        assert not missing, (name, missing)


def test_page_names_operators_filters_settings_and_faults() -> None:
    assert all(f"`{operator}`" in PAGE for operator in OPERATORS)
    listed = re.search(r"the filters `([a-z\s]+)`", PAGE)
    assert listed is not None
    aliases = {"d", "e", "count", "items", "string", "list", "escape"}
    assert set(listed[1].split()) | aliases == FILTER_NAMES | aliases
    assert all(
        f"`{setting.key.rpartition('.')[2]}`" in PAGE
        or setting.key in PAGE
        or f"`.{setting.key.rpartition('.')[2]}`" in PAGE
        for setting in SETTINGS.settings
    )
    codes = set(re.findall(r'yield "([a-z_]+)"', Path(graph_checks).read_text()))
    assert codes
    assert all(f"`{code}`" in PAGE for code in codes)
