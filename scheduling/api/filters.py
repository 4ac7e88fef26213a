"""Query parameters of lists. Unknown ones are rejected: a misspelt filter would otherwise return too many rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Self

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from scheduling.errors.fingerprints import FINGERPRINT_CHARACTERS
from scheduling.jobs.filters import FilterSyntaxError, JobFilter, parse
from scheduling.jobs.filters.fields import NO, YES
from scheduling.jobs.lifecycle import JobState
from scheduling.models import DeadLetter
from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.api.pagination import PAGING, read_limit
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination

_MAX_ALTERNATIVES = 50
MAX_QUERY_CHARACTERS = 4_000
_REQUEUED = {"true": YES, "false": NO}


class QueryTextField(NameField):
    """Short text field for a query parameter."""

    default_max_length = 200

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": self.default_max_length, "default": None, **options})


class AlternativesField(serializers.ListField):
    """Query parameter that can be repeated; each value may also be a comma-separated list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"default": list, "max_length": _MAX_ALTERNATIVES, **options})

    def split(self, given: list[str]) -> list[str]:
        """Return the single values in these texts."""
        return [part for value in given for part in value.split(",")]


class WholeTextsField(AlternativesField):
    """Query parameter that can be repeated, and whose values may contain commas."""

    def split(self, given: list[str]) -> list[str]:
        return given


class QuerySerializer(StrictSerializer):
    """Base of the query parameters of a list. ``paging`` are those of its pages, which are read elsewhere."""

    paging: ClassVar[Collection[str]] = PAGING

    @classmethod
    def parse(cls, parameters: QueryDict) -> Self:
        """Return the validated parameters; raise ValidationError for unknown ones, except those of ``paging``."""
        if "limit" in cls.paging and "limit" in parameters:
            read_limit(str(parameters["limit"]))
        return cls.of({name: given for name, given in parameters.lists() if name not in cls.paging})

    def to_internal_value(self, data: Any) -> Any:
        values: dict[str, Any] = {}
        twice = []
        for name, given in data.items():
            field = self.fields.get(name)
            if isinstance(field, AlternativesField):
                values[name] = field.split(given)
            elif len(given) > 1:
                twice.append(name)
            else:
                values[name] = given[0]
        if twice:
            repeated = serializers.ErrorDetail(gettext("Given more than once."), code="repeated")
            raise serializers.ValidationError({name: [repeated] for name in twice})
        return super().to_internal_value(values)


class JobQuerySerializer(QuerySerializer):
    """Query parameters that filter jobs."""

    state = AlternativesField(child=serializers.ChoiceField(choices=[state.value for state in JobState]))
    kind = AlternativesField(child=NameField(max_length=64))
    queue = AlternativesField(child=NameField(max_length=60))
    tag = WholeTextsField(child=NameField(max_length=64), help_text="Jobs must have all of these tags.")
    fair_key = QueryTextField(allow_blank=True)
    created_after = MomentField(default=None, help_text="Inclusive.")
    created_before = MomentField(default=None, help_text="Exclusive.")
    error = QueryTextField(help_text="A fingerprint, or a part of the error's type.")
    batch = serializers.UUIDField(default=None)
    q = QueryTextField(
        max_length=MAX_QUERY_CHARACTERS,
        allow_blank=True,
        help_text=(
            "A filter as text, such as `state:discarded,cancelled -queue:pipeline age:>1h`;"
            " see docs/reference/filters.md."
        ),
    )

    def to_filter(self) -> JobFilter:
        """Return the parameters as a JobFilter."""
        values = self.validated_data
        return JobFilter.of(
            state=[JobState(state) for state in values["state"]],
            kind=values["kind"],
            queue=values["queue"],
            tag=values["tag"],
            fair_key=values["fair_key"],
            created_after=values["created_after"],
            created_before=values["created_before"],
            error=values["error"],
            batch=values["batch"],
        ) & read_query(values["q"] or "")


def read_query(text: str) -> JobFilter:
    """Return the JobFilter of the parameter `q`; raise FilterSyntaxError, which names `q`, if it is invalid."""
    try:
        return parse(text).frozen(timezone.now())
    except FilterSyntaxError as error:
        error.errors = [{**fault, "field": "q"} for fault in error.errors]
        raise


class DeadLetterQuerySerializer(QuerySerializer):
    """Query parameters that filter dead letters."""

    kind = AlternativesField(child=NameField(max_length=64))
    reason = AlternativesField(child=serializers.ChoiceField(choices=DeadLetter.Reason.values))
    fingerprint = QueryTextField(max_length=FINGERPRINT_CHARACTERS, help_text="The complete fingerprint of a group.")
    error = QueryTextField(help_text="A fingerprint, or a part of the error's type.")
    requeued = serializers.ChoiceField(choices=["true", "false"], default=None, help_text="Whether it was requeued.")
    created_after = MomentField(default=None, help_text="Inclusive.")
    created_before = MomentField(default=None, help_text="Exclusive.")

    def to_filter(self) -> JobFilter:
        """Return the parameters as a JobFilter for dead letters."""
        values = self.validated_data
        return JobFilter.of(
            kind=values["kind"],
            dead_letter=values["reason"],
            fingerprint=values["fingerprint"],
            error=values["error"],
            requeued=None if values["requeued"] is None else _REQUEUED[values["requeued"]],
            died_after=values["created_after"],
            died_before=values["created_before"],
        )


class DeadLetterGroupQuerySerializer(QuerySerializer):
    """Query parameters that choose the dead letters to group; without a time span, all that were not requeued."""

    kind = AlternativesField(child=NameField(max_length=64))
    created_after = MomentField(default=None, help_text="Inclusive.")
    created_before = MomentField(default=None, help_text="Exclusive.")

    def to_span(self) -> dict[str, Any]:
        """Return the parameters as keyword arguments of the query."""
        values = self.validated_data
        return {"kinds": values["kind"], "since": values["created_after"], "until": values["created_before"]}


class NoQuerySerializer(QuerySerializer):
    """Query parameters of a list that has no filters, only paging."""


PAGING_PARAMETERS = [
    OpenApiParameter("cursor", str, description="Cursor of the page, from `next` or `previous`."),
    OpenApiParameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": 200}, description="Number of results on a page."
    ),
]


def page_response(
    view: TenantViewSet,
    rows: QuerySet[Any],
    serializer: type[Serializer[Any]],
    *,
    walked: QuerySet[Any] | None = None,
) -> Response:
    """Return a response with one page of ``rows``, using the view's paginator.

    If a filter has no index, ``walked`` are the rows that it scans.
    """
    if isinstance(view.paginator, WalkedPagination):
        view.paginator.walked = walked
    return view.get_paginated_response(serializer(view.paginate_queryset(rows), many=True).data)
