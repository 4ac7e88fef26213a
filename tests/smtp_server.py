"""An SMTP server on loopback that stores what it accepts, or refuses recipients or the mail."""

from __future__ import annotations

import email
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message

from tests.web_server import raw_server


@dataclass
class Mailbox:
    """Accepted mails, each with the recipients of its envelope.

    ``refusal`` answers every recipient if it is set, ``refused`` some, ``answer`` each mail, and ``login`` each
    account; without it the server has none.
    """

    port: int = 0
    refusal: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    answer: str = "250 accepted"
    login: str = ""
    mails: list[tuple[list[str], Message]] = field(default_factory=list)


@contextmanager
def smtp_server() -> Iterator[Mailbox]:
    """Run a server on a free port of 127.0.0.1."""
    mailbox = Mailbox()

    def speak(connection: socket.socket, is_over: threading.Event) -> None:
        stream = connection.makefile("rwb")
        recipients: list[str] = []

        def answer(text: str) -> None:
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        answer("220 localhost ESMTP")
        while line := stream.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                answer("354 go on")
                content = b""
                while (part := stream.readline()) not in (b".\r\n", b""):
                    content += part
                if mailbox.answer.startswith("2"):
                    mailbox.mails.append((recipients, email.message_from_bytes(content)))
                recipients = []
                answer(mailbox.answer)
            elif verb == b"QUIT":
                answer("221 bye")
                return
            else:
                reply = _reply(mailbox, line)
                if verb == b"RCPT" and reply.startswith("2"):
                    recipients.append(_address(line))
                answer(reply)

    with raw_server(speak) as port:
        mailbox.port = port
        yield mailbox


def _reply(mailbox: Mailbox, line: bytes) -> str:
    verb = line[:4].upper()
    if verb == b"RCPT":
        return mailbox.refusal or mailbox.refused.get(_address(line), "250 localhost")
    if verb == b"AUTH":
        return mailbox.login
    return "250-localhost\r\n250 AUTH PLAIN" if verb == b"EHLO" and mailbox.login else "250 localhost"


def _address(line: bytes) -> str:
    return line.split(b"<")[1].split(b">")[0].decode()
