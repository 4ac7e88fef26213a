"""An SMTP server on loopback that stores what it accepts, or refuses all recipients."""

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
    """Accepted mails, each with the recipients of its envelope; ``refusal`` answers every recipient if it is set."""

    port: int = 0
    refusal: str = ""
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
            if verb == b"RCPT" and mailbox.refusal:
                answer(mailbox.refusal)
            elif verb == b"DATA":
                answer("354 go on")
                content = b""
                while (part := stream.readline()) not in (b".\r\n", b""):
                    content += part
                mailbox.mails.append((recipients, email.message_from_bytes(content)))
                recipients = []
                answer("250 accepted")
            elif verb == b"QUIT":
                answer("221 bye")
                return
            else:
                if verb == b"RCPT":
                    recipients.append(line.split(b"<")[1].split(b">")[0].decode())
                answer("250 localhost")

    with raw_server(speak) as port:
        mailbox.port = port
        yield mailbox
