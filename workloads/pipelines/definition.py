"""Validation of a pipeline's definition, which is a graph, and of the sources of a run.

The code reads no table: whether its dataset and files exist is checked when a definition is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from django.utils.translation import gettext
from jsonschema import Draft202012Validator

from scheduling.kit.http import UrlRefusedError, read_target, refusal_of
from tenants.tenancy.bases import find_invisible_character
from workloads.pipelines.indexing_settings import read_settings
from workloads.pipelines.node_types import PIPELINE
from workloads.pipelines.source_schema import SOURCES_SCHEMA
from workloads.pipelines.step_order import check_steps
from workloads.workflows.definition.schema import definition_schema
from workloads.workflows.definition.tenant_checks import UNBOUNDED, TenantBounds
from workloads.workflows.definition.validation import MAX_FAULTS, WorkflowFault, faults_in, schema_faults

SCHEMA: Final = definition_schema(PIPELINE)


def find_faults(definition: object, bounds: TenantBounds = UNBOUNDED) -> list[WorkflowFault]:
    """Return the faults of a definition, each with its position; an empty list if it is valid."""
    faults = faults_in(without_sources(definition), bounds, PIPELINE)
    if faults or not isinstance(definition, Mapping):
        return faults
    faults = [WorkflowFault(*found) for found in check_steps(definition)]
    for number, node in enumerate(definition["nodes"]):
        if node["type"] == "split":
            split = read_settings({"split": node.get("config", {})}).split_settings
            place = f"/nodes/{number}/config"
            faults += [WorkflowFault("value_invalid", f"{place}/{name}", text) for name, text in split.find_faults()]
    sources, place = sources_of(definition), place_of_sources(definition)
    faults += find_source_faults(sources, place) or _address_faults(sources, place)
    return faults[:MAX_FAULTS]


def find_source_faults(sources: object, place: str = "/sources") -> list[WorkflowFault]:
    """Return the faults of the sources that were requested for a run, each with its position."""
    faults = list(schema_faults(_source_validator(), sources, place))[:MAX_FAULTS]
    return faults or _source_faults(sources, place)  # type: ignore[arg-type] # the schema has said so


def without_sources(definition: object) -> object:
    """Return a definition without the sources of its datasources, which are checked by themselves."""
    if not isinstance(definition, Mapping) or not isinstance(definition.get("nodes"), list):
        return definition
    return {**definition, "nodes": [_without_sources(node) for node in definition["nodes"]]}


def sources_of(definition: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the sources in a definition with a valid graph."""
    sources: Sequence[Mapping[str, Any]] = _first(definition)[1].get("config", {}).get("sources", [])
    return sources


def place_of_sources(definition: Mapping[str, Any]) -> str:
    """Return the position of the sources in a definition with a valid graph."""
    return f"/nodes/{_first(definition)[0]}/config/sources"


def target_of(definition: Mapping[str, Any]) -> tuple[str, str]:
    """Return the dataset that a valid definition names, and its position."""
    number, node = _find(definition, PIPELINE.last)
    return node["config"]["dataset"], f"/nodes/{number}/config/dataset"


def _first(definition: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    return _find(definition, PIPELINE.first)


def _find(definition: Mapping[str, Any], name: str) -> tuple[int, Mapping[str, Any]]:
    return next((number, node) for number, node in enumerate(definition["nodes"]) if node["type"] == name)


def _without_sources(node: Any) -> Any:
    if not isinstance(node, Mapping) or node.get("type") != PIPELINE.first or not isinstance(node.get("config"), dict):
        return node
    return {**node, "config": {name: value for name, value in node["config"].items() if name != "sources"}}


@cache
def _source_validator() -> Any:
    return Draft202012Validator(SOURCES_SCHEMA)


def _address_faults(sources: Sequence[Mapping[str, Any]], place: str) -> list[WorkflowFault]:
    """Return the URLs that no run may call; those that a run names are refused one by one, by its entities."""
    return [
        WorkflowFault("address_refused", f"{place}/{index}/url", refusal)
        for index, source in enumerate(sources)
        if source["type"] == "url" and (refusal := refusal_of(source["url"]))
    ]


def _source_faults(sources: Sequence[Mapping[str, Any]], place: str) -> list[WorkflowFault]:
    """Return the faults that no schema can express: refused URLs and invisible characters in names."""
    faults = []
    for index, source in enumerate(sources):
        if find_invisible_character(source.get("name", "")) is not None:
            detail = gettext("It contains an invisible character.")
            faults.append(WorkflowFault("name_invalid", f"{place}/{index}/name", detail))
        if source["type"] != "url":
            continue
        try:
            read_target(source["url"])
        except UrlRefusedError as refusal:
            faults.append(WorkflowFault("url_refused", f"{place}/{index}/url", str(refusal)))
    return faults
