"""What the built-in workloads reach on this machine: documents, workflow nodes, entities of pipelines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched, pairwise
from pathlib import Path
from statistics import median
from uuid import UUID

from django.core.files.base import ContentFile
from django.db.models import Max, Min

from benchmarks.clocked.clock import VARIABLE
from benchmarks.harness.parts import NO_TARGET, Benchmark, Finding, Part
from benchmarks.recall import measure_recall
from jobsplatform.demo.corpus import read_corpus
from jobsplatform.demo.processes import running_platform
from jobsplatform.demo.provision import ACTOR
from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Execution, Job
from scheduling.processors.document_indexing.uploads import upload_documents
from scheduling.processors.files.services import upload_files
from scheduling.processors.rag_pipeline.runs import start_run as start_pipeline
from scheduling.processors.rag_pipeline.services import create_pipeline
from scheduling.processors.retrieval.services import create_dataset
from scheduling.processors.workflow_execution.runs import start_run as start_workflow
from scheduling.processors.workflow_execution.services import create_workflow
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Tenant
from tenants.services.tenants import create_tenant

PLAN = "professional"
ROUNDS = 3
BATCH_FILES = 50
RUNS, CHAIN = 40, 25
PART_SECONDS = 300.0
LOOK_SECONDS = 0.2
DOCUMENTS_VARIABLE = "BENCH_DOCUMENTS"
SUFFIXES = frozenset({".html", ".txt", ".md", ".pdf", ".docx", ".csv"})
NODES_TARGET, SHARE_TARGET = 200.0, 0.05


@dataclass(frozen=True, slots=True)
class _Indexed:
    """Documents a minute; the platform's part of the time in messages, and of all time of the slots."""

    per_minute: float
    share: float
    whole: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """Documents to index once for each of ``tenants`` tenants."""

    name: str
    paths: tuple[Path, ...]
    tenants: int

    @property
    def words(self) -> str:
        """What they are, and of what size."""
        sizes = [path.stat().st_size for path in self.paths]
        tenants = "one tenant" if self.tenants == 1 else f"{self.tenants} tenants"
        return f"{len(sizes)} documents of {median(sizes) / 1_000:.1f} kB in the middle, {self.name}, for {tenants}"

    def contents(self) -> Iterator[ContentFile[bytes]]:
        """As they are uploaded; files of one name in several folders are several documents."""
        return (ContentFile(path.read_bytes(), name=path.name) for path in self.paths)


def measure_documents(folder: Path) -> list[Finding]:
    """Index the demonstration's corpus, and the documents of the folder that BENCH_DOCUMENTS names."""
    shelves = [Shelf("the demonstration's corpus", read_corpus().good, ROUNDS), *_given()]
    # Documents of real size have the target, if there are any.
    return [finding for shelf in shelves for finding in _index(folder, shelf, has_target=shelf is shelves[-1])]


def _given() -> list[Shelf]:
    """Return the documents of the folder that the environment names, if it does."""
    folder = os.environ.get(DOCUMENTS_VARIABLE)
    if not folder:
        return []
    paths = tuple(sorted(path for path in Path(folder).rglob("*") if path.suffix in SUFFIXES))
    if not paths:
        raise FileNotFoundError(f"There are no documents ({', '.join(sorted(SUFFIXES))}) in {folder}.")
    return [Shelf("of a folder of manuals", paths, 1)]


def _index(folder: Path, shelf: Shelf, *, has_target: bool) -> list[Finding]:
    found = _measure_documents(folder, shelf)
    which = "pages" if shelf.tenants > 1 else "manuals"
    return [
        Finding(
            what=f"documents indexed per minute, {which}",
            target=NO_TARGET,
            measured=f"{found.per_minute:,.0f}",
            is_met=True,
            beside=shelf.words,
        ),
        Finding(
            what=f"the platform's part of the time in slots, {which}",
            target=f"≤ {SHARE_TARGET:.0%}" if has_target else NO_TARGET,
            measured=f"{found.share:.1%}",
            is_met=found.share <= SHARE_TARGET or not has_target,
            beside="everything between a message and the end of its settlement that is neither the processor's "
            "computing nor its effects' writing; with the way from one job to the next "
            f"{found.whole:.1%} of all time of all slots",
        ),
    ]


def _measure_documents(folder: Path, shelf: Shelf) -> _Indexed:
    # A tenant each: what one has embedded is not embedded again for it.
    name = "manuals" if shelf.tenants == 1 else "pages"
    tenants = [_tenant(f"{name}-{number}") for number in range(shelf.tenants)]
    for tenant in tenants:
        with tenant_context(tenant):
            dataset = create_dataset(tenant=tenant, name="library")
            for contents in batched(shelf.contents(), BATCH_FILES):
                upload_documents(tenant=tenant, dataset=dataset, files=contents)
    clock = folder / f"clock-{name}"
    clock.mkdir()
    with _clocked(clock):
        ended, seconds = _run(folder, tenants)
    lines = [json.loads(line) for path in clock.glob("*.jsonl") for line in path.read_text().splitlines()]
    lines = [line for line in lines if line["is_document"]]
    own = sum(line["own"] for line in lines)
    share = 1 - own / sum(line["slot"] for line in lines)
    return _Indexed(60 * ended / seconds, share, 1 - own / (_slots() * seconds))


def measure_nodes(folder: Path) -> list[Finding]:
    """Run chains of templates, so that each node waits for the one before to be stored."""
    tenant = _tenant("workflows")
    names = ["start", *(f"step_{number}" for number in range(CHAIN)), "end"]
    nodes = [
        {"id": name, "type": "template", "config": {"template": "{{ inputs.word }} " + name}}
        if name.startswith("step")
        else {"id": name, "type": name, "config": {"inputs": {"word": {"type": "string"}}} if name == "start" else {}}
        for name in names
    ]
    edges = [{"from": before, "to": after} for before, after in pairwise(names)]
    with tenant_context(tenant):
        workflow = create_workflow(tenant=tenant, name="chain", definition={"nodes": nodes, "edges": edges})
        for _ in range(RUNS):
            start_workflow(tenant=tenant, workflow=workflow, inputs={"word": "word"})
    ended, seconds = _run(folder, [tenant])
    rate = ended * len(names) / seconds
    return [
        Finding(
            what="workflow nodes per second",
            target=f"≥ {NODES_TARGET:,.0f}",
            measured=f"{rate:,.0f}",
            is_met=rate >= NODES_TARGET,
            beside=f"{RUNS} runs of {len(names)} nodes; a node is stored by a transaction of its own before the next "
            "begins",
        )
    ]


def measure_entities(folder: Path) -> list[Finding]:
    """Run one pipeline over the corpus."""
    tenant = _tenant("pipelines")
    with tenant_context(tenant):
        create_dataset(tenant=tenant, name="library")
        contents = Shelf("", read_corpus().good, 1).contents()
        files = [file for part in batched(contents, BATCH_FILES) for file in upload_files(tenant=tenant, files=part)]
        sources = [{"type": "file", "file": str(file.pk)} for file in files]
        pipeline = create_pipeline(
            tenant=tenant,
            name="corpus",
            definition={"datasource": {"sources": sources}, "load": {"dataset": "library"}},
        )
        start_pipeline(tenant=tenant, pipeline_id=pipeline.pk)
    _, seconds = _run(folder, [tenant])
    return [
        Finding(
            what="pipeline entities per minute",
            target=NO_TARGET,
            measured=f"{60 * len(sources) / seconds:,.0f}",
            is_met=True,
            beside="the demonstration's corpus as files of one run",
        )
    ]


def _run(folder: Path, tenants: Sequence[Tenant]) -> tuple[int, float]:
    """Start the platform, let all jobs of these end; how many completed, and seconds from first start to last end."""
    ids = [tenant.pk for tenant in tenants]
    with running_platform(folder / f"{tenants[0].slug}.log") as platform:
        _wait_until(lambda: not _open_jobs(ids), platform.require_alive)
    with all_tenants():
        spans = Execution.objects.filter(tenant_id__in=ids, started_at__isnull=False)
        times = spans.aggregate(first=Min("started_at"), last=Max("ended_at"))
        completed = Job.objects.filter(tenant_id__in=ids, state=JobState.COMPLETED).count()
    return completed, (times["last"] - times["first"]).total_seconds()


def _wait_until(is_so: Callable[[], bool], require_alive: Callable[[], None]) -> None:
    deadline = time.monotonic() + PART_SECONDS
    while not is_so():
        require_alive()
        if time.monotonic() >= deadline:
            raise TimeoutError(f"Not within {PART_SECONDS:.0f} s.")
        time.sleep(LOOK_SECONDS)


def _open_jobs(ids: Sequence[UUID]) -> int:
    with all_tenants():
        return Job.objects.filter(tenant_id__in=ids).exclude(state__in=TERMINAL_STATES).count()


def _tenant(slug: str) -> Tenant:
    with acting_as(ACTOR):
        return create_tenant(slug=f"bench-{slug}", plan=PLAN)


def _slots() -> int:
    return os.cpu_count() or 1


@contextmanager
def _clocked(folder: Path) -> Iterator[None]:
    """What is started within clocks its documents."""
    before = os.environ.get("DJANGO_SETTINGS_MODULE")
    os.environ |= {"DJANGO_SETTINGS_MODULE": "benchmarks.clocked.settings", VARIABLE: str(folder)}
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is None:
            del os.environ["DJANGO_SETTINGS_MODULE"]
        else:
            os.environ["DJANGO_SETTINGS_MODULE"] = before


BENCHMARK = Benchmark(
    name="workloads",
    title="The built-in workloads",
    parts=(
        Part("documents", 2.0, measure_documents),
        Part("nodes", 1.0, measure_nodes),
        Part("entities", 1.0, measure_entities),
        Part("recall", 1.0, measure_recall),
    ),
    method="Web, dispatcher, beat and one worker with a slot per core, PostgreSQL and the broker beside them on the "
    "same cores; real extraction, real embeddings. Each part from its first start to its last end. The platform's part "
    "of a slot's time is the same for a document of any size, so the demonstration's documents, which are of a page "
    f"each, bear most of it; where {DOCUMENTS_VARIABLE} names a folder, its documents have the target.",
)
