"""Reading of robots.txt: which pages a crawler may fetch, and how long it has to wait between two requests."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

from scheduling.kit.base import PermanentError
from scheduling.kit.http import Answer, read_target
from workloads.documents.sources.calls import Calls

MAX_ROBOTS_BYTES = 500 * 1024
MAX_ROBOTS_LINES = 5_000
MAX_DELAY_SECONDS = 3_600


def read_rules(answer: Answer) -> RobotFileParser:
    """Return the rules of a site. A site without robots.txt allows all, one that hides it allows nothing.

    Raise PermanentError if the file is too long, or has a number that is not valid.
    """
    lines = answer.body.decode("utf-8", "replace").splitlines() if answer.status == 200 else []
    if len(lines) > MAX_ROBOTS_LINES:
        raise PermanentError(f"robots.txt has more than {MAX_ROBOTS_LINES} lines.", code="robots_invalid")
    if answer.status in (401, 403):
        lines = ["User-agent: *", "Disallow: /"]
    rules = RobotFileParser()
    try:
        rules.parse(lines)
    except ValueError as error:
        raise PermanentError("robots.txt has a number that is not valid.", code="robots_invalid") from error
    return rules


def delay_of(rules: RobotFileParser, agent: str) -> float:
    """Return the pause in seconds that the site asks for; raise PermanentError if it is longer than an hour."""
    rate, delay = rules.request_rate(agent), float(rules.crawl_delay(agent) or 0)
    if rate is not None and rate.requests:
        delay = max(delay, rate.seconds / rate.requests)
    if delay > MAX_DELAY_SECONDS:
        raise PermanentError("robots.txt asks for a pause of more than an hour.", code="robots_disallows")
    return delay


class Robots:
    """The rules of the hosts of a site, each read once in an execution."""

    def __init__(self, calls: Calls, agent: str, may_follow: Callable[[str], bool]) -> None:
        self._calls, self._agent, self._may_follow = calls, agent, may_follow
        self._rules: dict[tuple[str, str, int], RobotFileParser] = {}

    def rules_of(self, url: str) -> RobotFileParser:
        """Return the rules of the host of a URL."""
        origin = read_target(url).origin
        if origin not in self._rules:
            answer = self._calls.get(
                urljoin(url, "/robots.txt"),
                headers=[("User-Agent", self._agent)],
                max_bytes=MAX_ROBOTS_BYTES,
                is_paced=False,
                may_follow=self._may_follow,
            )
            self._rules[origin] = read_rules(answer)
        return self._rules[origin]

    def allow(self, url: str) -> bool:
        """Return whether the rules of its host allow a URL; False for one that cannot be parsed."""
        try:
            return self.rules_of(url).can_fetch(self._agent, url)
        except ValueError:
            return False
