"""Serializers of job templates."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.conf import MAX_TAGS
from scheduling.jobs.job_templates.models import JobTemplate
from scheduling.jobs.job_templates.queries import find_uses
from scheduling.jobs.job_templates.service import TEMPLATES, TemplateContent
from scheduling.jobs.requests import MAX_FAIR_KEY_CHARACTERS, MAX_TAG_CHARACTERS
from tenants.api.input import MomentField, NameField, StrictSerializer, TextField, WholeNumberField
from tenants.models import Role
from tenants.versions.api import MAX_NUMBER, VersionOptionsSerializer


class TemplateContentSerializer(StrictSerializer):
    """The job that a template submits. Texts of the payload may contain `{{ parameters.name }}`."""

    kind = NameField(max_length=64)
    payload = serializers.DictField(default=dict, help_text="With the parameters filled in it must match the kind's.")
    parameters = serializers.DictField(
        default=dict, help_text="A JSON Schema of an object: `properties` with types, bounds and defaults."
    )
    queue = NameField(default="", allow_blank=True, max_length=60)
    priority = WholeNumberField(default=None, allow_null=True)
    tags = serializers.ListField(child=NameField(max_length=MAX_TAG_CHARACTERS), default=list, max_length=MAX_TAGS)
    fair_key = NameField(default="", allow_blank=True, max_length=MAX_FAIR_KEY_CHARACTERS)
    max_retries = WholeNumberField(default=None, allow_null=True, min_value=0)

    def to_content(self) -> TemplateContent:
        """Return the content that the validated body describes."""
        return TemplateContent(**self.validated_data)


class TemplateFactsSerializer(StrictSerializer):
    """Request body: what can be changed of a template without a new version."""

    name = NameField(max_length=50, required=False, help_text="Lower-case letters, digits and hyphens.")
    description = TextField(max_length=1_000, required=False, allow_blank=True)
    runners = serializers.ListField(
        child=serializers.ChoiceField(choices=Role.choices),
        required=False,
        max_length=len(Role.choices),
        help_text="Roles that may run it although they may not submit other jobs.",
    )


class NewTemplateSerializer(TemplateFactsSerializer):
    """Request body: a new template with its first version."""

    name = NameField(max_length=50, help_text="Lower-case letters, digits and hyphens.")
    content = TemplateContentSerializer()
    reason = TextField(max_length=500, default="", allow_blank=True)

    def to_values(self) -> dict[str, Any]:
        """Return the arguments of `create_template` that the validated body describes."""
        given = dict(self.validated_data)
        return given | {"content": TemplateContent(**given["content"])}


class NewTemplateVersionSerializer(VersionOptionsSerializer):
    """Request body: the next version of a template."""

    content = TemplateContentSerializer()
    reason = TextField(max_length=500, default="", allow_blank=True)


class TemplateRunSerializer(StrictSerializer):
    """Request body: the parameters of a run, and the options of its job that differ from the template's."""

    parameters = serializers.DictField(default=dict)
    version = WholeNumberField(min_value=1, max_value=MAX_NUMBER, required=False, help_text="Default: that in effect.")
    run_at = MomentField(required=False, allow_null=True)
    deadline = MomentField(required=False, allow_null=True)
    priority = WholeNumberField(required=False)
    tags = serializers.ListField(child=NameField(max_length=MAX_TAG_CHARACTERS), required=False, max_length=MAX_TAGS)


class TemplateSerializer(serializers.ModelSerializer[JobTemplate]):
    """A job template. Its content belongs to its versions."""

    tenant = serializers.CharField(source="tenant.slug")

    class Meta:
        model = JobTemplate
        fields = ["id", "tenant", "name", "description", "runners", "version", "created_at"]
        read_only_fields = fields


class UsingScheduleSerializer(serializers.Serializer[Any]):
    """A schedule that runs a template."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class UsingBatchSerializer(serializers.Serializer[Any]):
    """A batch that holds jobs of a template."""

    id = serializers.UUIDField()
    label = serializers.CharField()


class UsesSerializer(serializers.Serializer[Any]):
    """What uses a template."""

    schedules = UsingScheduleSerializer(
        many=True, allow_null=True, help_text="The first 100 by name. Null without `schedules.view`."
    )
    batches = UsingBatchSerializer(many=True, help_text="The newest 20, by the newest jobs of the newest 10 versions.")


class TemplateDetailSerializer(TemplateSerializer):
    """A job template with its parameters, and its content for callers of its tenant who may change it."""

    parameters = serializers.SerializerMethodField()
    content = serializers.SerializerMethodField(
        help_text="Null without the right `templates.manage`, and to callers of the platform."
    )
    used_by = serializers.SerializerMethodField()

    class Meta(TemplateSerializer.Meta):
        fields = [*TemplateSerializer.Meta.fields, "parameters", "content", "used_by"]
        read_only_fields = fields

    def get_parameters(self, template: JobTemplate) -> dict[str, Any]:
        return dict(TEMPLATES.describe(template)["parameters"])

    def get_content(self, template: JobTemplate) -> dict[str, Any] | None:
        return TEMPLATES.describe(template) if self.context["shows_content"] else None

    @extend_schema_field(UsesSerializer)
    def get_used_by(self, template: JobTemplate) -> Any:
        return UsesSerializer(find_uses(template, has_schedules=self.context["shows_schedules"])).data
