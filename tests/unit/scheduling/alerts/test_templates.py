"""Templates: what each channel receives, and that texts of tenants stay texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduling.alerts.templates import TEMPLATES, opsgenie, pagerduty, slack, subject_of, teams, text_of, webhook

URL = "https://hooks.example.com/services/T1/B1"


def alert(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0198",
        "name": "Oldest wait",
        "severity": "critical",
        "state": "firing",
        "object": "pipeline",
        "object_type": "queue",
        "value": 312.5,
        "peak": 400.0,
        "unit": "s",
        "comparison": "gt",
        "threshold": 300.0,
        "for_seconds": 30,
        "since": "2026-11-30 16:00:00 UTC",
        "tenants": ["acme", "globex"],
        "tenants_count": 5,
        "acknowledged_by": "",
        "cause": {"fingerprint": "f", "message": "connection reset", "job_url": ""},
        "url": "https://jobs.example.com/admin/scheduling/alert/0198/change/",
        "runbook_url": "docs/alerting.md#oldest-wait",
        **changes,
    }


def body(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    url = "https://jobs.example.com/admin/"
    return {"id": "m1", "what": "alerts", "at": "now", "url": url, "alerts": list(alerts), "more": 0, **changes}


def notice() -> dict[str, Any]:
    return {"id": "m2", "what": "test", "at": "now", "url": "https://x/", "subject": "A test", "text": "It works."}


def test_text_names_object_value_threshold_time_tenants_cause_console_and_runbook() -> None:
    assert text_of(body(alert())) == (
        "[CRITICAL, firing] Oldest wait: pipeline\n"
        "Value 312.5 s, threshold 300 s, since 2026-11-30 16:00:00 UTC.\n"
        "Tenants affected: acme, globex and 3 more.\n"
        "Cause: connection reset\n"
        "Console: https://jobs.example.com/admin/scheduling/alert/0198/change/\n"
        "Runbook: docs/alerting.md#oldest-wait"
    )


def test_subject_counts_other_alerts_and_has_no_line_break() -> None:
    subject = subject_of(body(alert(object="a\r\nBcc: x@y"), alert(), more=3))
    assert subject == "[CRITICAL, firing] Oldest wait: a Bcc: x@y, and 4 more"


def test_slack_escapes_mentions_and_links() -> None:
    (request,) = slack(body(alert(object="<!channel> <https://evil.example|click> &")), URL)
    texts = [request.content["text"], *(block["text"]["text"] for block in request.content["blocks"])]
    assert request.url == URL
    assert all("<" not in text and ">" not in text for text in texts)
    assert "&lt;!channel&gt;" in texts[1]


def test_teams_receives_a_card_in_which_a_tenant_cannot_hide_a_link() -> None:
    (request,) = teams(body(alert(object="[click](https://evil.example)")), URL)
    card = request.content["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    assert "\\[click\\](https" in card["body"][1]["text"]


@pytest.mark.parametrize(
    ("changes", "action"),
    [({}, "trigger"), ({"acknowledged_by": "alice"}, "acknowledge"), ({"state": "resolved"}, "resolve")],
)
def test_pagerduty_receives_an_event_an_alert_with_its_key(changes: dict[str, str], action: str) -> None:
    first, second = pagerduty(body(alert(**changes), alert(id="0199")), "routing-key")
    assert first.content["event_action"] == action
    assert (first.content["dedup_key"], second.content["dedup_key"]) == ("0198", "0199")
    assert first.content["routing_key"] == "routing-key"


def test_opsgenie_opens_and_closes_an_alert_by_its_alias_in_the_region_of_the_account() -> None:
    opened, closed = opsgenie(body(alert(), alert(state="resolved")), "eu:secret")
    assert opened.url == "https://api.eu.opsgenie.com/v2/alerts"
    assert (opened.content["alias"], opened.content["priority"]) == ("0198", "P1")
    assert closed.url == "https://api.eu.opsgenie.com/v2/alerts/0198/close?identifierType=alias"
    assert opened.headers == [("Authorization", "GenieKey secret")]
    assert opsgenie(body(alert()), "secret")[0].url == "https://api.opsgenie.com/v2/alerts"


def test_webhook_receives_the_facts_as_numbers() -> None:
    (request,) = webhook(body(alert()), URL)
    sent = json.loads(request.body)
    assert (sent["id"], sent["type"]) == ("m1", "alerts.alerts")
    assert sent["data"]["alerts"][0]["value"] == 312.5


@pytest.mark.parametrize("channel", sorted(TEMPLATES))
def test_each_channel_takes_a_notice_and_repeats_the_same_bytes(channel: str) -> None:
    once, again = (TEMPLATES[channel](notice(), URL) for _ in range(2))
    assert [request.body for request in once] == [request.body for request in again]
    assert b"A test" in once[0].body
