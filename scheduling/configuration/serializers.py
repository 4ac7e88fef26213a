"""Serializers of rows that users configure, made of their declaration: what is shown, and what may be set."""

from __future__ import annotations

from typing import Any

from django.db import models
from rest_framework import serializers

from scheduling.configuration.service import Configured
from tenants.api.input import MomentField, NameField, NumberField, StrictSerializer, WholeNumberField

MAX_ITEMS = 20


class NamedRowField(NameField):
    """Serializer field of another row, given by its name or slug."""

    def to_representation(self, value: Any) -> str:
        """Return the row's slug, or its name if it has none."""
        return str(getattr(value, "slug", value.name))


class ColumnsSerializer(serializers.ModelSerializer[Any]):
    """Base of these serializers: strict fields of a model's columns."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: NameField,
        models.DateTimeField: MomentField,
        models.FloatField: NumberField,
        models.PositiveIntegerField: WholeNumberField,
        models.PositiveSmallIntegerField: WholeNumberField,
        models.SmallIntegerField: WholeNumberField,
    }

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        """Return the class and arguments of a column's field; lists are bounded."""
        field, arguments = super().build_standard_field(field_name, model_field)
        most = getattr(model_field, "size", None) or MAX_ITEMS
        return field, {"max_length": most, **arguments} if field is serializers.ListField else arguments

    def build_relational_field(self, field_name: str, relation_info: Any) -> Any:
        """Return the class and arguments of a reference's field."""
        is_optional = relation_info.model_field.null
        text = relation_info.model_field.help_text or "Its name."
        return NamedRowField, {"required": not is_optional, "allow_null": is_optional, "help_text": text}

    def get_uniqueness_extra_kwargs(self, field_names: Any, declared_fields: Any, extra_kwargs: Any) -> Any:
        """Return the arguments unchanged: the service checks what must be unique."""
        return extra_kwargs, {}


class RowSerializer(ColumnsSerializer):
    """Base of serializers of rows; without a tenant they are the platform's."""

    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: the platform.")


def row_serializer(
    rows: Configured[Any], *others: str, base: type[ColumnsSerializer] = RowSerializer, name: str = ""
) -> Any:
    """Return the serializer of configured rows; ``others`` are fields that are only shown."""
    base = base if rows.has_tenants else ColumnsSerializer
    fields = ("id", *(("tenant",) if rows.has_tenants else ()), *rows.columns, *others)
    attributes = {"Meta": type("Meta", (), {"model": rows.model, "fields": fields}), "__doc__": rows.model.__doc__}
    return type(f"{name or rows.model.__name__}Serializer", (base,), attributes)


def request_serializer(name: str, model: type[models.Model], fields: tuple[str, ...], **declared: Any) -> Any:
    """Return the serializer of requests that set these fields of a model; ``declared`` are others, or override them."""
    meta = {"model": model, "fields": [*dict.fromkeys((*fields, *declared))], "validators": ()}
    attributes = {"Meta": type("Meta", (), meta), "__doc__": "Fields to set.", **declared}
    return type(f"{name}Serializer", (StrictSerializer, ColumnsSerializer), attributes)
