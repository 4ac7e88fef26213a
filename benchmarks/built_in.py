"""The benchmark of the built-in workloads: documents, workflow nodes, pipeline entities, recall of search."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched, pairwise
from pathlib import Path
from statistics import median
from unittest.mock import patch

from django.core.files.base import ContentFile
from django.db.models import Max, Min

from benchmarks.clocked import VARIABLE
from benchmarks.harness.filling import ask
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from benchmarks.harness.processes import wait_on_platform
from jobsplatform.demo.client import TenantClient
from jobsplatform.demo.corpus import CorpusQuestion, read_corpus
from jobsplatform.demo.processes import running_platform
from jobsplatform.demo.provision import ACTOR, create_participants
from jobsplatform.demo.readings import read_counts
from jobsplatform.demo.uploads import open_shelf, upload_corpus
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Execution, Job
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.service import create_dataset
from workloads.files.service import upload_files
from workloads.pipelines.node_types import chain
from workloads.pipelines.runs import start_run as start_pipeline
from workloads.pipelines.service import create_pipeline
from workloads.workflows.runs import start_run as start_workflow
from workloads.workflows.service import create_workflow

PLAN, ROUNDS, BATCH_FILES = "professional", 3, 50
RUNS, CHAIN = 40, 25
PART_SECONDS = 300.0
DOCUMENTS_VARIABLE = "BENCH_DOCUMENTS"
SUFFIXES = frozenset({".html", ".txt", ".md", ".pdf", ".docx", ".csv"})
NODES_TARGET, SHARE_TARGET = 200.0, 0.05
TOP_K, RECALL_TARGET = 5, 0.9
_OPEN = "SELECT count(*) FROM scheduling_job WHERE tenant_id = ANY(%s) AND state <> ALL(%s)"
MODES, LANGUAGES = ("hybrid", "vector", "text"), {"en": "English", "zh": "Chinese"}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Documents to index once for each of ``tenants`` tenants."""

    name: str
    source: str
    paths: Sequence[Path]
    tenants: int

    @property
    def words(self) -> str:
        """Return the description of the documents and their size."""
        kilobytes = median(path.stat().st_size for path in self.paths) / 1_000
        tenants = "one tenant" if self.tenants == 1 else f"{self.tenants} tenants"
        return f"{len(self.paths)} documents of {kilobytes:.1f} kB in the middle, {self.source}, for {tenants}"

    def contents(self) -> Iterator[ContentFile[bytes]]:
        """Yield the documents as uploads; files of one name in several folders are several documents."""
        return (ContentFile(path.read_bytes(), name=path.name) for path in self.paths)


def measure_documents(folder: Path) -> list[Finding]:
    """Index the demonstration's corpus, and the documents of the folder in BENCH_DOCUMENTS."""
    shelves = [Shelf("pages", "the demonstration's corpus", read_corpus().good, ROUNDS), *_given()]
    # Documents of real size have the target, if there are any.
    return [finding for shelf in shelves for finding in _index(folder, shelf, has_target=shelf is shelves[-1])]


def _given() -> list[Shelf]:
    """Return the documents of the environment's folder; empty if none is set."""
    folder = os.environ.get(DOCUMENTS_VARIABLE)
    if not folder:
        return []
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"There are no documents ({', '.join(sorted(SUFFIXES))}) in {folder}.")
    return [Shelf("manuals", "of a folder of manuals", paths, 1)]


def _index(folder: Path, shelf: Shelf, *, has_target: bool) -> list[Finding]:
    # A tenant for each: a tenant's embedded text is not embedded again for it.
    tenants = [_tenant(f"{shelf.name}-{number}") for number in range(shelf.tenants)]
    for tenant in tenants:
        with tenant_context(tenant):
            dataset = create_dataset(tenant=tenant, name="library")
            for contents in batched(shelf.contents(), BATCH_FILES):
                upload_documents(tenant=tenant, dataset=dataset, files=contents)
    clock = folder / f"clock-{shelf.name}"
    clock.mkdir()
    # Processes started here clock their documents.
    with patch.dict(os.environ, {"DJANGO_SETTINGS_MODULE": "benchmarks.clocked", VARIABLE: str(clock)}):
        ended, seconds = _run(folder, tenants)
    lines = [json.loads(line) for path in clock.glob("*.jsonl") for line in path.read_text().splitlines()]
    lines = [line for line in lines if line["is_document"]]
    own = sum(line["own"] for line in lines)
    share = 1 - own / sum(line["slot"] for line in lines)
    what = f"the platform's part of the time in slots, {shelf.name}"
    beside = (
        "everything between a message and the end of its settlement that is neither the processor's computing nor its "
        "effects' writing; with the way from one job to the next "
        f"{1 - own / ((os.cpu_count() or 1) * seconds):.1%} of all time of all slots"
    )
    return [
        shown(f"documents indexed per minute, {shelf.name}", f"{60 * ended / seconds:,.0f}", shelf.words),
        at_most(what, share, SHARE_TARGET, ".1%", beside) if has_target else shown(what, f"{share:.1%}", beside),
    ]


def measure_nodes(folder: Path) -> list[Finding]:
    """Run chains of templates, in which each node starts after the one before is stored."""
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
    return [
        at_least(
            "workflow nodes per second",
            *(ended * len(names) / seconds, NODES_TARGET, ",.0f"),
            f"{RUNS} runs of {len(names)} nodes; a node is stored by a transaction of its own before the next begins",
        )
    ]


def measure_entities(folder: Path) -> list[Finding]:
    """Run one pipeline over the corpus."""
    tenant = _tenant("pipelines")
    with tenant_context(tenant):
        create_dataset(tenant=tenant, name="library")
        contents = batched(Shelf("", "", read_corpus().good, 1).contents(), BATCH_FILES)
        files = [file for part in contents for file in upload_files(tenant=tenant, files=part)]
        sources = [{"type": "file", "file": str(file.pk)} for file in files]
        definition = chain(datasource={"sources": sources}, load={"dataset": "library"})
        pipeline = create_pipeline(tenant=tenant, name="corpus", definition=definition)
        start_pipeline(tenant=tenant, pipeline_id=pipeline.pk)
    _, seconds = _run(folder, [tenant])
    rate = f"{60 * len(sources) / seconds:,.0f}"
    return [shown("pipeline entities per minute", rate, "the demonstration's corpus as files of one run")]


def _run(folder: Path, tenants: Sequence[Tenant]) -> tuple[int, float]:
    """Run the platform until all jobs end; return how many completed, and seconds from first start to last end."""
    ids = [tenant.pk for tenant in tenants]
    with running_platform(folder / f"{tenants[0].slug}.log") as platform:
        states = [str(state) for state in TERMINAL_STATES]
        wait_on_platform(platform, lambda: not ask(_OPEN, [ids, states]), within=PART_SECONDS, what="all jobs end")
    with all_tenants():
        spans = Execution.objects.filter(tenant_id__in=ids, started_at__isnull=False)
        times = spans.aggregate(first=Min("started_at"), last=Max("ended_at"))
        completed = Job.objects.filter(tenant_id__in=ids, state=JobState.COMPLETED).count()
    return completed, (times["last"] - times["first"]).total_seconds()


def _tenant(slug: str) -> Tenant:
    with acting_as(ACTOR):
        return create_tenant(slug=f"bench-{slug}", plan=PLAN)


def measure_recall(folder: Path) -> list[Finding]:
    """Index the corpus through the API, and search for every question in every mode."""
    corpus, participant = read_corpus(), create_participants()[-1]
    tenant_id = participant.tenant_id
    with running_platform(folder / "recall.log") as platform:
        shelf = open_shelf(platform.address, participant)
        for _ in upload_corpus(platform.address, shelf, corpus.documents):
            platform.require_alive()
        is_indexed = lambda: read_counts([tenant_id])[tenant_id].ended == len(corpus.documents)  # noqa: E731
        wait_on_platform(platform, is_indexed, within=PART_SECONDS, what="all documents are indexed")
        with TenantClient(platform.address, participant.token) as client:

            def recall(mode: str, questions: Sequence[CorpusQuestion]) -> float:
                found = sum(
                    question.document
                    in {hit.document for hit in client.search(shelf.dataset_id, question.text, top_k=TOP_K, mode=mode)}
                    for question in questions
                )
                return found / len(questions)

            asked = {code: [one for one in corpus.questions if one.language == code] for code in LANGUAGES}
            found = {code: {mode: recall(mode, questions) for mode in MODES} for code, questions in asked.items()}
    return [_recall(code, found[code], len(asked[code]), len(corpus.good)) for code in LANGUAGES]


def _recall(code: str, found: Mapping[str, float], questions: int, documents: int) -> Finding:
    others = ", ".join(f"{mode} {found[mode]:.3f}" for mode in MODES[1:])
    return at_least(
        f"recall@{TOP_K} of the shipped questions in {LANGUAGES[code]}",
        *(found[MODES[0]], RECALL_TARGET, ".3f"),
        f"{questions} questions over {documents} documents of `examples/corpus/`, indexed through the API; mode "
        f"{MODES[0]}; {others}; a question counts as found if one of the first {TOP_K} chunks belongs to the one "
        "document that answers it",
    )


BENCHMARK = Benchmark(
    name="workloads",
    title="The built-in workloads",
    parts=(
        Part("documents", 2.0, measure_documents),
        Part("nodes", 1.0, measure_nodes),
        Part("entities", 1.0, measure_entities),
        Part("recall", 1.0, measure_recall),
    ),
    method="Web, dispatcher, beat, a worker with a slot per core and one of the pool `io` for workflows, PostgreSQL "
    "and the broker beside them on the same cores; real extraction, real embeddings. Each part from its first start to "
    "its last end. The platform's part of a slot's time is the same for a document of any size, so the demonstration's "
    f"documents, which are of a page each, bear most of it; where {DOCUMENTS_VARIABLE} names a folder, its documents "
    "have the target.",
)
