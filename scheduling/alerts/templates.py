"""The form of a message on each channel. A template is a function of the message's body and the contact's target.

The body is frozen when the message is made, so that each attempt sends the same. Texts in it may come from tenants:
each template escapes what its receiver would interpret.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.translation import gettext

PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
OPSGENIE_URL: Final = "https://api.{}opsgenie.com/v2/alerts"
# Slack accepts 3,000 characters in a block.
MAX_TEXT = 2_900

type Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A POST request with JSON."""

    url: str = field(repr=False)
    content: Any
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)

    @property
    def body(self) -> bytes:
        """Return the content, which is the same bytes at each attempt."""
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def subject_of(body: Body) -> str:
    """Return the message in a line."""
    if "subject" in body:
        subject = str(body["subject"])
    else:
        first, others = body["alerts"][0], len(body["alerts"]) + body["more"] - 1
        subject = _headline(first)
        if others:
            subject = gettext("%(first)s, and %(count)s more") % {"first": subject, "count": others}
    return " ".join(subject.split())[:200]


def text_of(body: Body) -> str:
    """Return the whole message as plain text."""
    if "text" in body:
        return str(body["text"])
    parts = [describe(alert) for alert in body["alerts"]]
    if body["more"]:
        parts.append(gettext("The console shows %(count)s more alerts.") % {"count": body["more"]})
    return "\n\n".join(parts)


def describe(alert: Mapping[str, Any]) -> str:
    """Return an alert in lines: object, value, threshold, since when, tenants, cause, console and runbook."""
    value, threshold = (f"{alert[name]:,.6g} {alert['unit']}".strip() for name in ("value", "threshold"))
    lines = [
        _headline(alert),
        gettext("Value %(value)s, threshold %(threshold)s, since %(since)s.")
        % {"value": value, "threshold": threshold, "since": alert["since"]},
    ]
    if alert["tenants"]:
        named = ", ".join(alert["tenants"])
        if (rest := alert["tenants_count"] - len(alert["tenants"])) > 0:
            named = gettext("%(named)s and %(rest)s more") % {"named": named, "rest": rest}
        lines.append(gettext("Tenants affected: %(tenants)s.") % {"tenants": named})
    if alert["cause"]:
        lines.append(gettext("Cause: %(cause)s") % {"cause": alert["cause"]["message"]})
    if alert["acknowledged_by"]:
        lines.append(gettext("Acknowledged by %(name)s.") % {"name": alert["acknowledged_by"]})
    lines.append(gettext("Console: %(url)s") % {"url": alert["url"]})
    if alert["runbook_url"]:
        lines.append(gettext("Runbook: %(url)s") % {"url": alert["runbook_url"]})
    return "\n".join(lines)


def slack(body: Body, target: str) -> list[Request]:
    """Return the request to a Slack webhook: a fallback text, and one block a part."""

    def escaped(text: str) -> str:
        # These begin links, mentions and entities.
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:MAX_TEXT]

    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": escaped(part)}} for part in _parts(body)]
    return [Request(target, {"text": escaped(subject_of(body)), "blocks": blocks})]


def teams(body: Body, target: str) -> list[Request]:
    """Return the request to a workflow of Microsoft Teams: an adaptive card."""

    def block(text: str, **style: Any) -> dict[str, Any]:
        # A card's text is Markdown, in which a tenant could hide a link.
        escaped = text.replace("[", "\\[").replace("]", "\\]").replace("\n", "\n\n")
        return {"type": "TextBlock", "text": escaped[:MAX_TEXT], "wrap": True, **style}

    card = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block(subject_of(body), weight="Bolder"), *map(block, _parts(body))],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return [Request(target, {"type": "message", "attachments": [attachment]})]


def pagerduty(body: Body, target: str) -> list[Request]:
    """Return one event per alert; its key makes PagerDuty count repeated ones once. The target is the routing key."""

    def event(alert: Mapping[str, Any]) -> Request:
        action = "trigger" if alert["state"] == "firing" else "resolve"
        action = "acknowledge" if action == "trigger" and alert["acknowledged_by"] else action
        content: dict[str, Any] = {"routing_key": target, "event_action": action, "dedup_key": alert["id"]}
        if action == "trigger":
            content["payload"] = {
                "summary": _headline(alert)[:1_000],
                "source": alert["object"],
                "severity": alert["severity"],
                "custom_details": dict(alert),
            }
            content["links"] = [{"href": alert["url"], "text": "Console"}]
        return Request(PAGERDUTY_URL, content)

    return [event(alert) for alert in _alerts_or_notice(body)]


def opsgenie(body: Body, target: str) -> list[Request]:
    """Return one request per alert; its alias makes Opsgenie count repeated ones once.

    The target is the API key, after `eu:` if the account is in the EU.
    """
    region, _, key = target.rpartition(":")
    url, headers = OPSGENIE_URL.format(f"{region}." if region else ""), [("Authorization", f"GenieKey {key}")]
    priorities = {"critical": "P1", "warning": "P3", "info": "P5"}

    def request(alert: Mapping[str, Any]) -> Request:
        if alert["state"] != "firing":
            return Request(f"{url}/{alert['id']}/close?identifierType=alias", {"source": "jobs platform"}, headers)
        content = {
            "message": _headline(alert)[:130],
            "alias": alert["id"],
            "description": alert.get("text") or describe(alert),
            "entity": alert["object"],
            "priority": priorities[alert["severity"]],
        }
        return Request(url, content, headers)

    return [request(alert) for alert in _alerts_or_notice(body)]


def webhook(body: Body, target: str) -> list[Request]:
    """Return the request to the contact's own webhook; it is signed when it is sent."""
    content = {"id": body["id"], "type": f"alerts.{body['what']}", "timestamp": body["at"], "data": dict(body)}
    return [Request(target, content)]


TEMPLATES: Final[Mapping[str, Callable[[Body, str], list[Request]]]] = {
    "slack": slack,
    "teams": teams,
    "pagerduty": pagerduty,
    "opsgenie": opsgenie,
    "webhook": webhook,
}


def _headline(alert: Mapping[str, Any]) -> str:
    states = {"firing": gettext("firing"), "resolved": gettext("resolved")}
    state = states.get(alert["state"], alert["state"])
    return f"[{alert['severity'].upper()}, {state}] {alert['name']}: {alert['object']}"


def _parts(body: Body) -> list[str]:
    return text_of(body).split("\n\n")


def _alerts_or_notice(body: Body) -> list[Mapping[str, Any]]:
    """Return the alerts; a notice or test stands as one of no rule, which its receiver shows."""
    if body.get("alerts"):
        return list(body["alerts"])
    notice = {"id": body["id"], "state": "firing", "severity": "info", "name": subject_of(body), "object": body["what"]}
    return [{**notice, "url": body["url"], "acknowledged_by": "", "text": text_of(body)}]
