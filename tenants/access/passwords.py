"""Passwords given to commands: typed twice at a terminal, or one line of the standard input."""

from __future__ import annotations

import getpass
import sys

from django.core.management.base import CommandError, CommandParser


def add_password_argument(parser: CommandParser) -> None:
    """Add the option of commands that set a password.

    No option takes the password itself: other users of the machine see command lines.
    """
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from a line of the standard input"
    )


def read_password(*, from_stdin: bool) -> str:
    """Return the password. Raise `CommandError` if the two entries differ or there is no terminal."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to type the password at: use --password-stdin.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password (again): ") != password:
        raise CommandError("The passwords differ.")
    return password
