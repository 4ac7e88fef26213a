"""Filters of the list of documents in the console."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from workloads.documents.indexing.queries import SHOWN_STATUSES
from workloads.documents.models import Dataset

_DATASET_CHOICES = 200


class ShownStatusFilter(admin.SimpleListFilter):
    """Filter of documents by their shown status, which may come from the state of the document's job."""

    title, parameter_name = gettext_lazy("status"), "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(status, gettext(status)) for status in SHOWN_STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(shown_status=self.value()) if self.value() in SHOWN_STATUSES else queryset


class DatasetFilter(admin.SimpleListFilter):
    """Filter of documents by dataset; it offers the datasets that the request can see."""

    title, parameter_name = gettext_lazy("dataset"), "dataset"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        rows = Dataset.objects.order_by("-id").values_list("pk", "name")[:_DATASET_CHOICES]
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {pk for pk, _ in self.lookup_choices} & {self.value()}
        return queryset.filter(dataset_id=wanted.pop()) if wanted else queryset
