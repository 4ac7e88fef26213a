"""Witness: it probes health and a page of the console throughout, and submits jobs of its own tenant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from uuid import UUID

import httpx

from tests.chaos.client import Client
from tests.chaos.health_checks import READY
from tests.chaos.history import READY_PAGE, WITNESS_KEY, Probe

JOB_SECONDS = 2.0
PROBE_SECONDS = 1.0
TIMEOUT_SECONDS = 15.0
SUCCESS = 200


class Witness:
    """Threads that send requests from outside, like a load balancer, a person and a client."""

    def __init__(self, address: str, client: Client, tenant_id: UUID, cookies: Mapping[str, str], page: str) -> None:
        self._client = client
        self._tenant_id = tenant_id
        self._page = page
        self._http = httpx.Client(base_url=address, timeout=TIMEOUT_SECONDS, cookies=dict(cookies))
        self._submitting, self._probing = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self.probes: list[Probe] = []

    def start(self) -> None:
        """Start, or continue for another seed."""
        self._submitting.clear()
        self._probing.clear()
        self._threads = [
            threading.Thread(target=self._repeat, args=(act, stopped, seconds), daemon=True)
            for act, stopped, seconds in (
                (self._submit, self._submitting, JOB_SECONDS),
                (lambda: self._probe(READY_PAGE), self._probing, PROBE_SECONDS),
                (lambda: self._probe(self._page), self._probing, PROBE_SECONDS),
            )
        ]
        for thread in self._threads:
            thread.start()

    def stop_submitting(self) -> None:
        """Stop submitting jobs, and return once none is sent; the pages are probed further."""
        self._submitting.set()
        if self._threads:
            self._threads[0].join()

    def stop(self) -> None:
        """Stop, and return once nothing is sent any more."""
        self._submitting.set()
        self._probing.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        self._http.close()

    def last(self) -> dict[str, Probe]:
        """Return the last response of each page."""
        return {probe.page: probe for probe in self.probes}

    @property
    def is_satisfied(self) -> bool:
        """Return whether health is "ready" and the console shows its page."""
        last = self.last()
        pages = [last.get(READY_PAGE), last.get(self._page)]
        return all(page is not None and page.status == SUCCESS for page in pages) and last[READY_PAGE].state == READY

    def _repeat(self, act: Callable[[], None], stopped: threading.Event, seconds: float) -> None:
        while not stopped.wait(seconds):
            act()

    def _submit(self) -> None:
        request = self._client.prepare(self._tenant_id, "chaos_steps", {"steps": 0}, prefix=WITNESS_KEY)
        self._client.send(request)

    def _probe(self, page: str) -> None:
        try:
            response = self._http.get(page)
        except httpx.TransportError:
            self.probes.append(Probe(time.time(), page, None))
            return
        state, failed = _state_in(response) if page == READY_PAGE else ("", frozenset[str]())
        has_retry_after = "Retry-After" in response.headers
        self.probes.append(Probe(time.time(), page, response.status_code, state, failed, has_retry_after))


def _state_in(response: httpx.Response) -> tuple[str, frozenset[str]]:
    """Return the state in a health response, and the names of its failed checks."""
    try:
        body = response.json()
    except ValueError:
        return "", frozenset()
    return body.get("status", ""), frozenset(name for name, state in body.get("checks", {}).items() if state != "ok")
