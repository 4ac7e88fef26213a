"""Serializers of the alerts' configuration, made of `FIELDS` and the models: what is shown, and what may be set."""

from __future__ import annotations

from typing import Any

from django.db import models
from rest_framework import serializers

from scheduling.alerts.config import FIELDS
from scheduling.alerts.targets import secret_of
from scheduling.models import AlertMessage, Contact
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
    }

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        """Return the class and arguments of a column's field; lists are bounded."""
        field, arguments = super().build_standard_field(field_name, model_field)
        return field, {"max_length": MAX_ITEMS, **arguments} if field is serializers.ListField else arguments

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
    model: type[models.Model], *others: str, base: type[RowSerializer] = RowSerializer, name: str = ""
) -> Any:
    """Return the serializer of a model's rows; ``others`` are fields that are only shown."""
    columns = {field.name for field in model._meta.fields}
    fields = ("id", "tenant", *(name for name in FIELDS[model] if name in columns), *others)
    meta = type("Meta", (), {"model": model, "fields": fields})
    return type(f"{name or model.__name__}Serializer", (base,), {"Meta": meta, "__doc__": model.__doc__})


def request_serializer(name: str, model: type[models.Model], fields: tuple[str, ...], **declared: Any) -> Any:
    """Return the serializer of requests that set these fields of a model; ``declared`` are others, or override them."""
    optional = {"ends_at": {"required": False, "help_text": "At most 30 days after its start; default: an hour."}}
    meta = {
        "model": model,
        "fields": [*dict.fromkeys((*fields, *declared))],
        "validators": (),
        "extra_kwargs": optional,
    }
    attributes = {"Meta": type("Meta", (), meta), "__doc__": "Fields to set.", **declared}
    return type(f"{name}Serializer", (StrictSerializer, ColumnsSerializer), attributes)


class SecretSerializer(RowSerializer):
    """Base of the serializer of a new contact, with the secret that signs its messages if it is a signed webhook."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, contact: Contact) -> str:
        return secret_of(contact)


ContactSerializer = row_serializer(Contact, "failures", "disabled_reason")
NewContactSerializer = row_serializer(
    Contact, "failures", "disabled_reason", "secret", base=SecretSerializer, name="NewContact"
)


class MessageSerializer(RowSerializer):
    """A message to a contact, and the result of its delivery."""

    contact = serializers.UUIDField(source="contact_id", allow_null=True)
    answer_status = serializers.IntegerField(source="status", allow_null=True, help_text="Null: there was no response.")

    class Meta:
        model = AlertMessage
        fields = (
            "id", "tenant", "contact", "what", "state", "due_at", "attempt", "answer_status", "error", "sent_at",
            "created_at",
        )  # fmt: skip
