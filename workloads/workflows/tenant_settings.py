"""The tenant settings of workflows: some the tenant can change, others (limits) only the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext, gettext_noop

from scheduling.kit.http import refusal_of
from tenants.secrets.references import NAME_PATTERN
from tenants.settings.schema import Setting, SettingGroup
from workloads.model_endpoints.endpoints import OWN, PLATFORM
from workloads.workflows.definition.config_parts import NAME
from workloads.workflows.definition.schema import MAX_DEPTH as DEEPEST

_URL: Final = "https?://[!-~]+"


def check_url(url: str) -> str:
    """Return why a new URL of an endpoint is refused, or an empty text."""
    return refusal_of(url) if url else ""


def check_fallbacks(declared: list[Mapping[str, str]]) -> str:
    """Return why a new list of endpoints is refused, or an empty text: names, then URLs."""
    names = [one["name"] for one in declared]
    for number, one in enumerate(declared):
        if one["name"] in names[:number] or one["name"] == OWN:
            return gettext("The name %(name)s is taken.") % {"name": one["name"]}
        if ("url" in one) is (one["name"] == PLATFORM):
            return gettext("Each endpoint needs a url, except one with the name platform, which is the platform's.")
        if refusal := check_url(one.get("url", "")):
            return f"{one['name']}: {refusal}"
    return ""


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
LLM_URL: Final = Setting(
    key="workflow_execution.llm_url",
    title=gettext_noop("Model endpoint"),
    help_text=gettext_noop(
        "Base URL of a chat endpoint that speaks OpenAI's API, such as https://api.example.com/v1; empty: the"
        " platform's."
    ),
    schema={"type": "string", "maxLength": 500, "pattern": f"^({_URL})?$"},
    default="",
    check=check_url,
)
LLM_KEY: Final = Setting(
    key="workflow_execution.llm_key",
    title=gettext_noop("Key of the model endpoint"),
    help_text=gettext_noop(
        "Stored as a secret that is sent only to the host of the model endpoint. To use a stored secret, enter "
        "{{ secrets.name }}."
    ),
    schema={"type": "string", "maxLength": 500, "pattern": "^[!-~]*$"},
    default="",
    is_secret=True,
    host_of=LLM_URL.key,
)
LLM_MODEL: Final = Setting(
    key="workflow_execution.llm_model",
    title=gettext_noop("Model"),
    help_text=gettext_noop("The model of llm nodes that name none; empty: the platform's, at the platform's endpoint."),
    schema={"type": "string", "maxLength": 200},
    default="",
)
LLM_FALLBACKS: Final = Setting(
    key="workflow_execution.llm_fallbacks",
    title=gettext_noop("Fall-back endpoints"),
    help_text=gettext_noop(
        "JSON list of chat endpoints that are called in this order if the model endpoint is down. A key is a reference "
        "to a stored secret: {{ secrets.name }}."
    ),
    schema={
        "type": "array",
        "maxItems": 5,
        "items": {
            "type": "object",
            "properties": {
                "name": NAME,
                "url": {"type": "string", "maxLength": 500, "pattern": f"^{_URL}$"},
                "model": {"type": "string", "maxLength": 200},
                "key": {"type": "string", "pattern": rf"^\{{\{{ secrets\.{NAME_PATTERN} \}}\}}$"},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    default=[],
    check=check_fallbacks,
)
SETTINGS: Final = SettingGroup(
    gettext_noop("Workflows"),
    (MAX_STEPS, MAX_SECONDS, MAX_DEPTH, MAX_ITEMS, PARALLEL_NODES, LLM_URL, LLM_KEY, LLM_MODEL, LLM_FALLBACKS),
)
