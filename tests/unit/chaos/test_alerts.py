"""Notifications of a fault: its first message, false alerts, and alerts that were lost or notified twice."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.alert_soak.faults import Fault
from tests.chaos.alert_soak.proof import find_repeats, notified_after
from tests.chaos.alerts import FIRING, Message, ReportedAlert, Summary, read_message, summarise
from tests.chaos.report import StoredResult, draw_table
from tests.chaos.results import Results, Run, read_results, write_results
from tests.chaos.rows import ROWS
from tests.unit.chaos.test_report import result

RESOLVED = "resolved"


def message(at: float, *reported: tuple[str, str], id_: str = "") -> Message:
    return Message(
        at, id_ or f"message {at}", [ReportedAlert(f"alert of {name}", name, state) for name, state in reported]
    )


def test_first_message_of_the_fault_counts() -> None:
    found = summarise([message(112.0, ("pool:a", FIRING)), message(150.0, ("pool:a", RESOLVED))], 100.0, 140.0)
    assert found == Summary(12.0, 2, 0, ["pool:a"])


def test_alert_before_the_fault_or_long_after_its_end_is_false() -> None:
    messages = [message(90.0, ("check:a", FIRING)), message(300.0, ("check:b", FIRING))]
    found = summarise(messages, 100.0, 140.0)
    assert (found.seconds, found.false) == (None, 2)


def test_repeated_request_is_one_message() -> None:
    assert summarise([message(101.0, id_="x"), message(102.0, id_="x")], 100.0, 140.0).messages == 1


def test_message_of_the_webhook_is_read() -> None:
    alert = {"id": "1", "object_type": "pool", "object": "io", "state": FIRING, "name": "x"}
    found = read_message({"id": "m", "data": {"alerts": [alert]}}, 5.0)
    assert found == Message(5.0, "m", [ReportedAlert("1", "pool:io", FIRING)])


def test_summary_survives_the_way_between_processes_and_into_the_table(tmp_path: Path) -> None:
    run = Run(7, [1.0], notified=Summary(31.0, 2, 1, ["pool:a"]))
    write_results(Results([run], "a machine"), tmp_path / "results.json")
    (again,) = read_results(tmp_path / "results.json").runs
    assert again == run
    outcome = draw_table({"W2": StoredResult.of(result(again, name="W2"))})
    assert outcome.rows[1][-4:] == ["31.0 s", "2", "1", "pool:a"]
    assert outcome.verdict.endswith("no contact notified in time: W2; false alerts: W2")
    assert "W2" in ROWS


def test_alert_that_two_messages_report_equally_is_notified_twice() -> None:
    fired, resolved = ("pool:a", FIRING), ("pool:a", RESOLVED)
    assert not list(find_repeats([message(1.0, fired), message(2.0, resolved), message(3.0, fired)]))
    assert not list(find_repeats([message(1.0, fired, id_="x"), message(2.0, fired, id_="x")]))
    assert len(list(find_repeats([message(1.0, fired), message(2.0, fired)]))) == 1


def test_fault_is_reported_or_its_alert_was_open() -> None:
    fault = Fault("x", 10.0, ("pool:",), lambda _: None)
    fired, resolved = message(50.0, ("pool:a", FIRING)), message(60.0, ("pool:a", RESOLVED))
    assert notified_after(fault, 45.0, [fired]) == 5.0
    assert notified_after(fault, 55.0, [fired]) == 0.0
    assert notified_after(fault, 65.0, [fired, resolved]) is None
