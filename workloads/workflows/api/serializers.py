"""Serializers of workflows, versions, runs and approvals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import MomentField, NameField, StrictSerializer, TextField, WholeNumberField
from workloads.workflows.models import Approval, ApprovalState, Workflow, WorkflowVersion


@extend_schema_field({"type": "object", "description": "By the schema at `workflows/schema/`."})
class WorkflowDefinitionField(serializers.DictField):
    """Serializer field for the definition of a workflow, a JSON object."""


class WorkflowSerializer(serializers.ModelSerializer[Workflow]):
    """A workflow without its definition."""

    latest_version = serializers.IntegerField(
        source="version", read_only=True, help_text="Number of the version in effect."
    )

    class Meta:
        model = Workflow
        fields = ["id", "name", "description", "latest_version", "created_at"]
        read_only_fields = fields


class WorkflowVersionSummarySerializer(serializers.ModelSerializer[WorkflowVersion]):
    """A version of a workflow, without its definition."""

    note = serializers.CharField(source="reason", read_only=True, help_text="A note on the changes.")
    created_by = serializers.CharField(source="author", read_only=True)
    outcome = serializers.CharField(read_only=True, help_text="`waiting`, `applied`, `withdrawn` or `refused`.")
    outcome_note = serializers.CharField(read_only=True, help_text="Why it was withdrawn or refused.")

    class Meta:
        model = WorkflowVersion
        fields = [
            "number",
            "note",
            "created_by",
            "created_at",
            "effective_from",
            "outcome",
            "outcome_at",
            "outcome_note",
        ]
        read_only_fields = fields


class WorkflowVersionSerializer(WorkflowVersionSummarySerializer):
    """A version of a workflow with its definition, and its difference from the version it was compared with.

    That is the version which was in effect when this one was written.
    """

    definition = WorkflowDefinitionField(source="content")
    before = serializers.DictField(help_text="Nodes, edges and other parts that differed, with their former content.")
    after = serializers.DictField(help_text="The same parts as in this version.")

    class Meta(WorkflowVersionSummarySerializer.Meta):
        fields = [*WorkflowVersionSummarySerializer.Meta.fields, "definition", "before", "after"]
        read_only_fields = fields


class WorkflowChangesSerializer(StrictSerializer):
    """Request body: the fields of a workflow that can be changed without a new version."""

    name = NameField(max_length=100, required=False)
    description = TextField(max_length=1_000, required=False, allow_blank=True)


class NewWorkflowSerializer(WorkflowChangesSerializer):
    """Request body: a new workflow with its first version."""

    name = NameField(max_length=100)
    definition = WorkflowDefinitionField()
    note = TextField(max_length=500, default="", allow_blank=True)


class NewVersionSerializer(StrictSerializer):
    """Request body: the next version of a workflow."""

    definition = WorkflowDefinitionField()
    note = TextField(max_length=500, default="", allow_blank=True, help_text="A note on the changes.")
    based_on = WholeNumberField(
        min_value=1,
        required=False,
        help_text="The version that was read: 409 `workflow_changed` if another is in effect.",
    )
    effective_from = MomentField(required=False, allow_null=True, help_text="Absent or null: at once.")


class DefinitionSerializer(StrictSerializer):
    """Request body: a definition to check or to compare."""

    definition = WorkflowDefinitionField()


class DefinitionFaultSerializer(serializers.Serializer[Any]):
    """One fault in a definition, and where it is."""

    code = serializers.CharField()
    pointer = serializers.CharField(help_text="A JSON pointer into the definition.")
    detail = serializers.CharField()


class CheckedSerializer(serializers.Serializer[Any]):
    """The result of checking a definition."""

    is_valid = serializers.BooleanField()
    faults = DefinitionFaultSerializer(many=True)


class WorkflowPreviewSerializer(CheckedSerializer):
    """What a definition would change, compared with the version in effect."""

    before = serializers.DictField(help_text="Nodes, edges and other parts that differ, as in the version in effect.")
    after = serializers.DictField(help_text="The same parts as in the definition.")
    runs = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Runs that have not ended, by version; each keeps the version to which it is pinned.",
    )


class NewRunSerializer(StrictSerializer):
    """Request body: a run to start."""

    inputs = serializers.DictField(default=dict, help_text="The inputs that the start node declares.")
    version = WholeNumberField(min_value=1, required=False, help_text="Default: the version in effect.")
    tags = serializers.ListField(child=NameField(max_length=64), default=list, max_length=20)
    fair_key = NameField(
        default="",
        allow_blank=True,
        max_length=100,
        help_text="The fair key of the run; all of a tenant's fair keys have the same weight.",
    )


class NewReplaySerializer(NewRunSerializer):
    """Request body: a replay of an ended run from a node."""

    node = NameField(max_length=40, help_text="Its id; it and the nodes after it are run again.")
    inputs = serializers.DictField(default=dict, help_text="Inputs that replace those of the run; the others stay.")
    outputs = serializers.DictField(
        child=serializers.DictField(), default=dict, help_text="Outputs that replace those of kept nodes, by node."
    )
    version = WholeNumberField(min_value=1, required=False, help_text="Default: the version of the run.")


class RunAnswerSerializer(serializers.Serializer[Any]):
    """A submitted run. `workflow-runs/{run}/` shows the run, `jobs/{job}/` its job."""

    run = serializers.UUIDField()
    job = serializers.UUIDField()
    workflow = serializers.UUIDField()
    version = serializers.IntegerField()


class ReplayAnswerSerializer(RunAnswerSerializer):
    """A submitted replay, and the nodes that it keeps and runs again."""

    replay_of = serializers.UUIDField()
    kept = serializers.ListField(child=serializers.CharField())
    run_again = serializers.ListField(child=serializers.CharField(), help_text="Unless their branch is not taken.")


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """An approval: a question that a workflow run asks people, and its answer."""

    state = serializers.ChoiceField(source="shown_state", choices=ApprovalState.choices)
    workflow = serializers.UUIDField(source="workflow_id")
    workflow_name = serializers.CharField(source="workflow.name")
    run = serializers.UUIDField(source="job_id")

    class Meta:
        model = Approval
        fields = [
            "id",
            "state",
            "title",
            "text",
            "workflow",
            "workflow_name",
            "run",
            "node",
            "created_at",
            "expires_at",
            "decided_at",
            "decided_by",
            "comment",
        ]
        read_only_fields = fields


class ApprovalQuerySerializer(StrictSerializer):
    """Query parameters that filter the list of approvals."""

    state = serializers.ChoiceField(choices=ApprovalState.choices, required=False)
    workflow = serializers.UUIDField(required=False)


class ApprovalDecisionSerializer(StrictSerializer):
    """Request body: the decision of an approval, and a comment."""

    decision = serializers.ChoiceField(choices=["approved", "rejected"])
    comment = TextField(max_length=1_000, default="", allow_blank=True)
