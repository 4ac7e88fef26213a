"""The only contact of a stack: a webhook receiver, which records the arrival and the alerts of each message."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scheduling.models import AlertSilence, Contact, ContactGroup
from tenants.context import all_tenants
from tenants.secrets.signing import new_secret, seal
from tests.chaos.servers import HOST

FIRING = "firing"
# An hour's messages: no digest hides one.
MOST_MESSAGES = 1_000
# Within this contacts are notified of a fault.
NOTIFIED_SECONDS = 30.0
# Rows in which a rate has to rise first: of failures, or of messages that are published again after 15 s. In P4 no
# dispatcher can evaluate until its watchdog has ended it, in W21 until PostgreSQL is back.
LATEST_SECONDS = dict.fromkeys(("J2", "T2", "M4", "M7", "P4", "W21"), 60.0)
# Rows whose fault the platform absorbs within seconds, or that break no promise: no notification is needed.
NOT_EXPECTED = frozenset(
    # Valkey is back within five seconds, with all messages.
    {"R1", "R2"}
    # Latency, lost responses and repeated requests.
    | {"P3", "P12", "P13", "P25", "P26", "R21", "D1", "D2", "D12"}
    # Messages that a worker recognises, or that are published again.
    | {"M1", "M2", "M3", "W3"}
    # Work of operators and tenants.
    | {"W6", "W7", "S11", "C21", "W23", "F1", "F3", "J1", "T1", "T11", "T12"}
    # A second dispatcher goes on.
    | {"S1", "S2", "S3", "S4"}
    # The web server responds again within seconds and no job is affected; a load balancer watches web servers.
    | {"D11", "D21", "D24"}
    # The messages are published again within a second; if Valkey has lost any that were needed, it is reported.
    | {"R22"}
    # The workers reach Valkey again within seconds; starts that are missing for longer are reported.
    | {"W11"}
    # The worker goes on with the files that it has, or ends and others go on.
    | {"W22"}
    # The job that had begun had not run, and begins again within seconds; its response is requested again.
    | {"W25", "P27", "W27"}
    # The jobs complete: only their daemons stay, or a process that lacks nothing else cannot log.
    | {"W24", "W14"}
    # The dispatcher is back within 15 s; a longer absence is reported.
    | {"S12"}
    # The kind that fails is silenced here: T2 has the notice of failing jobs.
    | {"J3"}
    # For a minute after a step of the clock nothing is evaluated; the step is counted as an incident.
    | {"C2", "C4"}
    # Each alteration is undone before the newest seals are verified again.
    | {"A1"}
    # The next backup succeeds; a plan whose newest one is older than promised is reported.
    | {"B1", "B2"}
)


@dataclass(frozen=True, slots=True)
class ReportedAlert:
    """An alert in a message."""

    alert_id: str
    object: str
    state: str


@dataclass(frozen=True, slots=True)
class Message:
    """A request to the receiver, by this machine's clock."""

    at: float
    id: str
    reported: Sequence[ReportedAlert]


@dataclass(frozen=True, slots=True)
class Summary:
    """Notifications of a fault: ``seconds`` until the first message, None without one.

    ``false`` counts the alerts whose first message arrived before the fault, or more than `LATE_SECONDS` after its end.
    """

    seconds: float | None
    messages: int
    false: int
    objects: Sequence[str]


class Receiver:
    """Webhook receiver on loopback; it answers from `start` to `stop`."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.messages.append(read_message(json.loads(body), time.time()))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="alert receiver", daemon=True)

    @property
    def address(self) -> str:
        """Return its host and port."""
        return f"{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Answer requests, and become the platform's only contact."""
        self._thread.start()
        with all_tenants():
            group = ContactGroup.objects.get(tenant=None, is_default=True)
            Contact.objects.filter(group=group).delete()
            target, secret = seal(f"http://{self.address}/alerts"), seal(new_secret())
            Contact.objects.create(
                group=group,
                channel="webhook",
                label="chaos",
                sealed_target=target,
                sealed_secret=secret,
                per_hour=MOST_MESSAGES,
            )
            # A part of the load fails once, on purpose; no beat runs.
            for condition in ({"only_kind": "fail"}, {"object_key": "check:beat"}):
                ends_at = datetime.now(UTC) + timedelta(days=300)
                AlertSilence.objects.create(ends_at=ends_at, reason="chaos", created_by="chaos", **condition)

    def stop(self) -> None:
        """Close its port."""
        if self._thread.is_alive():
            self._server.shutdown()
        with suppress(OSError):
            self._server.server_close()

    def summary(self, *, since: float, began_at: float, ended_at: float) -> Summary:
        """Return the notifications from ``since`` on, of a fault that began and ended at these moments."""
        return summarise([one for one in self.messages if one.at >= since], began_at, ended_at)


def read_message(content: Mapping[str, Any], at: float) -> Message:
    """Return the message of a request."""
    alerts = content["data"].get("alerts", ())
    reported = [ReportedAlert(each["id"], f"{each['object_type']}:{each['object']}", each["state"]) for each in alerts]
    return Message(at, content["id"], reported)


# An alert may need this long from the end of what it is about: a rule's time, an evaluation, the wait for others.
LATE_SECONDS = 60.0


def summarise(messages: Sequence[Message], began_at: float, ended_at: float) -> Summary:
    """Return the notifications of a fault in these messages."""
    first: dict[str, tuple[float, str]] = {}
    for message in messages:
        for reported in message.reported:
            if reported.state == FIRING:
                first.setdefault(reported.alert_id, (message.at, reported.object))
    due = [at for at, _ in first.values() if began_at <= at <= ended_at + LATE_SECONDS]
    return Summary(
        seconds=round(min(due) - began_at, 1) if due else None,
        messages=len({message.id for message in messages}),
        false=len(first) - len(due),
        objects=list(dict.fromkeys(name for _, name in sorted(first.values()))),
    )


def words_of(summary: Summary) -> str:
    """Return a summary in one line."""
    first = "no contact was notified" if summary.seconds is None else f"notified after {summary.seconds:g} s"
    objects = f" of {', '.join(summary.objects)}" if summary.objects else ""
    return f"{first}, {summary.messages} messages{objects}, {summary.false} false"
