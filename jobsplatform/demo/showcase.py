"""Runs of the example pipelines and workflows, which one tenant starts through the API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobsplatform.demo.client import PersonClient, TenantClient
from jobsplatform.demo.corpus import Corpus
from jobsplatform.demo.provision import Administrator
from jobsplatform.demo.uploads import Shelf

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
RUN_SECONDS = 120.0
POLL_SECONDS = 0.25
QUESTION = "What keeps one customer's flood from starving all others?"
LIBRARY_FILES = 3
TEXT_CHARACTERS = 600
FINAL_STATES = frozenset({"completed", "partial", "failed", "cancelled", "succeeded"})
DEAD_STATES = frozenset({"cancelled", "discarded", "quarantined"})


@dataclass(frozen=True, slots=True)
class Shown:
    """Result of an example: its name, a sentence, and whether the result is as expected."""

    name: str
    summary: str
    is_good: bool


def run_examples(address: str, shelf: Shelf, corpus: Corpus, person: Administrator) -> Iterator[Shown]:
    """Run the examples one after another, each to its end; yield their results."""
    with TenantClient(address, shelf.participant.token) as client:
        yield _run_pipeline(client, "glossary", [])
        yield _run_pipeline(client, "library", _upload(client, corpus.good[:LIBRARY_FILES]))
        asked = {"question": QUESTION, "dataset": shelf.dataset_id}
        yield _run_workflow(client, "answer_from_knowledge", asked, lambda made: made["answer"])
        texts = [path.read_text(encoding="utf-8")[:TEXT_CHARACTERS] for path in _plain(corpus)]
        yield _run_workflow(client, "summarise_many", {"texts": texts}, lambda made: made["together"])
        topic = {"topic": "the new scheduler"}
        with PersonClient(address, shelf.participant.slug, person.username, person.password) as approver:
            yield _run_workflow(client, "publish_with_approval", topic, lambda made: made["status"], approver=approver)


def _run_pipeline(client: TenantClient, name: str, sources: Sequence[Mapping[str, Any]]) -> Shown:
    client.create_dataset(name)
    pipeline = client.post("pipelines/", {"name": name, "definition": _definition("pipelines", name)})
    run = client.post(f"pipelines/{pipeline['id']}/runs/", {"sources": sources} if sources else {})
    ended = _wait(lambda: client.get(f"pipeline-runs/{run['id']}/"), FINAL_STATES)
    entities = client.get(f"pipeline-runs/{run['id']}/entities/")["results"]
    chunks = sum(entity["chunks_done"] or 0 for entity in entities)
    summary = f"pipeline {name}: {ended['state']}, {len(entities)} sources, {chunks} chunks"
    return Shown(name, summary, ended["state"] == "completed" and chunks > 0)


def _run_workflow(
    client: TenantClient,
    name: str,
    inputs: Mapping[str, Any],
    pick: Callable[[Mapping[str, Any]], str],
    *,
    approver: TenantClient | None = None,
) -> Shown:
    workflow = client.post("workflows/", {"name": name, "definition": _definition("workflows", name)})
    run = client.post(f"workflows/{workflow['id']}/runs/", {"inputs": inputs})
    if approver is not None:
        _approve(approver, workflow["id"])
    job = _wait(lambda: client.get(f"jobs/{run['job']}/"), FINAL_STATES | DEAD_STATES)
    if job["state"] != "completed":
        return Shown(name, f"workflow {name}: {job['state']}: {job['error']}", is_good=False)
    said = " ".join(str(pick(job["result"]["outputs"])).split())
    return Shown(name, f"workflow {name}: {said}", is_good=bool(said))


def _approve(client: TenantClient, workflow_id: str) -> None:
    """Wait until the workflow's approval is pending, and approve it."""
    path = f"approvals/?workflow={workflow_id}&state=pending"
    found = _wait(lambda: client.get(path), frozenset(), is_there=lambda page: bool(page["results"]))
    client.post(f"approvals/{found['results'][0]['id']}/decide/", {"decision": "approved", "comment": "Good."})


def _wait(
    look: Callable[[], dict[str, Any]],
    states: frozenset[str],
    *,
    is_there: Callable[[dict[str, Any]], bool] | None = None,
) -> dict[str, Any]:
    deadline = time.monotonic() + RUN_SECONDS
    is_there = is_there or (lambda answer: answer["state"] in states)
    while not is_there(answer := look()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return answer


def _upload(client: TenantClient, files: Sequence[Path]) -> list[dict[str, str]]:
    return [{"type": "file", "file": file_id} for file_id in client.upload_files(files)]


def _plain(corpus: Corpus) -> list[Path]:
    return [path for path in corpus.good if path.suffix in {".md", ".txt"}][:LIBRARY_FILES]


def _definition(folder: str, name: str) -> Any:
    return json.loads((EXAMPLES / folder / f"{name}.json").read_text(encoding="utf-8"))
