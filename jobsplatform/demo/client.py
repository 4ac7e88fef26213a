"""Client of the HTTP API that acts as one tenant."""

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
    """The platform answered a request with an error."""


@dataclass(frozen=True, slots=True)
class UploadResponse:
    """Accepted upload: the id of its batch, and the ids of the documents by file name."""

    batch_id: str
    documents: dict[str, str]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One search result: a passage of text, its document, and its location there."""

    document: str
    location: Mapping[str, Any]
    text: str
    score: float


class TenantClient:
    """Client of the API that authenticates with the API key of one tenant."""

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

    def create_dataset(self, name: str) -> str:
        """Create a dataset; return its id."""
        return str(self._post("datasets/", json={"name": name})["id"])

    def upload(self, dataset_id: str, files: Sequence[Path]) -> UploadResponse:
        """Upload files as one batch to a dataset."""
        with ExitStack() as stack:
            parts = [("files", (path.name, stack.enter_context(path.open("rb")))) for path in files]
            answer = self._post(f"datasets/{dataset_id}/documents/", files=parts)
        return UploadResponse(str(answer["batch"]), {entry["name"]: str(entry["id"]) for entry in answer["documents"]})

    def list_documents(self, dataset_id: str) -> list[dict[str, Any]]:
        """Return the JSON of all documents of a dataset, from all pages of the list."""
        documents: list[dict[str, Any]] = []
        page: str | None = f"datasets/{dataset_id}/documents/?limit={PAGE_LIMIT}"
        while page:
            answer = _answer(self._http.get(page))
            documents += answer["results"]
            page = answer["next"]
        return documents

    def upload_files(self, files: Sequence[Path]) -> list[str]:
        """Upload files without a dataset; return their ids."""
        with ExitStack() as stack:
            parts = [("files", (path.name, stack.enter_context(path.open("rb")))) for path in files]
            answer = self._post("files/", files=parts)
        return [str(entry["id"]) for entry in answer["files"]]

    def get(self, path: str) -> dict[str, Any]:
        """Send a GET request; return the JSON of the response."""
        return _answer(self._http.get(path))

    def post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Send a POST request with a JSON body; return the JSON of the response."""
        return self._post(path, json=content)

    def search(self, dataset_id: str, query: str, *, top_k: int, mode: str = "hybrid") -> list[SearchResult]:
        """Return the passages of a dataset that match a query best, best first; `mode` is hybrid, vector or text."""
        content = {"query": query, "top_k": top_k, "mode": mode}
        answer = self._post(f"datasets/{dataset_id}/search/", json=content)
        return [
            SearchResult(str(entry["document"]["name"]), entry["location"], str(entry["text"]), float(entry["score"]))
            for entry in answer["results"]
        ]

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        return _answer(self._http.post(path, **content))


class PersonClient(TenantClient):
    """Client of the API that is logged in as a person, because API keys may not decide approvals."""

    def __init__(self, address: str, tenant: str, username: str, password: str) -> None:
        headers = {"X-Tenant": tenant, "Referer": f"{address}/"}
        self._http = httpx.Client(base_url=f"{address}{API_V1_PREFIX}", headers=headers, timeout=TIMEOUT_SECONDS)
        page = f"{address}{CONSOLE_PREFIX}login/"
        self._http.get(page)
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._http.cookies["csrftoken"]}
        self._http.post(page, data=form)
        self._http.headers["X-CSRFToken"] = self._http.cookies["csrftoken"]


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON of a successful response; raise RefusedError with the beginning of the text for any other."""
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    detail = response.text[:2_000]
    raise RefusedError(f"{response.request.method} {response.request.url.path}: {response.status_code} {detail}")
