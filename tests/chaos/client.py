"""Client of the API that logs requests and responses, and repeats requests without a response."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.history import ACCEPTED, UNAVAILABLE, Reply, Request

TIMEOUT_SECONDS = 15.0
BULK_JOBS = 1_000
# An overloaded platform accepts again within this.
REFUSED_SECONDS = 60.0
CREATED = 201


class Client:
    """Client of several tenants; thread-safe."""

    def __init__(self, address: str, tokens: Mapping[UUID, str], *, name: str) -> None:
        self._tokens = tokens
        self._name = name
        self._lock = threading.Lock()
        self._numbers = 0
        # By key, the number of pending requests: other threads do not repeat the key meanwhile.
        self._under_way: Counter[str] = Counter()
        self.requests: list[Request] = []
        # Responses to other requests, with their paths.
        self.others: list[tuple[str, Reply]] = []
        self._http = httpx.Client(base_url=f"{address}/api/v1/", timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        self._http.close()

    def prepare(
        self,
        tenant_id: UUID,
        kind: str,
        payload: Mapping[str, Any],
        *,
        run_at: datetime | None = None,
        prefix: str = "",
    ) -> Request:
        """Return a request under a new key, without sending it."""
        with self._lock:
            self._numbers += 1
            return Request(tenant_id, kind, payload, f"{prefix or self._name}-{self._numbers}", run_at)

    def send(self, request: Request) -> Reply:
        """Send a request again, under its own key."""
        body = {"kind": request.kind, "payload": request.payload}
        if request.run_at is not None:
            body["run_at"] = request.run_at.isoformat()
        headers = {"Authorization": f"Api-Key {self._tokens[request.tenant_id]}", "Idempotency-Key": request.key}
        with self._lock:
            if request.key not in self._under_way:
                self.requests.append(request)
            self._under_way[request.key] += 1
        try:
            response = self._http.post("jobs/", json=body, headers=headers)
            reply = _reply(response)
        except httpx.TransportError as error:
            reply = Reply(time.time(), None, code=type(error).__name__)
        finally:
            with self._lock:
                self._under_way[request.key] -= 1
        with self._lock:
            request.replies.append(reply)
        return reply

    def submit(
        self, tenant_id: UUID, kind: str, payload: Mapping[str, Any], *, run_at: datetime | None = None
    ) -> Request:
        """Prepare a request and send it once."""
        request = self.prepare(tenant_id, kind, payload, run_at=run_at)
        self.send(request)
        return request

    def cancel(self, tenant_id: UUID, job_id: UUID) -> int | None:
        """Cancel a job; return the status of the response."""
        headers = {"Authorization": f"Api-Key {self._tokens[tenant_id]}"}
        return self._status_of("POST", f"jobs/{job_id}/cancel/", headers=headers, json={"reason": "chaos"})

    def upload(self, tenant_id: UUID, name: str, content: bytes) -> int | None:
        """Upload a file; return the status of the response."""
        headers = {"Authorization": f"Api-Key {self._tokens[tenant_id]}"}
        return self._status_of("POST", "files/", headers=headers, files={"files": (name, content, "text/plain")})

    def _status_of(self, method: str, path: str, **options: Any) -> int | None:
        """Return the status of a response, or None if the connection ended without one."""
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError:
            return None
        with self._lock:
            self.others.append((path, _reply_of(response)))
        return response.status_code

    def submit_bulk(self, tenant_id: UUID, kind: str, payload: Mapping[str, Any], count: int) -> list[UUID]:
        """Submit many equal jobs in requests of BULK_JOBS; return their ids.

        The jobs have no keys, so no request is sent twice.
        """
        headers = {"Authorization": f"Api-Key {self._tokens[tenant_id]}"}
        found: list[UUID] = []
        for size in _parts(count, BULK_JOBS):
            jobs = [{"kind": kind, "payload": payload}] * size
            response = self._post_when_accepted({"jobs": jobs}, headers)
            ids = [UUID(entry["id"]) for entry in response.json()["accepted"]]
            if len(ids) < size:
                raise AssertionError(f"{size - len(ids)} of {size} jobs were refused: {response.text[-500:]}")
            reply_at = time.time()
            with self._lock:
                self.requests += [
                    Request(tenant_id, kind, payload, f"bulk {job_id}", replies=[Reply(reply_at, CREATED, job_id)])
                    for job_id in ids
                ]
            found += ids
        return found

    def _post_when_accepted(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        """Submit many jobs, again as long as an overloaded platform refuses them; raise HTTPStatusError otherwise."""
        until = time.monotonic() + REFUSED_SECONDS
        while True:
            response = self._http.post("jobs/bulk/", json=body, headers=headers, timeout=120.0)
            if response.status_code != UNAVAILABLE or time.monotonic() > until:
                return response.raise_for_status()
            time.sleep(float(response.headers.get("Retry-After", 1)))

    def unanswered(self) -> list[Request]:
        """Return the requests with an unknown result."""
        with self._lock:
            return [request for request in self.requests if not request.is_answered]

    def repeatable_requests(self) -> list[Request]:
        """Return those of them that no thread sends at the moment."""
        with self._lock:
            return [one for one in self.requests if not one.is_answered and not self._under_way[one.key]]

    def repeat_unanswered(self) -> int:
        """Repeat all unanswered requests; return how many remain."""
        for request in self.repeatable_requests():
            self.send(request)
        return len(self.unanswered())


def _parts(count: int, size: int) -> Sequence[int]:
    return [size] * (count // size) + ([count % size] if count % size else [])


def _reply(response: httpx.Response) -> Reply:
    if response.status_code in ACCEPTED:
        return Reply(time.time(), response.status_code, UUID(response.json()["id"]))
    return _reply_of(response)


def _reply_of(response: httpx.Response) -> Reply:
    is_problem = response.headers.get("Content-Type", "").startswith("application/problem+json")
    code = response.json().get("code", "") if is_problem else ""
    return Reply(time.time(), response.status_code, code=code, has_retry_after="Retry-After" in response.headers)
