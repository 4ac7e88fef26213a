"""Passwords given to management commands: typed twice at a terminal, or read as one line from standard input."""

from __future__ import annotations

import getpass
import sys

from django.core.management.base import CommandError, CommandParser


def add_password_argument(parser: CommandParser) -> None:
    """Add `--password-stdin` to a command that sets a password.

    There is no option that takes the password itself, because other users of the machine can see command lines.
    """
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from a line of the standard input"
    )


def read_password(*, from_stdin: bool) -> str:
    """Return a password, read from standard input or typed twice at the terminal.

    Raise `CommandError` if the two entries differ, or if standard input is not a terminal and `from_stdin` is False.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to type the password at: use --password-stdin.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password (again): ") != password:
        raise CommandError("The passwords differ.")
    return password
