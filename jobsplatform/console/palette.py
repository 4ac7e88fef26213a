"""Palette of the console (Ctrl K): finds things by id or name, pages, and acts; an act leads to the page that has it.

Each query reads a bounded number of rows, those that the user may see.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext, gettext_noop
from unfold.dataclasses import SearchResult

from jobsplatform.console.navigation import build_navigation
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.filters.fields import NO
from scheduling.kit import registry
from scheduling.models import BulkOperation
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.site import console_site

# Things with a name: model, field, icon, and whether an index finds the beginning of a name.
NAMED = (
    ("tenants.Tenant", "slug", "domain", True),
    ("scheduling.Queue", "name", "table_rows", False),
    ("scheduling.Schedule", "name", "schedule", False),
    ("workflow_execution.Workflow", "name", "account_tree", False),
    ("rag_pipeline.Pipeline", "name", "conversion_path", False),
    ("retrieval.Dataset", "name", "database", False),
)
# Things that are found by their id, its first eight characters or more, or its last twelve, which lists show.
BY_ID = (
    "scheduling.Job",
    "scheduling.Batch",
    "scheduling.DeadLetter",
    "scheduling.BulkOperation",
    "workflow_storage.WorkflowRun",
    "rag_pipeline.PipelineRun",
)
LIMIT, SCANNED, MAX_CHARACTERS = 5, 1_000, 100
MIN_PREFIX, TAIL, WHOLE = 8, 12, 32


@dataclass(frozen=True, slots=True)
class PaletteAct:
    """Something that can be done to a thing; ``link`` returns the page that has it, from the thing or the kind."""

    sentence: str
    model: str
    permissions: tuple[Permission, ...]
    link: Callable[[Any], str]


def _act(name: str) -> Callable[[Any], str]:
    return lambda row: f"{_page_of(row)}#act-{name}"


def _bulk(operation: str, **terms: str) -> Callable[[str], str]:
    def link(kind: str) -> str:
        query = {"operation": operation, "filter": JobFilter.of(kind=kind, **terms).text}
        return f"{reverse('admin:scheduling_bulkoperation_start')}?{urlencode(query)}"

    return link


def _pause_kind(kind: str) -> str:
    return f"{reverse('admin:scheduling_kindpause_add')}?{urlencode({'kind': kind})}"


_P, _O = Permission, BulkOperation.Operation
ACTS = (
    PaletteAct(gettext_noop("Pause tenant %(name)s"), "tenants.Tenant", (_P.TENANT_PAUSE,), _act("pause")),
    PaletteAct(gettext_noop("Resume tenant %(name)s"), "tenants.Tenant", (_P.TENANT_PAUSE,), _act("resume")),
    PaletteAct(gettext_noop("Drain tenant %(name)s"), "tenants.Tenant", (_P.TENANT_PAUSE,), _act("drain")),
    PaletteAct(gettext_noop("Suspend tenant %(name)s"), "tenants.Tenant", (_P.TENANTS_OPERATE,), _act("suspend")),
    PaletteAct(gettext_noop("Pause queue %(name)s"), "scheduling.Queue", (_P.QUEUES_OPERATE,), _act("pause")),
    PaletteAct(gettext_noop("Resume queue %(name)s"), "scheduling.Queue", (_P.QUEUES_OPERATE,), _act("resume")),
    PaletteAct(gettext_noop("Drain queue %(name)s"), "scheduling.Queue", (_P.QUEUES_OPERATE,), _act("drain")),
    PaletteAct(gettext_noop("Pause kind %(name)s"), "", (_P.QUEUES_OPERATE,), _pause_kind),
    PaletteAct(
        gettext_noop("Retry failures of kind %(name)s"),
        "",
        (_P.JOBS_RETRY, _P.JOBS_BULK),
        _bulk(_O.REQUEUE.value, requeued=NO),
    ),
    PaletteAct(
        gettext_noop("Cancel jobs of kind %(name)s"), "", (_P.JOBS_CANCEL, _P.JOBS_BULK), _bulk(_O.CANCEL.value)
    ),
)

# Sentences of the form that submits a job.
SUBMIT = gettext_noop("Submit a %(kind)s job")
SUBMIT_FOR = gettext_noop("Submit a %(kind)s job for %(tenant)s")


def find_in_console(request: HttpRequest, text: str) -> list[SearchResult]:
    """Return what a text finds: acts, things by their ids and names, kinds, and pages."""
    search = _Search(request)
    finders = (search.acts, search.submissions, search.by_id, search.by_name, search.kinds, search.pages)
    return [result for find in finders for result in find(text[:MAX_CHARACTERS])]


class _Search:
    """The rows that one user may see, and what they are found by."""

    def __init__(self, request: HttpRequest) -> None:
        self._request, self._access = request, access_of(request)
        self._models = {
            f"{app['app_label']}.{model['object_name']}": model["model"]
            for app in console_site.get_app_list(request)
            for model in app["models"]
        }

    def acts(self, text: str) -> Iterator[SearchResult]:
        for act in ACTS:
            name = " ".join(_words_beyond(act.sentence, text))
            if name and all(map(self._access.may, act.permissions)):
                for found in self._rows_named(act.model, name) if act.model else _kinds_like(name):
                    yield _act_result(gettext(act.sentence) % {"name": found}, act.link(found))

    def submissions(self, text: str) -> Iterator[SearchResult]:
        """Yield forms of new jobs, with the kind and, for staff, the tenant that the text names."""
        kind, *rest = _words_beyond(SUBMIT_FOR, text) or [""]
        found = _kinds_like(kind) if kind and self._access.may(Permission.JOBS_SUBMIT) else []
        is_for_tenant = bool(rest) and self._access.sees_all_tenants
        tenants = self._rows_named("tenants.Tenant", " ".join(rest)) if found and is_for_tenant else []
        for name in (name for name in found if not registry.get(name).is_internal):
            if not is_for_tenant:
                yield _act_result(gettext(SUBMIT) % {"kind": name}, _submit_url(kind=name))
            for tenant in tenants:
                sentence = gettext(SUBMIT_FOR) % {"kind": name, "tenant": tenant}
                yield _act_result(sentence, _submit_url(kind=name, tenant=str(tenant.pk)))

    def by_id(self, text: str) -> Iterator[SearchResult]:
        digits = text.strip().strip("…").replace("-", "").lower()
        if not MIN_PREFIX <= len(digits) <= WHOLE or not set(digits) <= set(string.hexdigits):
            return
        first, last = UUID(digits.ljust(WHOLE, "0")), UUID(digits.ljust(WHOLE, "f"))
        for label in filter(self._models.__contains__, BY_ID):
            if not text.startswith("…"):
                yield from self._results(label, self._rows(label).filter(pk__gte=first, pk__lte=last), "tag")
            if len(digits) == TAIL:
                yield from self._results(label, _newest(self._rows(label)).filter(pk__endswith=digits), "tag")

    def by_name(self, text: str) -> Iterator[SearchResult]:
        for label, _field, icon, _is_indexed in NAMED:
            yield from self._results(label, self._rows_named(label, text), icon)

    def kinds(self, text: str) -> Iterator[SearchResult]:
        for kind in _kinds_like(text) if self._access.may(Permission.JOBS_VIEW) else ():
            yield SearchResult(kind, gettext("Job kinds"), f"{reverse('admin:job_kinds')}#kind-{kind}", "category")

    def pages(self, text: str) -> Iterator[SearchResult]:
        for group in build_navigation(self._request):
            for entry in group["items"]:
                for page in entry["pages"]:
                    if text.lower() in page["title"].lower() or text.lower() in entry["title"].lower():
                        yield SearchResult(page["title"], entry["title"], page["link"], entry["icon"])

    def _rows(self, label: str) -> QuerySet[Any]:
        """Return the rows of a model that the user may see."""
        model = self._models[label]
        rows: QuerySet[Any] = console_site.get_model_admin(model).get_queryset(self._request)
        # With the key of the tenant, the primary key of its rows is searched in an index.
        own = self._access.tenant if any(field.name == "tenant" for field in model._meta.fields) else None
        return rows.filter(tenant=own) if own else rows

    def _rows_named(self, label: str, text: str) -> list[Any]:
        if label not in self._models:
            return []
        field, is_indexed = next((field, is_indexed) for known, field, _, is_indexed in NAMED if known == label)
        rows = self._rows(label)
        begin = list(rows.filter(**{f"{field}__startswith": text.lower()})[:LIMIT]) if is_indexed else []
        inside = _newest(rows).filter(**{f"{field}__icontains": text})[: LIMIT - len(begin)]
        return list(dict.fromkeys([*begin, *inside]))

    def _results(self, label: str, rows: QuerySet[Any] | list[Any], icon: str) -> Iterator[SearchResult]:
        for row in rows[:LIMIT]:
            page: Any = console_site.get_model_admin(type(row))
            owner = f" · {row.tenant}" if self._access.sees_all_tenants and getattr(row, "tenant_id", None) else ""
            yield SearchResult(page.object_title(row), f"{page.page_title}{owner}", _page_of(row), icon)


def _newest(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the newest rows, as many as a search without an index may read."""
    return rows.filter(pk__in=rows.order_by("-pk").values("pk")[:SCANNED])


def _page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _kinds_like(text: str) -> list[str]:
    return [kind for kind in registry.kinds() if text.lower() in kind][:LIMIT]


def _words_beyond(sentence: str, text: str) -> list[str]:
    """Return the words of a text that its sentence lacks; an empty list if it does not begin like the sentence."""
    verb, *rest = text.lower().split() or [""]
    known = [sentence.lower(), gettext(sentence).lower()]
    begins = len(verb) > 1 and any(one.startswith(verb) for one in known)
    return [word for word in rest if word not in " ".join(known).split()] if begins else []


def _act_result(sentence: str, link: str) -> SearchResult:
    return SearchResult(sentence, gettext("Act"), link, "bolt")


def _submit_url(**filled: str) -> str:
    return f"{reverse('admin:scheduling_job_submit')}?{urlencode(filled)}"
