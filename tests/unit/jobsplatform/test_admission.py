"""Adaptive admission: the limit of concurrent requests follows the measured latency."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from jobsplatform import admission
from jobsplatform.admission import LEAST, MOST, REMEMBERED_SECONDS, AdaptiveLimit, AdmissionMiddleware, class_of
from scheduling.load.queries import LoadView
from scheduling.load.rules import Level


class Clock:
    """Clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(limit: AdaptiveLimit, seconds: float, *, at_once: int = 8, rounds: int = 1) -> int:
    """Run rounds of concurrent requests that take so long; return how many were refused."""
    refused = 0
    for _ in range(rounds):
        admitted = sum(limit.enter() for _ in range(at_once))
        refused += at_once - admitted
        for _ in range(admitted):
            limit.leave(seconds)
    return refused


def test_usual_latency_refuses_nothing() -> None:
    limit = AdaptiveLimit(clock=Clock())
    assert run(limit, 0.02, rounds=100) == 0
    assert limit.limit == MOST


def test_raised_latency_lowers_the_limit_to_one_at_least() -> None:
    limit = AdaptiveLimit(clock=Clock())
    run(limit, 0.02, rounds=10)
    assert run(limit, 1.0, rounds=200) > 0
    assert limit.limit == LEAST
    assert limit.enter()


def test_limit_grows_again_after_the_load() -> None:
    limit = AdaptiveLimit(clock=Clock())
    run(limit, 0.02, rounds=10)
    run(limit, 1.0, rounds=200)
    run(limit, 0.02, rounds=200)
    assert limit.limit > 8


def test_short_requests_are_never_slow() -> None:
    limit = AdaptiveLimit(clock=Clock())
    run(limit, 0.001, rounds=10)
    assert run(limit, 0.05, rounds=50) == 0


def test_new_usual_latency_is_learned() -> None:
    clock = Clock()
    limit = AdaptiveLimit(clock=clock)
    run(limit, 0.05, rounds=10)
    run(limit, 1.0, rounds=20)
    lowered = limit.limit
    for _ in range(3):
        clock.now += 1.1 * REMEMBERED_SECONDS
        run(limit, 1.0, at_once=1, rounds=30)
    assert limit.limit > lowered


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("post", "/api/v1/jobs/", "submit"),
        ("post", "/api/v1/jobs/bulk/", "submit"),
        ("get", "/api/v1/jobs/", ""),
        ("get", "/api/v1/jobs/?q=kind:noop", "search"),
        ("post", "/api/v1/datasets/handbook/search/", "search"),
        ("get", "/api/v1/logs/", "search"),
        ("get", "/health/ready", ""),
        ("post", "/admin/scheduling/job/submit/", ""),
    ],
)
def test_submissions_and_searches_of_the_api_have_limits(method: str, path: str, expected: str) -> None:
    assert class_of(getattr(RequestFactory(), method)(path)) == expected


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> dict[str, Level]:
    """Return the load states above normal, which the middleware sees."""
    levels: dict[str, Level] = {}
    monkeypatch.setattr(admission, "current_load", lambda: LoadView(levels, {}, [], {}))
    return levels


def test_request_beyond_the_limit_is_refused_under_load_with_a_time_to_return(levels: dict[str, Level]) -> None:
    levels["platform"] = Level.BUSY
    middleware = AdmissionMiddleware(lambda request: HttpResponse("ok"))
    limit = middleware._limits["submit"]
    limit.limit = LEAST
    assert limit.enter()
    refused = middleware(RequestFactory().post("/api/v1/jobs/"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert middleware(RequestFactory().get("/api/v1/jobs/")).status_code == 200
    limit.leave(0.01)
    assert middleware(RequestFactory().post("/api/v1/jobs/")).status_code == 200


def test_request_beyond_the_limit_is_refused_while_the_load_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> LoadView:
        raise OperationalError("gone")

    monkeypatch.setattr(admission, "current_load", fail)
    middleware = AdmissionMiddleware(lambda request: HttpResponse("ok"))
    middleware._limits["submit"].limit = 0.0
    assert middleware(RequestFactory().post("/api/v1/jobs/")).status_code == 503


def test_request_beyond_the_limit_runs_without_load(levels: dict[str, Level]) -> None:
    assert not levels
    middleware = AdmissionMiddleware(lambda request: HttpResponse("ok"))
    limit = middleware._limits["submit"]
    limit.limit = LEAST
    assert limit.enter()
    assert middleware(RequestFactory().post("/api/v1/jobs/")).status_code == 200
