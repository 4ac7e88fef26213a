"""Checks of a definition against what a tenant may use: addresses, endpoints, concurrent items. The code is pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenants.translation import translate
from workloads.model_endpoints.answer_schema import SchemaRefusedError, check_answer_schema
from workloads.workflows.definition.graph_checks import Found, placed_graphs
from workloads.workflows.definition.llm_config import check_llm
from workloads.workflows.definition.schema import MAX_DEPTH


def _accept(url: str) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantBounds:
    """What a tenant may use in a definition.

    ``refusal_of`` returns why a URL may not be called, or an empty text. ``max_parallel`` and ``endpoints`` do not
    bound if they are None. ``own_names`` are the id and the name of the workflow, if it has any yet.
    """

    max_depth: int = MAX_DEPTH
    max_parallel: int | None = None
    endpoints: Collection[str] | None = None
    own_names: Collection[str] = ()
    is_submittable: Callable[[str], bool] = bool
    refusal_of: Callable[[str], str] = _accept


UNBOUNDED: Final = TenantBounds()


def check_bounds(definition: Mapping[str, Any], bounds: TenantBounds) -> Iterator[Found]:
    """Yield a fault, as (code, pointer, detail), for each node of a valid definition that the tenant may not use."""
    for graph, pointer in placed_graphs(definition):
        for number, node in enumerate(graph["nodes"]):
            place, config = f"{pointer}/nodes/{number}", node.get("config", {})
            match node["type"]:
                case "http_request":
                    yield from _check_url(config["url"], f"{place}/config/url", bounds)
                case "iteration":
                    yield from _check_parallel(config.get("parallel", 1), f"{place}/config/parallel", bounds)
                case "sub_workflow" if config["workflow"] in bounds.own_names:
                    detail = translate("A workflow may not call itself.")
                    yield "calls_itself", f"{place}/config/workflow", detail
                case "json_extract" if "schema" in config:
                    yield from _check_schema(config["schema"], f"{place}/config/schema")
                case "llm":
                    for where, detail in check_llm(config):
                        yield "value_invalid", f"{place}/config{where}", detail
            if node["type"] in ("llm", "embedding"):
                yield from _check_endpoints(config, f"{place}/config", bounds)


def constant_origin(template: str) -> str:
    """Return a URL with the host of a template, if that is written out; else an empty text."""
    begin, mark, _ = template.strip().partition("{")
    # Up to the brace, the host ends only where its path begins.
    has_host = not mark or begin.partition("://")[2].find("/") > 0
    return begin if has_host else ""


def _check_schema(schema: Mapping[str, Any], place: str) -> Iterator[Found]:
    try:
        check_answer_schema(schema)
    except SchemaRefusedError as error:
        yield "value_invalid", place, str(error)


def _check_url(template: str, place: str, bounds: TenantBounds) -> Iterator[Found]:
    url = constant_origin(template)
    if url and (refusal := bounds.refusal_of(url)):
        yield "address_refused", place, refusal


def _check_parallel(asked: int, place: str, bounds: TenantBounds) -> Iterator[Found]:
    if bounds.max_parallel is not None and asked > bounds.max_parallel:
        yield (
            "too_parallel",
            place,
            translate(
                "At most %(limit)s items at once: %(setting)s bounds the concurrent nodes of a run.",
                {"limit": bounds.max_parallel, "setting": "workflow_execution.parallel_nodes"},
            ),
        )


def _check_endpoints(config: Mapping[str, Any], place: str, bounds: TenantBounds) -> Iterator[Found]:
    named = {"/endpoint": config["endpoint"]} if "endpoint" in config else {}
    named |= {f"/fallbacks/{at}": name for at, name in enumerate(config.get("fallbacks", ()))}
    for where, name in named.items():
        if bounds.endpoints is not None and name not in bounds.endpoints:
            yield (
                "unknown_endpoint",
                f"{place}{where}",
                translate("There is no model endpoint %(name)r: add it, or name another.", {"name": name}),
            )
