"""The tenant settings of workflows: some the tenant can change, others (limits) only the platform."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup
from workloads.workflows.definition.schema import MAX_DEPTH as DEEPEST

MAX_STEPS: Final = Setting(
    key="workflow_execution.max_steps",
    title=gettext_noop("Steps of a run"),
    help_text=gettext_noop(
        "A run that takes more steps fails; each item of an iteration takes one for each of its nodes."
    ),
    schema={"type": "integer", "minimum": 1, "maximum": 20_000},
    default=2_000,
    editor="platform",
)
MAX_SECONDS: Final = Setting(
    key="workflow_execution.max_seconds",
    title=gettext_noop("Working time of a run"),
    help_text=gettext_noop("Seconds that a run may work; delays and pending approvals do not count."),
    schema={"type": "integer", "minimum": 1, "maximum": 86_400},
    default=3_600,
    editor="platform",
)
MAX_DEPTH: Final = Setting(
    key="workflow_execution.max_depth",
    title=gettext_noop("Depth of iterations"),
    help_text=gettext_noop("Maximum depth of nested iterations and loops."),
    schema={"type": "integer", "minimum": 1, "maximum": DEEPEST},
    default=3,
    editor="platform",
    effect=gettext_noop("Applies to versions saved later."),
)
MAX_ITEMS: Final = Setting(
    key="workflow_execution.max_items",
    title=gettext_noop("Items of an iteration"),
    help_text=gettext_noop("An iteration over a longer list fails before its first item."),
    schema={"type": "integer", "minimum": 1, "maximum": 2_000},
    default=500,
    editor="platform",
)
PARALLEL_NODES: Final = Setting(
    key="workflow_execution.parallel_nodes",
    title=gettext_noop("Concurrent nodes of a run"),
    help_text=gettext_noop("Maximum number of concurrent requests, model calls and searches of one run."),
    schema={"type": "integer", "minimum": 1, "maximum": 50},
    default=10,
    editor="platform",
)
SETTINGS: Final = SettingGroup(
    gettext_noop("Workflows"),
    (MAX_STEPS, MAX_SECONDS, MAX_DEPTH, MAX_ITEMS, PARALLEL_NODES),
)
