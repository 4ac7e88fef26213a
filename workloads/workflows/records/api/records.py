"""Serializers of records of runs that were executed outside the platform. They limit what is stored and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from tenants.api.input import MomentField, NameField, StrictSerializer, TextField, WholeNumberField
from tenants.database.ids import uuid7_floor
from workloads.workflows.records.models import STATE_CHOICES
from workloads.workflows.records.rows import MAX_ERROR_CODE, MAX_ERROR_MESSAGE, MAX_WORKFLOW_NAME

MAX_NUMBER: Final = 2**31 - 1
MAX_TOKENS: Final = 2**53
MAX_NODES: Final = 1_000
MAX_PATH: Final = 10
# A page draws the graph at each poll.
MAX_GRAPH_NODES: Final = 500
MAX_GRAPH_EDGES: Final = 1_000
# Clients' clocks may be ahead by this much.
CLOCK_TOLERANCE: Final = timedelta(minutes=5)


class IdField(serializers.UUIDField):
    """Serializer field of a UUID given as a string; numbers are refused."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        found: UUID = super().to_internal_value(data)
        return found


class RunIdField(IdField):
    """Serializer field of a run's id: a UUIDv7, because runs are listed and kept by the time in their id."""

    default_error_messages = {
        "version": gettext_lazy("Not a UUIDv7."),
        "future": gettext_lazy("The time of the UUIDv7 is more than five minutes ahead."),
    }

    def to_internal_value(self, data: Any) -> UUID:
        found = super().to_internal_value(data)
        if found.version != 7:
            self.fail("version")
        if found > uuid7_floor(timezone.now() + CLOCK_TOLERANCE):
            self.fail("future")
        return found


class RecordedWorkflowSerializer(StrictSerializer):
    """The workflow of a recorded run, with its version."""

    id = IdField()
    version = WholeNumberField(min_value=1, max_value=MAX_NUMBER)
    name = NameField(max_length=MAX_WORKFLOW_NAME, required=False, allow_blank=True)


class RecordedErrorSerializer(StrictSerializer):
    """The error of a recorded run or node."""

    code = NameField(max_length=MAX_ERROR_CODE)
    message = TextField(max_length=MAX_ERROR_MESSAGE, default="", allow_blank=True)


class GraphNodeSerializer(StrictSerializer):
    """A node of the graph that the run's page draws."""

    id = NameField(max_length=100)
    type = NameField(max_length=64)
    title = TextField(max_length=200, allow_blank=True)
    parent = NameField(max_length=100, required=False, help_text="The id of the iteration around the node.")


class GraphEdgeSerializer(StrictSerializer):
    """An edge of the graph that the run's page draws, given by the ids of its nodes."""

    source = NameField(max_length=100)
    target = NameField(max_length=100)
    label = TextField(max_length=200, required=False, allow_blank=True)


class GraphSerializer(StrictSerializer):
    """The graph that the run's page draws."""

    nodes = GraphNodeSerializer(many=True, max_length=MAX_GRAPH_NODES)
    edges = GraphEdgeSerializer(many=True, max_length=MAX_GRAPH_EDGES)


class RecordedSerializer(StrictSerializer):
    """Base of the records of runs and nodes. A field that is absent keeps its stored value."""

    version = WholeNumberField(
        min_value=1, max_value=MAX_NUMBER, help_text="Incremented with each change; the newest record is kept."
    )
    state = serializers.ChoiceField(choices=STATE_CHOICES)
    inputs = serializers.DictField(required=False)
    outputs = serializers.DictField(required=False)
    error = RecordedErrorSerializer(required=False)
    started_at = MomentField(required=False)
    ended_at = MomentField(required=False)


class RecordedRunSerializer(RecordedSerializer):
    """The record of a run at one version."""

    id = RunIdField(help_text="A UUIDv7 of the run's start, made by the client.")
    workflow = RecordedWorkflowSerializer()
    total_tokens = WholeNumberField(min_value=0, max_value=MAX_TOKENS, required=False)
    total_steps = WholeNumberField(min_value=0, max_value=MAX_NUMBER, required=False)
    graph = GraphSerializer(required=False)


class RecordedNodeSerializer(RecordedSerializer):
    """The record of a node at one version. Each node has its own versions."""

    node = NameField(max_length=100)
    path = serializers.ListField(
        child=WholeNumberField(min_value=0, max_value=MAX_NUMBER),
        max_length=MAX_PATH,
        required=False,
        help_text="The indexes of the iterations around the node.",
    )
    type = NameField(max_length=64)
    attempt = WholeNumberField(min_value=1, max_value=MAX_NUMBER, required=False)
    tokens = WholeNumberField(min_value=0, max_value=MAX_TOKENS, required=False)


class RecordSerializer(StrictSerializer):
    """Request body: the record of a run, and those of its nodes that have changed."""

    run = RecordedRunSerializer()
    nodes = RecordedNodeSerializer(many=True, max_length=MAX_NODES, required=False)

    default_error_messages = {"repeated": gettext_lazy("The same node and path twice.")}

    def validate_nodes(self, nodes: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        places = {(node["node"], *node.get("path", ())) for node in nodes}
        if len(places) < len(nodes):
            self.fail("repeated")
        return nodes


class RecordAnswerSerializer(serializers.Serializer[Any]):
    """A record that was accepted. `jobs/{job}/` shows the job that stores it."""

    run = serializers.UUIDField()
    job = serializers.UUIDField()
