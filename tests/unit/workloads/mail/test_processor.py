"""The kind `send_mail` with a real SMTP server: mails, refusals by reply code, and hostile payloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from pytest_django import Settings

from scheduling.kit.base import Complete, DependencyRefusedError, PermanentError, TransientError
from scheduling.kit.testing import RecordingRuntime, make_context, try_processor
from tests.smtp_server import Mailbox, smtp_server
from workloads.mail.processor import MAX_RECIPIENTS, SendMail
from workloads.mail.tenant_settings import ALLOWED_DOMAINS

MAIL = {"to": ["ann@example.com"], "subject": "Grüße", "text": "Hello\n.\nYou"}
JOB = make_context(SendMail, MAIL).job_id


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    with smtp_server() as running:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", running.port, False
        settings.EMAIL_HOST_USER = ""
        settings.DEFAULT_FROM_EMAIL = "Jobs <jobs@platform.example>"
        yield running


def send(runtime: RecordingRuntime | None = None, **changes: Any) -> dict[str, Any]:
    allowed = {ALLOWED_DOMAINS.key: ["example.com"]}
    run = try_processor(SendMail, MAIL | changes, settings=allowed, runtime=runtime)
    if run.error is not None:
        raise run.error
    assert isinstance(run.outcome, Complete)
    return dict(run.outcome.result or {})


def test_mail_has_the_id_of_its_job_at_each_attempt(mailbox: Mailbox) -> None:
    results = [send(), send()]
    identity = f"<{JOB}@platform.example>"
    assert results == [{"message_id": identity, "refused": []}] * 2
    assert [mail["Message-ID"] for _, mail in mailbox.mails] == [identity] * 2


def test_parts_of_the_payload_are_in_the_mail(mailbox: Mailbox) -> None:
    send(to=["ann@example.com", "ANN@example.com"], cc=["bob@Example.com"], reply_to="me@example.com", html="<p>Hi</p>")
    ((recipients, mail),) = mailbox.mails
    assert sorted(map(str.lower, recipients)) == ["ann@example.com", "bob@example.com"]
    assert (mail["From"], mail["Cc"], mail["Reply-To"]) == (
        "Jobs <jobs@platform.example>",
        "bob@Example.com",
        "me@example.com",
    )
    plain, html = mail.get_payload()
    assert "Hello" in plain.get_payload(decode=True).decode()
    assert (html.get_content_type(), html.get_payload(decode=True)) == ("text/html", b"<p>Hi</p>")


@pytest.mark.parametrize(
    ("reply", "error", "code"),
    [("450 later", TransientError, "smtp_450"), ("550 unknown", PermanentError, "smtp_550")],
    ids=["later", "unknown"],
)
def test_refused_recipient_is_of_the_job_and_not_of_the_server(
    mailbox: Mailbox, reply: str, error: type[Exception], code: str
) -> None:
    mailbox.refusal = reply
    runtime = RecordingRuntime()
    with pytest.raises(error) as raised:
        send(runtime)
    assert raised.value.code == code  # type: ignore[attr-defined]
    mailbox.refusal, mailbox.refused = "", {"ann@example.com": reply}
    sent = send(to=["ann@example.com", "bob@example.com"])
    assert sent["refused"] == [{"address": "ann@example.com", "code": int(reply[:3])}]
    assert [recipients for recipients, _ in mailbox.mails] == [["bob@example.com"]]


@pytest.mark.parametrize(
    ("reply", "error", "code"),
    [("451 later", TransientError, "smtp_451"), ("554 spam", PermanentError, "smtp_554")],
    ids=["later", "spam"],
)
def test_refused_mail_is_retried_by_its_reply_code(
    mailbox: Mailbox, reply: str, error: type[Exception], code: str
) -> None:
    mailbox.answer = reply
    with pytest.raises(error) as raised:
        send()
    assert raised.value.code == code  # type: ignore[attr-defined]
    assert mailbox.mails == []


def test_absent_server_is_transient(mailbox: Mailbox, settings: Settings) -> None:
    settings.EMAIL_PORT = 1
    with pytest.raises(TransientError) as raised:
        send()
    assert raised.value.code == "smtp_unavailable"


def test_refused_account_opens_the_breaker(mailbox: Mailbox, settings: Settings) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "jobs", "wrong"
    mailbox.login = "535 wrong"
    with pytest.raises(DependencyRefusedError):
        send()


def test_platform_without_a_server_fails_the_job(settings: Settings) -> None:
    settings.EMAIL_HOST = ""
    with pytest.raises(PermanentError) as raised:
        send()
    assert raised.value.code == "mail_not_set"


def test_more_recipients_than_allowed_fail_the_job(mailbox: Mailbox) -> None:
    many = [f"a{number}@example.com" for number in range(MAX_RECIPIENTS)]
    with pytest.raises(PermanentError) as raised:
        send(to=many, cc=["b@example.com"])
    assert raised.value.code == "too_many_recipients"
    assert mailbox.mails == []


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "a\nBcc: all@example.com"},
        {"subject": "a\rb"},
        {"subject": "a\u2028b"},
        {"subject": ""},
        {"to": []},
        {"to": ["ann@example.com\nBcc: all@example.com"]},
        {"to": ["Ann <ann@example.com>"]},
        {"to": ["ann@example.com, bob@example.com"]},
        {"to": ["ann"]},
        {"to": ["a@example.com"] * (MAX_RECIPIENTS + 1)},
        {"cc": ["ann@example.com\r"]},
        {"reply_to": "a@example.com\nX: y"},
        {"text": "x" * 50_001},
        {"from": "ceo@example.com"},
    ],
    ids=repr,
)
def test_hostile_payload_is_refused_at_submission(changes: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        make_context(SendMail, MAIL | changes)
