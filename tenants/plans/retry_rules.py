"""A plan's retry rules by kind of job. Kinds are only names in this module.

An example is ``{"*": {"max_retries": 5}, "http_call": {"max_retries": 2, "delays_seconds": [30, 60]}}``: the name ``*``
stands for every kind, and the rule of a kind itself takes precedence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from tenants.translation import translate

EVERY_KIND = "*"
MOST_RULES = 100
MOST_RETRIES = 100
MOST_DELAYS = 20
MOST_DELAY_SECONDS = 86_400
MAX_RETRIES, DELAYS = "max_retries", "delays_seconds"
_KIND = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LINE = re.compile(
    r"(?P<kind>\*|[A-Za-z0-9_.-]{1,64})\s*+:\s*+(?:(?P<retries>\d{1,9})\s*+(?:retries|retry)?+)?+"
    r"(?:\s*+\bafter\s++(?P<delays>\d{1,9}(?:[\s,]++\d{1,9})*+)(?:\s*+s)?+)?+",
    re.ASCII,
)


def check_retry_rules(rules: Any) -> None:
    """Raise Django's ValidationError if a rule is invalid; its message describes the first such rule."""
    if not isinstance(rules, Mapping):
        raise ValidationError(translate("It must be an object of rules by kind."))
    if len(rules) > MOST_RULES:
        raise ValidationError(translate("At most %(limit)s rules are allowed.", {"limit": MOST_RULES}))
    for kind, rule in rules.items():
        if not isinstance(kind, str) or (kind != EVERY_KIND and not _KIND.fullmatch(kind)):
            raise ValidationError(translate("%(kind)r is not a valid name of a kind.", {"kind": str(kind)[:80]}))
        _check_rule(kind, rule)


def _check_rule(kind: str, rule: Any) -> None:
    if not isinstance(rule, Mapping) or not rule or set(rule) - {MAX_RETRIES, DELAYS}:
        raise ValidationError(
            translate(
                "%(kind)s: A rule must have %(retries)s, %(delays)s, or both, and nothing else.",
                {"kind": kind, "retries": MAX_RETRIES, "delays": DELAYS},
            )
        )
    if MAX_RETRIES in rule and not _is_whole(rule[MAX_RETRIES], MOST_RETRIES):
        raise ValidationError(
            translate(
                "%(kind)s: %(name)s must be an integer from 0 to %(greatest)s.",
                {"kind": kind, "name": MAX_RETRIES, "greatest": MOST_RETRIES},
            )
        )
    delays = rule.get(DELAYS, [0])
    is_list = isinstance(delays, list | tuple) and 1 <= len(delays) <= MOST_DELAYS
    if not is_list or not all(_is_whole(delay, MOST_DELAY_SECONDS) for delay in delays):
        raise ValidationError(
            translate(
                "%(kind)s: %(name)s must be 1 to %(count)s integers from 0 to %(greatest)s.",
                {"kind": kind, "name": DELAYS, "count": MOST_DELAYS, "greatest": f"{MOST_DELAY_SECONDS:,}"},
            )
        )


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def write_retry_rules(rules: Mapping[str, Any]) -> str:
    """Return the rules as lines that :func:`read_retry_rules` reads, such as ``http_call: 2 retries after 30, 60``."""
    return "\n".join(_write_rule(kind, rules[kind]) for kind in sorted(rules))


def _write_rule(kind: str, rule: Mapping[str, Any]) -> str:
    most = rule.get(MAX_RETRIES)
    retries = [] if most is None else ["1 retry" if most == 1 else f"{most} retries"]
    delays = [f"after {', '.join(str(delay) for delay in rule[DELAYS])}"] if DELAYS in rule else []
    return f"{kind}: {' '.join([*retries, *delays])}"


def read_retry_rules(text: str) -> dict[str, dict[str, Any]]:
    """Return the rules written in a text, one on each line.

    Raise Django's ValidationError with the number of the line that is invalid.
    """
    rules: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not (line := line.strip()):
            continue
        found = _LINE.fullmatch(line)
        if found is None or not (found["retries"] or found["delays"]):
            raise ValidationError(
                translate(
                    "Line %(number)s is not a rule such as “http_call: 2 retries after 30, 60”.", {"number": number}
                )
            )
        if found["kind"] in rules:
            raise ValidationError(
                translate("Line %(number)s: %(kind)s already has a rule.", {"number": number, "kind": found["kind"]})
            )
        rule: dict[str, Any] = {} if found["retries"] is None else {MAX_RETRIES: int(found["retries"])}
        if found["delays"] is not None:
            rule[DELAYS] = [int(delay) for delay in re.findall(r"[0-9]+", found["delays"])]
        rules[found["kind"]] = rule
    check_retry_rules(rules)
    return rules
