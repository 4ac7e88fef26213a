"""A client of the API that writes down what it asked and what it was told, and asks again when it was told nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.history import ACCEPTED, Reply, Request

TIMEOUT_SECONDS = 15.0
BULK_JOBS = 1_000
CREATED = 201


class Client:
    """Submits for several tenants; may be used from many threads."""

    def __init__(self, address: str, tokens: Mapping[UUID, str], *, name: str) -> None:
        self._tokens = tokens
        self._name = name
        self._lock = threading.Lock()
        self._numbers = 0
        # By key, how often it was sent without an answer yet: nobody else sends it again meanwhile.
        self._under_way: Counter[str] = Counter()
        self.requests: list[Request] = []
        # The responses to whatever else was asked, with the paths.
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
        """A request under a new key, not yet sent."""
        with self._lock:
            self._numbers += 1
            return Request(tenant_id, kind, payload, f"{prefix or self._name}-{self._numbers}", run_at)

    def send(self, request: Request) -> Reply:
        """Send it once more, under its own key."""
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
        """Prepare and send once."""
        request = self.prepare(tenant_id, kind, payload, run_at=run_at)
        self.send(request)
        return request

    def cancel(self, tenant_id: UUID, job_id: UUID) -> int | None:
        """Cancel a job; the status of the response."""
        headers = {"Authorization": f"Api-Key {self._tokens[tenant_id]}"}
        return self._status_of("POST", f"jobs/{job_id}/cancel/", headers=headers, json={"reason": "chaos"})

    def upload(self, tenant_id: UUID, name: str, content: bytes) -> int | None:
        """Upload a file; the status of the response."""
        headers = {"Authorization": f"Api-Key {self._tokens[tenant_id]}"}
        return self._status_of("POST", "files/", headers=headers, files={"files": (name, content, "text/plain")})

    def _status_of(self, method: str, path: str, **options: Any) -> int | None:
        """The status of a response; None if the connection ended without one."""
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError:
            return None
        with self._lock:
            self.others.append((path, _reply_of(response)))
        return response.status_code

    def submit_bulk(self, tenant_id: UUID, kind: str, payload: Mapping[str, Any], count: int) -> list[UUID]:
        """Many alike, in requests of BULK_JOBS, none of which is sent twice: they bear no keys. The jobs' ids."""
        headers = {"Authorization": f"Api-Key {self._tokens[tenant_id]}"}
        found: list[UUID] = []
        for size in _parts(count, BULK_JOBS):
            jobs = [{"kind": kind, "payload": payload}] * size
            response = self._http.post("jobs/bulk/", json={"jobs": jobs}, headers=headers, timeout=120.0)
            response.raise_for_status()
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

    def unanswered(self) -> list[Request]:
        """The requests of which the client does not know what became of them."""
        with self._lock:
            return [request for request in self.requests if not request.is_answered]

    def to_ask_again(self) -> list[Request]:
        """Those of them that nobody sends at this moment."""
        with self._lock:
            return [one for one in self.requests if not one.is_answered and not self._under_way[one.key]]

    def ask_again(self) -> int:
        """Send whatever is unanswered once more; how many still are."""
        for request in self.to_ask_again():
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
