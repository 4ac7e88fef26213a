"""What became of the alerts of a soak test, by the receiver and by the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.harness.outcome import Outcome
from tests.chaos.alert_soak.faults import Fault
from tests.chaos.alerts import FIRING, Message
from tests.chaos.stack import Stack

# Contacts are notified of a fault's alert within this, also if the dispatcher that evaluated was killed meanwhile.
REPORTED_SECONDS = 60.0
# Time between two kills of a dispatcher, drawn.
KILLED_EVERY = (15.0, 35.0)
MAX_SHOWN = 20
_UNSENT = """
SELECT count(*) FROM scheduling_alert_notice WHERE message_id IS NULL AND dropped = '' AND due_at < now()
"""
_REPEATED = "SELECT coalesce(sum(attempt - 1), 0) FROM scheduling_alert_message WHERE attempt > 1"
# Tenants have no contacts here.
_UNNOTIFIED = """
SELECT rule_name || ' of ' || object_key FROM scheduling_alert a WHERE fired_at IS NOT NULL AND tenant_id IS NULL
    AND silence_id IS NULL AND inhibited_by IS NULL
    AND NOT EXISTS (SELECT FROM scheduling_alert_notice n WHERE n.alert_id = a.id AND n.what = 'fired')
"""


@dataclass(slots=True)
class Soak:
    """Results of a run."""

    minutes: float
    seed: int
    began_at: float = field(default_factory=time.time)
    faults: list[tuple[Fault, float]] = field(default_factory=list)
    kills: int = 0
    messages: list[Message] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def find_faults(soak: Soak, stack: Stack) -> Iterator[str]:
    """Yield each alert that was lost, notified twice, or notified late."""
    view = stack.view
    soak.messages = list(stack.receiver.messages)
    received = Counter(message.id for message in soak.messages)
    states = dict(view.rows("SELECT id::text, state FROM scheduling_alert_message"))
    unsent = view.number(_UNSENT)
    soak.counts = {
        "alerts that fired": int(view.number("SELECT count(*) FROM scheduling_alert WHERE fired_at IS NOT NULL")),
        "notices": int(view.number("SELECT count(*) FROM scheduling_alert_notice")),
        "messages": len(states),
        "messages received": len(received),
        "requests that repeated a message's id": sum(received.values()) - len(received),
        "attempts above one": int(view.number(_REPEATED)),
    }
    yield from (f"message {one} is {state}" for one, state in states.items() if state != "sent")
    yield from (f"message {one} is sent and was not received" for one in states.keys() - received.keys())
    yield from (f"message {one} was received and is not stored" for one in received.keys() - states.keys())
    if unsent:
        yield f"{unsent} notices are in no message"
    yield from (f"{name} fired without a notice" for (name,) in view.rows(_UNNOTIFIED))
    yield from find_repeats(soak.messages)
    for fault, at in soak.faults:
        if notified_after(fault, at, soak.messages) is None:
            yield f"{fault.name}: no message named any of {', '.join(fault.objects)}"


def find_repeats(messages: Sequence[Message]) -> Iterator[str]:
    """Yield each alert that two messages in a row report in the same state."""
    last: dict[str, str] = {}
    seen: set[str] = set()
    for message in messages:
        if message.id in seen:
            continue
        seen.add(message.id)
        for reported in message.reported:
            if last.get(reported.alert_id) == reported.state:
                yield f"{reported.object} was reported twice as {reported.state}"
            last[reported.alert_id] = reported.state


def notified_after(fault: Fault, at: float, messages: Sequence[Message]) -> float | None:
    """Return the seconds until a message reports a fault; 0 if its alert was open already, None without a message."""
    is_open: dict[str, bool] = {}
    for message in messages:
        for reported in message.reported:
            if not reported.object.startswith(fault.objects):
                continue
            if message.at < at:
                is_open[reported.alert_id] = reported.state == FIRING
            elif reported.state == FIRING and message.at < at + fault.seconds + REPORTED_SECONDS:
                return message.at - at
    return 0.0 if any(is_open.values()) else None


def report(soak: Soak, measured_on: str) -> Outcome:
    """Return the page of a run."""
    rows = [("fault", "notified after")]
    for fault, at in soak.faults:
        seconds = notified_after(fault, at, soak.messages)
        words = "**never**" if seconds is None else f"{seconds:.1f} s" if seconds else "open already"
        rows.append((fault.name, words))
    counts = [f"- {name}: {count:,}" for name, count in soak.counts.items()]
    method = (
        f"{soak.minutes:g} minutes, seed {soak.seed}, under light load, with two dispatchers of which one was killed "
        f"with SIGKILL {soak.kills} times at random moments, every {KILLED_EVERY[0]:g} to {KILLED_EVERY[1]:g} s. The "
        "contact is a webhook on loopback. *Lost* is an alert that fired and that no message names, a notice in no "
        "message, or a message that was not received. *Twice* is an alert that two messages in a row, with "
        "different ids, report in the same state. A process that is killed between the request and its settlement "
        "leaves a claim that expires; its message is then sent again with the same id, by which a receiver recognises "
        "it.\n\n"
    )
    return Outcome(
        name="alerts_soak",
        title="Alerts over killed dispatchers",
        rows=rows,
        target="no alert lost, none notified twice",
        is_met=not soak.violations,
        verdict="met" if not soak.violations else "missed: " + "; ".join(soak.violations[:MAX_SHOWN]),
        method=method + "\n".join(counts),
        reproduce=f"make alerts-soak MINUTES={soak.minutes:g} SEED={soak.seed}",
        measured_on=measured_on,
    )
