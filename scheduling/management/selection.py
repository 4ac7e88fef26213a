"""Which jobs a command means: the filters of the API as options."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from scheduling.filters import FilterSyntaxError, JobFilter, parse
from scheduling.filters.fields import LETTER_REASONS
from scheduling.lifecycle import JobState
from tenants.management.arguments import moment


def add_time_arguments(parser: ArgumentParser) -> None:
    """When it was made, and of which error it died."""
    parser.add_argument("--created-after", type=moment, metavar="TIME", help="inclusive")
    parser.add_argument("--created-before", type=moment, metavar="TIME", help="exclusive")
    parser.add_argument("--error", help="a fingerprint, or a part of the error's type")


def add_job_arguments(parser: ArgumentParser, states: tuple[JobState, ...]) -> None:
    """The options that :func:`read_job_filter` reads; ``states`` are those that the command can act on."""
    parser.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in states],
        help="may be repeated; by default each of these",
    )
    parser.add_argument("--kind", action="append", default=[], help="may be repeated")
    parser.add_argument("--queue", action="append", default=[], help="a queue's name; may be repeated")
    parser.add_argument("--tag", action="append", default=[], help="may be repeated; all must be there")
    parser.add_argument("--fair-key")
    parser.add_argument("--batch", type=UUID, metavar="ID")
    parser.add_argument(
        "--filter", type=filter_text, metavar="TEXT", help='as in the console: "state:retryable queue:x age:>1h"'
    )
    add_time_arguments(parser)


def read_job_filter(options: Mapping[str, Any], states: tuple[JobState, ...]) -> JobFilter:
    """Return the filter of the jobs that the options mean."""
    of_options = JobFilter.of(
        state=[JobState(state) for state in options["state"] or states],
        kind=options["kind"],
        queue=options["queue"],
        tag=options["tag"],
        fair_key=options["fair_key"],
        batch=options["batch"],
        created_after=options["created_after"],
        created_before=options["created_before"],
        error=options["error"],
    )
    return of_options & (options["filter"] or JobFilter())


def filter_text(text: str) -> JobFilter:
    """The argument as a filter whose ages count from now, however long the command takes."""
    try:
        return parse(text).frozen(timezone.now())
    except FilterSyntaxError as error:
        raise ArgumentTypeError(error.detail) from error


def add_dead_letter_arguments(parser: ArgumentParser) -> None:
    """The options that :func:`read_dead_letter_filter` reads."""
    parser.add_argument("--kind", action="append", default=[], help="may be repeated")
    parser.add_argument("--letter-reason", action="append", default=[], choices=LETTER_REASONS, help="may be repeated")
    parser.add_argument("--fingerprint", help="a whole one: that of a group")
    add_time_arguments(parser)


def read_dead_letter_filter(options: Mapping[str, Any]) -> JobFilter:
    """Return the filter of the waiting dead letters that the options mean."""
    return JobFilter.of(
        kind=options["kind"],
        dead_letter=options["letter_reason"],
        fingerprint=options["fingerprint"],
        error=options["error"],
        requeued="no",
        died_after=options["created_after"],
        died_before=options["created_before"],
    )
