"""A client of the HTTP API that acts as one tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from tenants.url_prefixes import API_V1_PREFIX, CONSOLE_PREFIX

TIMEOUT_SECONDS = 60.0
PAGE_LIMIT = 200


class RefusedError(RuntimeError):
    """Raised if the platform answers a request with an error."""


@dataclass(frozen=True, slots=True)
class UploadResponse:
    """An accepted upload: its batch, and document ids by file name."""

    batch_id: str
    documents: dict[str, str]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One search result: a chunk of `document`, and its location."""

    document: str
    location: Mapping[str, Any]
    text: str
    score: float


class TenantClient:
    """A client of the API with one tenant's key."""

    def __init__(self, address: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=f"{address}{API_V1_PREFIX}",
            headers={"Authorization": f"Api-Key {token}"},
            timeout=TIMEOUT_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, kind: str, payload: Mapping[str, Any]) -> UUID:
        """Submit a job; return its id."""
        return UUID(self._post("jobs/", json={"kind": kind, "payload": payload})["id"])

    def read_job(self, job_id: UUID) -> dict[str, Any]:
        """Return a job as the API shows it."""
        return _answer(self._http.get(f"jobs/{job_id}/"))

    def create_dataset(self, name: str) -> str:
        """Create a dataset; return its id."""
        return str(self._post("datasets/", json={"name": name})["id"])

    def upload(self, dataset_id: str, files: Sequence[Path]) -> UploadResponse:
        """Upload files as one batch."""
        with ExitStack() as stack:
            parts = [("files", (path.name, stack.enter_context(path.open("rb")))) for path in files]
            answer = self._post(f"datasets/{dataset_id}/documents/", files=parts)
        return UploadResponse(str(answer["batch"]), {entry["name"]: str(entry["id"]) for entry in answer["documents"]})

    def list_documents(self, dataset_id: str) -> list[dict[str, Any]]:
        """Return all documents of a dataset, each with its status, its job and its error, from all pages."""
        documents: list[dict[str, Any]] = []
        page: str | None = f"datasets/{dataset_id}/documents/?limit={PAGE_LIMIT}"
        while page:
            answer = _answer(self._http.get(page))
            documents += answer["results"]
            page = answer["next"]
        return documents

    def upload_files(self, files: Sequence[Path]) -> list[str]:
        """Upload files that belong to no dataset; return their ids."""
        with ExitStack() as stack:
            parts = [("files", (path.name, stack.enter_context(path.open("rb")))) for path in files]
            answer = self._post("files/", files=parts)
        return [str(entry["id"]) for entry in answer["files"]]

    def get(self, path: str) -> dict[str, Any]:
        """Return the response to a GET."""
        return _answer(self._http.get(path))

    def post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to a POST with a JSON body."""
        return self._post(path, json=content)

    def search(self, dataset_id: str, query: str, *, top_k: int, mode: str = "hybrid") -> list[SearchResult]:
        """Return the best chunks for a query, best first; `mode` is hybrid, vector or text."""
        content = {"query": query, "top_k": top_k, "mode": mode}
        answer = self._post(f"datasets/{dataset_id}/search/", json=content)
        return [
            SearchResult(str(entry["document"]["name"]), entry["location"], str(entry["text"]), float(entry["score"]))
            for entry in answer["results"]
        ]

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        return _answer(self._http.post(path, **content))


class PersonClient(TenantClient):
    """A client of the API as a logged-in person in one tenant: keys may not decide approvals."""

    def __init__(self, address: str, tenant: str, username: str, password: str) -> None:
        headers = {"X-Tenant": tenant, "Referer": f"{address}/"}
        self._http = httpx.Client(base_url=f"{address}{API_V1_PREFIX}", headers=headers, timeout=TIMEOUT_SECONDS)
        page = f"{address}{CONSOLE_PREFIX}login/"
        self._http.get(page)
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._http.cookies["csrftoken"]}
        self._http.post(page, data=form)
        self._http.headers["X-CSRFToken"] = self._http.cookies["csrftoken"]


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON of a successful response; raise `RefusedError` with the problem for any other."""
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    detail = response.text[:2_000]
    raise RefusedError(f"{response.request.method} {response.request.url.path}: {response.status_code} {detail}")
