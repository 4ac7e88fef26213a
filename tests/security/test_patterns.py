"""No regular expression that processes outside input takes more than linear time.

Every place that uses one is in one of two lists: with adversarial inputs, or with the reason why it processes only our
own text. Each pattern runs as its code runs it, on 64 KiB of each input.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver

from scheduling.controls.detectors import has_card
from scheduling.controls.rules import _HOST
from scheduling.errors.fingerprints import normalised_message
from tenants.tenancy.regions import REGION
from tests.security.growth import grows_linearly
from tests.security.patterns import names_in, places
from workloads.documents.extraction.sniffing import HEAD_BYTES, _begins_as_html

SIZE = 64 * 1024
# Inputs of every pattern.
COMMON = ("a", " ", "0", "-", "a.", "\n", "a-", "1:", '"')

type Search = Callable[[str], object]


def filled(begin: str, unit: str, size: int = SIZE) -> str:
    """Return `size` characters of the unit between a beginning and an end that does not match."""
    end = "\n!"
    return begin + unit * ((size - len(begin) - len(end)) // len(unit)) + end


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    """Yield the patterns of a module's value: compiled, of a view, of routes, or of a JSON schema."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, URLPattern | URLResolver):
        yield value.pattern.regex
    elif isinstance(value, tuple | list):
        for item in value:
            yield from patterns_in(item, depth + 1)
    elif isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield re.compile(value["pattern"])
        for item in value.values():
            yield from patterns_in(item, depth + 1)
    elif depth == 0:
        for name in ("lookup_value_regex", "schema", "payload_schema"):
            held = getattr(value, name, None)
            yield from [re.compile(held)] if isinstance(held, str) else patterns_in(held, 1) if held else ()


def searches(place: str, how: str) -> list[Search]:
    """Return what the place does with a text, for each of its patterns."""
    if how in CALLS:
        return [CALLS[how]]
    path, _, name = place.rpartition(":")
    value = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    found = list(patterns_in(value))
    assert found, f"No pattern at {place}."
    return [_search(pattern, how) for pattern in found]


def _search(pattern: re.Pattern[Any], how: str) -> Search:
    run = getattr(pattern, how)

    def search(text: str) -> object:
        given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        return list(run(given)) if how == "finditer" else run(given)

    return search


CALLS: dict[str, Search] = {
    # Bounded patterns: the function that bounds them is called.
    "fingerprints": lambda text: normalised_message("ValueError", text),
    "card numbers": has_card,
    # Values of a control's fields, as its schema checks them.
    "hosts of controls": re.compile(_HOST).search,
    "trimmed title": lambda text: import_module("jobsplatform.demo.stand_in_model").answer_to(text),
}

# Place, method, and adversarial inputs besides the common ones: beginning and repeated unit.
OUTSIDE: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "jobsplatform/demo/stand_in_model.py:answer_to": ("trimmed title", (("Text 1", "1"), ("[", "1"))),
    "jobsplatform/logging.py:_SECRET_KEY": ("search", (("", "passw"), ("", "api_"), ("", "private"))),
    "jobsplatform/logging.py:_SECRET_TEXT": (
        "finditer",
        (("", "://"), ("", "a+"), ("", "a://a:"), ("a://a:", "a"), ("", "basic "), ("basic", " "), ("", "Api-Key")),
    ),
    "jobsplatform/urls.py:urlpatterns": ("search", (("api/", "a/"),)),
    "scheduling/api/urls.py:urlpatterns": ("search", (("jobs/", "0-"), ("", "jobs/"))),
    "scheduling/jobs/requests.py:META_NAME": ("fullmatch", ()),
    "scheduling/controls/detectors.py:_CARD": (
        "finditer",
        (("", "4"), ("", "4 "), ("", "4111 1111 1111 "), ("4111", "-1")),
    ),
    "scheduling/controls/detectors.py:_EMAIL": ("search", (("", "a@"), ("", "a."), ("", "%a@a."), ("a@", "a-."))),
    "scheduling/controls/detectors.py:_ESCAPE": ("finditer", (("", "\\"), ("", "\\u00"), ("\\u", "0"))),
    "scheduling/controls/detectors.py:_FOUR_DIGITS": ("search", (("", "234"),)),
    "scheduling/controls/detectors.py:_numbers_of": ("card numbers", (("", "4"), ("", "4 "), ("", "4111 1111 1111 "))),
    "scheduling/controls/rules.py:_texts": ("hosts of controls", (("", "a."), ("", "*."), ("a", "-."))),
    "scheduling/controls/rules.py:_TIME": ("search", (("1", "0:"),)),
    "scheduling/plans/api.py:CFSPlanViewSet": ("fullmatch", ()),
    "scheduling/jobs/routing/api.py:RoutingRuleViewSet": ("fullmatch", ()),
    "scheduling/jobs/job_templates/parameters.py:_NAME": ("fullmatch", ()),
    "scheduling/jobs/job_templates/parameters.py:_REFERENCE": (
        "finditer",
        (("", "{{"), ("{{", " "), ("{{ parameters.", "a"), ("", "{{ parameters.a ")),
    ),
    "scheduling/breakers/api.py:CircuitViewSet": ("fullmatch", ()),
    "scheduling/breakers/api.py:SharedCircuitViewSet": ("fullmatch", ()),
    "scheduling/errors/api.py:ErrorViewSet": ("fullmatch", ()),
    "scheduling/jobs/kinds/api.py:JobKindViewSet": ("fullmatch", ()),
    "scheduling/topology/api.py:QueueViewSet": ("fullmatch", ()),
    "scheduling/kit/emitting.py:TOPIC": ("fullmatch", (("", "a_."),)),
    "scheduling/outbox/rules.py:TOPIC_PATTERN": ("fullmatch", (("", "a."), ("a", "."))),
    "scheduling/outbox/redis_stream.py:STREAM": ("fullmatch", (("", "a:"),)),
    "scheduling/compensation/processor.py:Reconciliation": ("search", (("http", "s"),)),
    "scheduling/load/api.py:LoadViewSet": ("fullmatch", ()),
    "scheduling/stops/api.py:StoppableViewSet": ("fullmatch", ()),
    "scheduling/upkeep/api.py:UpkeepViewSet": ("fullmatch", ()),
    "scheduling/jobs/charts.py:_FRAME": ("match", ((' File "', "a"), ("", '  File "'))),
    "scheduling/jobs/charts.py:_LIBRARIES": ("search", (("", "/lib/python3"), ("/lib/python3", "1"))),
    "scheduling/what_if/page.py:_ROW": ("fullmatch", (("", "tiers-1"),)),
    "scheduling/jobs/filters/fields.py:_DURATION": ("fullmatch", (("", "1d"), ("", "123456789w"))),
    "scheduling/jobs/filters/fields.py:_DURATION_PART": ("finditer", (("", "1d"),)),
    "scheduling/jobs/filters/fields.py:_MOMENT": ("fullmatch", (("2024-01-01T00:00:00.", "1"),)),
    "scheduling/jobs/filters/fields.py:read_small": ("small", (("-", "1"),)),
    "scheduling/jobs/filters/syntax.py:_BARE_VALUE": ("match", (("", "a,"),)),
    "scheduling/jobs/filters/syntax.py:_BARE_WORD": ("match", ()),
    "scheduling/jobs/filters/syntax.py:_FIELD": ("match", (("", "a_"), ("", "meta."), ("meta.", "a"))),
    "scheduling/jobs/filters/syntax.py:_OP": ("match", (("", ">"),)),
    "scheduling/jobs/filters/syntax.py:_SPACE": ("match", ()),
    "scheduling/jobs/filters/terms.py:_BARE_VALUE": ("fullmatch", ()),
    "scheduling/jobs/filters/terms.py:_BARE_WORD": ("fullmatch", ()),
    "scheduling/alerts/contacts.py:_KEY": ("fullmatch", (("", "eu:"),)),
    "scheduling/log_search/words.py:_ASCII_WORD": ("findall", (("", "a"), ("", "a "))),
    "scheduling/log_search/words.py:_WORD": ("finditer", (("", "a"), ("", "重"), ("", "a重"))),
    "scheduling/errors/fingerprints.py:_CHANGING": ("fingerprints", (("", "a@"), ("", "a/"), ("", "1::"), ("", "f1-"))),
    "scheduling/errors/fingerprints.py:_NAME": ("match", (("", "a_."),)),
    "scheduling/errors/fingerprints.py:_QUOTED": ("fingerprints", (("", "'a"), ("", "“"), ("", "'a' "))),
    "scheduling/errors/fingerprints.py:_ROWS_OF_GAPS": ("fingerprints", (("", "#"), ("", "# "), ("#", "  "))),
    "scheduling/errors/fingerprints.py:_SPACES": ("finditer", ()),
    "scheduling/errors/fingerprints.py:_URL_TAIL": ("fingerprints", (("", "http://"), ("http://", "a@"))),
    "scheduling/kit/http/calling.py:_HEADER_NAME": ("fullmatch", ()),
    "scheduling/kit/http/calling.py:_HEADER_VALUE": ("fullmatch", (("a", " "),)),
    "scheduling/kit/http/targets.py:_AUTHORITY": ("fullmatch", (("[", "a"), ("a:", "1"))),
    "scheduling/kit/http/targets.py:_NAME": ("fullmatch", (("", "a_"), ("", "a" * 63 + "."))),
    "scheduling/kit/http/targets.py:_NUMBER_LAST": ("fullmatch", (("0x", "f"),)),
    "scheduling/kit/http/targets.py:_URL": ("fullmatch", (("a://", "b"), ("a://", "b/"), ("a://b?", "c#"))),
    "workloads/documents/api/urls.py:urlpatterns": ("search", (("datasets/", "0-"),)),
    "workloads/documents/chunks/api/urls.py:urlpatterns": ("search", (("datasets/", "0-"),)),
    "workloads/documents/evaluation/api/urls.py:urlpatterns": ("search", (("datasets/", "0-"),)),
    "workloads/documents/indexing/api/urls.py:urlpatterns": ("search", (("datasets/", "0-"),)),
    "workloads/documents/sources/connectors/s3.py:SCHEMA": ("search", (("a", "."), ("a", "-."))),
    "workloads/documents/sources/connectors/sitemap.py:SCHEMA": ("search", (("a", " "), ("a", "! "))),
    "workloads/documents/sources/connectors/sitemap.py:_PATHS": ("search", (("", "/"),)),
    "workloads/http_call/payload.py:SCHEMA": ("search", (("a", " "), ("http", "s"), ("", "content-"))),
    "workloads/http_call/payload.py:_HEADER_NAME": ("search", (("", "host"), ("", "content-length"))),
    "workloads/pipelines/api/urls.py:urlpatterns": ("search", (("pipelines/", "0-"),)),
    "workloads/pipelines/source_schema.py:_SOURCE": ("search", (("", "00000000-0000-"),)),
    "workloads/documents/cleaning.py:_BLANK_LINES": ("finditer", (("\n", " "), ("", "\n "))),
    "workloads/documents/cleaning.py:_EMAILS": ("finditer", (("", "a@"), ("", "a@a."), ("", "a+"))),
    "workloads/documents/cleaning.py:_LINE_ENDS": ("finditer", (("", "\r"),)),
    "workloads/documents/cleaning.py:_SPACES": ("finditer", ()),
    "workloads/documents/cleaning.py:_UNPRINTABLE": ("finditer", (("", "\x00"),)),
    "workloads/documents/cleaning.py:_URLS": ("finditer", (("", "http://"), ("", "www.<"))),
    "workloads/documents/cleaning.py:_BLANK_ENDS": ("finditer", (("", " \n"), ("\n", " "))),
    "workloads/documents/packing.py:_NARROWED": ("finditer", (("", "ア"), ("", "⁀"))),
    "workloads/documents/packing.py:_BROKEN_LINE": ("finditer", (("", "\n1"), ("", "\n-"))),
    "workloads/documents/packing.py:_END_IN_LINE": ("search", ((".", ")"), (".", "\t"), ("", "。\n"), ("。", "”"))),
    "workloads/documents/packing.py:_OPENING": ("finditer", (("", "。（"),)),
    "workloads/documents/sections.py:_PAIR_HEADER": ("fullmatch", (("q | ", "a"),)),
    "workloads/documents/sections.py:_PAIR_ROW": ("match", (("q: ", "; a"), ("question: ", "; answer"))),
    "workloads/documents/sections.py:_QUESTION": ("match", (("", "q"), ("q", " "), ("", "\t"))),
    "workloads/documents/packing.py:_SPACES": ("finditer", (("", "  "), ("", "\t "))),
    "workloads/documents/extraction/decoding.py:_LONG_RUN": ("search", ()),
    "workloads/documents/extraction/decoding.py:_NOT_WESTERN": ("search", (("", "é"),)),
    "workloads/documents/extraction/decoding.py:_XML_DECLARED": (
        "search",
        (("", " "), ("<?xml ", "encoding"), ("", "<?xml"), ('<?xml encoding="', "a")),
    ),
    "workloads/documents/extraction/docx.py:_CODE_FONT": ("search", (("", "mon"), ("", "m"))),
    "workloads/documents/extraction/docx.py:_CODE_STYLE": ("search", (("", "cod"), ("", "macro tex"))),
    "workloads/documents/extraction/plain.py:_INDENTED": ("match", (("", "\t"),)),
    "workloads/documents/extraction/plain.py:_SET_IN": ("match", (("", "\t"),)),
    "workloads/documents/extraction/plain.py:_UNDERLINE": ("fullmatch", (("", "="), ("===", " "))),
    "workloads/documents/extraction/xlsx.py:_COLUMN": ("match", (("", "A"),)),
    "workloads/documents/extraction/xlsx.py:_DATE_SIGNS": ("search", (("", "y"),)),
    "workloads/documents/extraction/xlsx.py:_QUOTED": ("finditer", (("", "["), ("", '"a'), ("", "\\"), ("[", "a"))),
    "workloads/documents/extraction/decoding.py:_DECLARED": (
        "search",
        (("", "<meta"), ("<meta charset", " "), ("<meta charset=", " "), ("", "<meta charset")),
    ),
    "workloads/documents/extraction/docx.py:_HEADING": ("match", (("", "Heading "),)),
    "workloads/documents/extraction/html.py:_SPACE": ("finditer", (("", "a "),)),
    "workloads/documents/extraction/markdown.py:_FRONT_MATTER": ("search", (("---\n", "\n--"),)),
    "workloads/documents/extraction/pdf/flow.py:_BULLET": ("match", (("•", " "),)),
    "workloads/documents/extraction/pdf/flow.py:_NUMBER": ("match", (("1.", " "), ("", "iv"), ("[", "a"))),
    "workloads/documents/extraction/pdf/headings.py:_LABEL": ("fullmatch", (("a", "1"), ("chapter", "1"), ("", "iv"))),
    "workloads/documents/extraction/pdf/headings.py:_NO_LETTERS": ("finditer", (("", "_ a"),)),
    "workloads/documents/extraction/pdf/joining.py:WITHOUT_SPACES": ("match", ()),
    "workloads/documents/extraction/pdf/joining.py:_WORD": ("finditer", (("", "a-"), ("a", "--"))),
    "workloads/documents/extraction/pdf/lines.py:_DIGITS": ("finditer", (("", "1a"),)),
    "workloads/documents/extraction/pdf/lines.py:_LEADER_OR_WORD": ("finditer", (("", ". "), ("", ". . a"))),
    "workloads/documents/extraction/pdf/lines.py:_MONO_NAME": ("search", (("", "mon"), ("", "t"))),
    "workloads/documents/extraction/pdf/lines.py:_PAIR": ("finditer", (("", "\ud800"),)),
    "workloads/documents/extraction/pdf/lines.py:_PHYSICAL_LINE": ("finditer", (("", "\ufffe"), ("", "\r\n"))),
    "workloads/documents/extraction/pdf/margins.py:_DIGITS": ("finditer", (("", "1a"),)),
    "workloads/documents/extraction/pdf/margins.py:_NOTE_LABEL": ("match", (("(", "1"),)),
    "workloads/documents/extraction/pdf/margins.py:_PAGE_NUMBER": (
        "fullmatch",
        (("", "- "), ("", "iv"), ("- 1", " -")),
    ),
    "workloads/documents/extraction/pdf/tables.py:_CONTINUATION": ("match", (("", " "),)),
    "workloads/documents/extraction/pdf/tables.py:_CONTINUED": ("search", (("", "←"), ("", "←-"))),
    "workloads/documents/extraction/sniffing.py:_CONTROL": ("finditer", (("", "\x00"),)),
    "workloads/documents/extraction/sniffing.py:_HTML_TAG": ("match", (("<!doctype", " "), ("", "<html"))),
    "workloads/documents/terms.py:UNSPACED": ("finditer", (("", "中"),)),
    "workloads/documents/terms.py:_ACCENTS": ("finditer", (("", "\u0301"),)),
    "workloads/documents/terms.py:_RUN": ("finditer", (("", "中a"), ("", "中"))),
    "workloads/mail/processor.py:SendMail": ("search", (("", "a\n"), ("", "a"), ("a@", "a."))),
    "workloads/mail/processor.py:_ADDRESS": ("search", (("", "a"), ("a@", "a."), ("a@", "a"))),
    "workloads/mail/tenant_settings.py:ALLOWED_DOMAINS": ("search", (("", "a."), ("", "a-"))),
    "workloads/triggers/api/urls.py:urlpatterns": ("search", (("triggers/", "0-"),)),
    "workloads/triggers/service.py:_HEADER": ("fullmatch", (("", "a-"),)),
    "workloads/webhooks/processor.py:WebhookDelivery": ("search", (("", "a_"),)),
    "workloads/workflows/definition/expressions.py:_REFERENCE": (
        "fullmatch",
        (("nodes", ".a"), ("", "index.a"), ("nodes." + "a" * 100, ".a")),
    ),
    "workloads/model_endpoints/refusals.py:_KEYS": (
        "finditer",
        (
            ("", "sk-"),
            ("sk-", "a"),
            ("", "key-*"),
            ("", "key provided: "),
            ("key provided: ", "a"),
            ("", "key provided"),
        ),
    ),
    "workloads/model_endpoints/service.py:_NAME": ("fullmatch", ()),
    "workloads/workflows/api/urls.py:urlpatterns": ("search", (("workflow-runs/", "0-"),)),
    "workloads/workflows/definition/config_parts.py:NAME": ("search", ()),
    "workloads/workflows/definition/llm_config.py:_RESPONSE_FORMAT": ("search", ()),
    "workloads/workflows/definition/node_parts.py:VALUE": ("search", (("nodes", ".a"),)),
    "workloads/workflows/definition/node_parts.py:_TEST": ("search", (("nodes", ".a"),)),
    "workloads/workflows/processor.py:_ID": ("search", ()),
    "scheduling/schedules/recurrence/cron.py:_WRITTEN": ("fullmatch", (("", "*,"),)),
    "scheduling/streams/event_feed.py:_POSITION": ("fullmatch", (("1", "1"), ("1-", "f"))),
    "scheduling/jobs/routing/conditions.py:_FIELD": ("fullmatch", (("", "a" * 100 + "."),)),
    "scheduling/topology/service.py:_NAME": ("fullmatch", ()),
    "tenants/api/editions.py:_TAG": ("fullmatch", (('W/"', "a"),)),
    "tenants/api/editions.py:_TAGS": ("fullmatch", (("", '"a" '), ("", '"a", '), ('"a"', " "), ('"a",', " "))),
    "tenants/api/input.py:_RFC_3339": ("fullmatch", (("2024-01-01T00:00:00.", "1"),)),
    "tenants/api/strict_json.py:_BRACKET_OR_STRING": ("finditer", (("", '"a'), ('"', "\\"), ('"', '\\"'), ("", '"\\'))),
    "tenants/plans/api.py:PlanViewSet": ("fullmatch", ()),
    "tenants/plans/api.py:TierViewSet": ("fullmatch", ()),
    "tenants/tenancy/api.py:PlatformTenantViewSet": ("fullmatch", (("", "me/"),)),
    "tenants/limits/api.py:UsageViewSet": ("fullmatch", (("", "a_."),)),
    "tenants/api/viewsets.py:TenantViewSet": ("fullmatch", (("00000000", "-0000"),)),
    "tenants/audit/service.py:_SHAPES": (
        "finditer",
        (
            ("", "eyJ"),
            ("", "-eyJ"),
            ("", "eyJaaaaaaaa."),
            ("eyJaaaaaaaa.", "a"),
            ("eyJaaaaaaaa.", "eyJ"),
            ("", "://"),
            ("", "://a:"),
            ("", "basic "),
            ("basic", " "),
            ("-----BEGIN ", "A"),
            ("", "-----BEGIN PRIVATE KEY-----"),
            ("-----BEGIN PRIVATE KEY-----", "-----END "),
            ("", "-----BEGIN "),
            ("", "jp0123456789."),
        ),
    ),
    "tenants/audit/service.py:_UNSTORABLE": ("finditer", (("", "\x00"),)),
    "tenants/audit/service.py:_mask_field": ("bare name", (("", "A"),)),
    "tenants/middleware.py:_REQUEST_ID": ("fullmatch", ()),
    "tenants/tenancy/regions.py:REGION": ("region", (("", "a"), ("a", "-"))),
    "tenants/tenancy/bases.py:_SLUG": ("fullmatch", ()),
    "tenants/plans/retry_rules.py:_KIND": ("fullmatch", ()),
    "tenants/plans/retry_rules.py:_LINE": (
        "fullmatch",
        (("*:", " "), ("*: 1", " "), ("*: 1 after 1", " "), ("*: 1 after 1", " 1"), ("*: after", " "), ("a", " ")),
    ),
    "tenants/plans/retry_rules.py:read_retry_rules": ("delays", (("", "1 "),)),
    "tenants/secrets/references.py:_MENTION": ("search", (("", "{{"), ("{{", " "), ("", "{{ - "), ("", "{{ secret"))),
    "tenants/secrets/references.py:_NAME": ("fullmatch", (("", "a_"),)),
    "tenants/secrets/references.py:_REFERENCE": ("finditer", (("", "{{"), ("{{", " "), ("{{ secrets.", "a"))),
    "tenants/access/caller.py:_TOKEN": ("fullmatch", (("jp0123456789.", "a"),)),
    "tenants/secrets/service.py:_LABEL": ("fullmatch", (("", "a-"),)),
    "tenants/settings/schema.py:KEY": ("fullmatch", (("", "a_"),)),
    "workloads/files/artifacts.py:_CONTENT_TYPE": ("fullmatch", (("", "a"), ("a/", "a"), ("", "/"))),
}
CALLS |= {
    "small": lambda text: re.fullmatch(r"-?\d{1,5}", text, re.ASCII),
    "bare name": lambda text: re.sub(r"[^a-z0-9]", "", text.lower()),
    "region": REGION.regex.search,
    "delays": lambda text: re.findall(r"[0-9]+", text),
}

# Places that process only our own text, and why.
OWN: dict[str, str] = {
    "scheduling/backups/programs.py:_COPY": "output of pg_restore about a backup whose signature was verified",
    "scheduling/backups/programs.py:_VERSION": "output of a program of PostgreSQL",
    "jobsplatform/images.py:_BY_DIGEST": "the operator's configuration",
    "jobsplatform/demo/corpus.py:read_title": "the demonstration's own documents",
    "jobsplatform/demo/report.py:_shorten": "the demonstration's own documents",
    "scheduling/jobs/dead_letters/api.py:DeadLetterGroupSerializer": "a field of that name, no pattern",
    "scheduling/jobs/answers.py:IDEMPOTENCY_HEADER": "shown in the OpenAPI document, never run",
    "scheduling/kit/new_processor.py:_NAME": "an argument of a developer's command",
    "scheduling/jobs/routing/strategies.py:_NAME": "a name that an installed package has",
    "workloads/files/cache.py:_KEY": "a storage key, which the platform makes",
    "workloads/documents/extraction/decoding.py:_LATIN": "a constant list of words",
    "workloads/documents/extraction/html.py:_BLOCKS": "a constant list of words",
    "workloads/documents/extraction/sniffing.py:_SOURCE_SUFFIXES": "a constant list of words",
    "workloads/documents/terms.py:_STOP_WORDS": "a constant list of words",
    "scheduling/jobs/dead_letters/groups.py:DeadLetterGroup": "a field of that name, no pattern",
    "scheduling/jobs/dead_letters/groups.py:_merge": "a field of that name, no pattern",
    "scheduling/upkeep/partitions.py:_BOUNDS": "PostgreSQL's catalog",
    "tenants/database/prepared.py:_PLACEHOLDER": "the product's own statements",
    "tenants/database/sql.py:_BEGIN": "the product's own files",
    "tenants/database/sql.py:_INCLUDE": "the product's own files",
    "tenants/database/sql.py:_LAYOUT": "the product's own files",
    "tenants/schema_faults.py:_TEXTS": "texts by the keyword `pattern`, no pattern",
    "tenants/erasure/catalog.py:_COMPARED": "PostgreSQL's catalog",
}


def test_every_pattern_is_in_exactly_one_list() -> None:
    assert places() == OUTSIDE.keys() | OWN.keys()
    assert not OUTSIDE.keys() & OWN.keys()


@pytest.mark.parametrize("place", OUTSIDE)
def test_pattern_reads_64_kib_in_linear_time(place: str) -> None:
    how, inputs = OUTSIDE[place]
    run = searches(place, how)
    for begin, unit in [*inputs, *(("", unit) for unit in COMMON)]:
        for search in run:
            assert grows_linearly(search, filled(begin, unit), filled(begin, unit, SIZE // 4)), (begin, unit)


@pytest.mark.parametrize(
    ("begin", "unit"), [("", "<!---->"), ("<?xml ", "a"), ("", "<!--"), ("", " "), ("", "<!-- -->\n")]
)
def test_beginning_of_page_is_read_in_linear_time(begin: str, unit: str) -> None:
    assert grows_linearly(_begins_as_html, filled(begin, unit, HEAD_BYTES), filled(begin, unit, HEAD_BYTES // 4))


@pytest.mark.parametrize(
    "line",
    [
        "PATTERN = re.compile('a+')",
        "def read(text):\n    return re.sub('a+', '', text)",
        "class View:\n    lookup_value_regex = 'a+'",
        "SCHEMA = {'type': 'string', 'pattern': 'a+'}",
        "urlpatterns = [re_path('a+', view)]",
        "FIELD = CharField(validators=[validators.RegexValidator('a+')])",
    ],
)
def test_pattern_of_any_form_is_found(line: str) -> None:
    assert len(list(names_in(ast.parse(line)))) == 1


def test_quadratic_pattern_is_noticed() -> None:
    slow = _search(re.compile(r"[a-z][a-z0-9+.-]*://"), "search")
    assert not grows_linearly(slow, "a" * SIZE, "a" * (SIZE // 4))
