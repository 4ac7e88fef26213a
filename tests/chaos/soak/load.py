"""Load of tenants through the API alone: a seeded mixture, and a log of all accepted jobs."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from jobsplatform.demo.processes import ROOT

DOCUMENTS = ROOT / "examples" / "corpus" / "documents"
REQUEST_SECONDS = 30.0
# Between two acts of a tenant.
PAUSE_SECONDS = (0.2, 1.2)
RETRY_SECONDS = 0.3
BULK_JOBS = (10, 40)
RECENT_JOBS = 200
LARGE_CHARACTERS = 60_000


@dataclass(slots=True)
class ClientLog:
    """Log of a client: accepted jobs, responses, and forbidden responses."""

    accepted: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    refused_connections: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, answer: httpx.Response) -> None:
        self.answers[answer.status_code] += 1
        declared = answer.status_code == 503 and "Retry-After" in answer.headers
        if answer.status_code >= 500 and not declared:
            asked = f"{answer.request.method} {answer.request.url.path}"
            self.faults.append(f"{asked}: {answer.status_code} {answer.text[:200]}")


class TenantLoad(threading.Thread):
    """Programs of one tenant. Each submission is repeated under its idempotency key until it gets a response."""

    def __init__(self, address: str, token: str, seed: int, *, makes_trouble: bool) -> None:
        super().__init__(daemon=True, name=f"load-{seed}")
        self.log = ClientLog()
        self._address, self._token = address, token
        self._random = random.Random(seed)
        self._stopped, self._going = threading.Event(), threading.Event()
        self._going.set()
        self._recent: deque[str] = deque(maxlen=RECENT_JOBS)
        self._documents = sorted(path for path in DOCUMENTS.iterdir() if path.stat().st_size < LARGE_CHARACTERS)
        self._dataset = ""
        self._keys = 0
        self._acts = self._weighted(makes_trouble=makes_trouble)

    def _weighted(self, *, makes_trouble: bool) -> Sequence[Callable[[], object]]:
        weights: dict[Callable[[], object], int] = {
            self._normal: 10,
            self._small: 8,
            self._bulk: 2,
            self._slow: 2,
            self._large: 1,
            self._failing: 3,
            self._crashing: 1 if makes_trouble else 0,
            self._greedy: 1,
            self._upload: 1,
            self._search: 1,
            self._cancel: 3,
            self._retry: 2,
            self._schedule: 1,
            self._look: 8,
        }
        return [act for act, weight in weights.items() for _ in range(weight)]

    def run(self) -> None:
        with httpx.Client(
            base_url=f"{self._address}/api/v1/",
            headers={"Authorization": f"Api-Key {self._token}"},
            timeout=REQUEST_SECONDS,
        ) as self._http:
            while not self._stopped.wait(self._random.uniform(*PAUSE_SECONDS)):
                self._going.wait()
                self._random.choice(self._acts)()

    def pause(self) -> None:
        """Start no further act until `resume`."""
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    def stop(self) -> None:
        self._stopped.set()
        self._going.set()

    # Requests ----------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response | None:
        """Return the response; None if the connection ended without one."""
        try:
            answer = self._http.request(method, path, **content)
        except httpx.TransportError:
            self.log.refused_connections += 1
            return None
        self.log.note(answer)
        return answer

    def _submit(self, kind: str, payload: Mapping[str, Any]) -> None:
        self._keys += 1
        headers = {"Idempotency-Key": f"{self.name}-{self._keys}"}
        while not self._stopped.is_set():
            answer = self._ask("POST", "jobs/", json={"kind": kind, "payload": payload}, headers=headers)
            if answer is not None and answer.is_success:
                self._accept(answer.json()["id"])
                return
            if answer is not None and answer.status_code not in {409, 503}:
                return  # a refusal is a response
            time.sleep(RETRY_SECONDS)

    def _accept(self, job_id: str) -> None:
        self.log.accepted.add(job_id)
        self._recent.append(job_id)

    def _some_job(self) -> str | None:
        return self._random.choice(self._recent) if self._recent else None

    # Acts -------------------------------------------------------------------------------------------------

    def _normal(self) -> None:
        self._submit("sleep", {"seconds": round(self._random.uniform(0.02, 0.4), 3)})

    def _small(self) -> None:
        self._submit("noop", {"n": self._keys})

    def _slow(self) -> None:
        self._submit("sleep", {"seconds": round(self._random.uniform(2.0, 8.0), 1)})

    def _large(self) -> None:
        self._submit("noop", {"text": "x" * LARGE_CHARACTERS})

    def _failing(self) -> None:
        how = self._random.choice(["transient", "transient", "unknown", "permanent", "retry"])
        self._submit("fail", {"how": how, "times": self._random.randint(1, 2)})

    def _crashing(self) -> None:
        self._submit("crash", {"times": self._random.choice([1, 1, 3])})

    def _greedy(self) -> None:
        self._submit("allocate", {"mebibytes": self._random.choice([8, 32])})

    def _bulk(self) -> None:
        jobs = [{"kind": "noop", "payload": {"n": n}} for n in range(self._random.randint(*BULK_JOBS))]
        answer = self._ask("POST", "jobs/bulk/", json={"jobs": jobs})
        if answer is not None and answer.is_success:
            for entry in answer.json()["accepted"]:
                self._accept(entry["id"])

    def _upload(self) -> None:
        if not self._dataset:
            answer = self._ask("POST", "datasets/", json={"name": f"handbook-{self._keys}"})
            if answer is None or not answer.is_success:
                return
            self._dataset = answer.json()["id"]
        chosen: Path = self._random.choice(self._documents)
        name = f"{self._keys}-{self._random.randrange(10**6)}-{chosen.name}"
        files = [("files", (name, chosen.read_bytes()))]
        self._ask("POST", f"datasets/{self._dataset}/documents/", files=files)

    def _search(self) -> None:
        if self._dataset:
            self._ask("POST", f"datasets/{self._dataset}/search/", json={"query": "lease of a worker", "top_k": 5})

    def _cancel(self) -> None:
        if (job_id := self._some_job()) is not None:
            self._ask("POST", f"jobs/{job_id}/cancel/", json={})

    def _retry(self) -> None:
        if (job_id := self._some_job()) is not None:
            answer = self._ask("POST", f"jobs/{job_id}/retry/", json={})
            if answer is not None and answer.is_success:
                self._accept(answer.json()["id"])

    def _schedule(self) -> None:
        body = {"name": f"{self.name}-{self._keys}", "kind": "noop", "cron": "* * * * *"}
        self._keys += 1
        answer = self._ask("POST", "schedules/", json=body)
        if answer is not None and answer.is_success:
            answer = self._ask("POST", f"schedules/{answer.json()['id']}/run-now/", json={})
            if answer is not None and answer.is_success:
                self._accept(answer.json()["id"])

    def _look(self) -> None:
        paths = ["jobs/", "jobs/?state=completed", "usage/", "dead-letters/", "errors/", "schedules/", "fairness/"]
        if (job_id := self._some_job()) is not None:
            paths += [f"jobs/{job_id}/", f"jobs/{job_id}/events/", f"jobs/{job_id}/logs/"]
        self._ask("GET", self._random.choice(paths))
