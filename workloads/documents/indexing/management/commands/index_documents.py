"""Command that uploads files to a dataset, shows a progress bar, and prints the result of each file."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.files.base import File
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tenants.context import tenant_context
from tenants.management.base import PlatformCommand
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant
from workloads.documents.batch_limit import files_allowed
from workloads.documents.indexing.inspection import inspect_documents
from workloads.documents.indexing.queries import find_documents
from workloads.documents.indexing.uploads import UploadResult, upload_documents
from workloads.documents.models import Dataset, Document
from workloads.documents.service import create_dataset
from workloads.files.exceptions import UploadRefusedError

_POLL_SECONDS = 0.25
_ENDED = frozenset({"completed", "error"})


@dataclass(slots=True)
class Intake:
    """The uploads of one run of the command, and the documents as last read."""

    tenant: Tenant
    dataset: Dataset
    uploads: list[UploadResult] = field(default_factory=list)
    documents: dict[UUID, Document] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the documents again."""
        ids = {file.document.pk for upload in self.uploads for file in upload.files}
        with tenant_context(self.tenant):
            self.documents = find_documents().in_bulk(list(ids))

    @property
    def ended(self) -> list[Document]:
        """Return the documents that are completed or in error."""
        return [document for document in self.documents.values() if document.shown_status in _ENDED]  # type: ignore[attr-defined]

    @property
    def is_over(self) -> bool:
        return len(self.ended) == len(self.documents)

    def describe(self) -> dict[str, Any]:
        """Return the result of each file as JSON values."""
        return {
            "dataset": str(self.dataset.pk),
            "batches": [str(upload.batch_id) for upload in self.uploads if upload.batch_id],
            "documents": [
                _describe(file.name, self.documents.get(file.document.pk), is_duplicate=file.is_duplicate)
                for upload in self.uploads
                for file in upload.files
            ],
        }


class Command(PlatformCommand):
    help = (
        "Upload files to a dataset of a tenant and wait until they are indexed. The exit status is 0 only if all "
        "were indexed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a file, or a folder with files")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--dataset", required=True, help="the dataset's name; it is created if missing")
        parser.add_argument("--encoding", default="", help="the encoding of files of text; without it, it is detected")
        parser.add_argument("--no-wait", action="store_true", help="return as soon as the files are accepted")
        parser.add_argument("--timeout", type=_positive, metavar="SECONDS", help="stop waiting after this time")

    def handle(self, *args: Any, **options: Any) -> None:
        paths = list(find_files(options["paths"]))
        try:
            intake = take(find_tenant(options["tenant"]), options["dataset"], paths, encoding=options["encoding"])
        except UploadRefusedError as error:
            for fault in error.errors:
                del fault["field"]  # A position in a batch; the detail has the file's name.
            raise
        intake.refresh()
        if not options["no_wait"]:
            wait(intake, options["timeout"], Console(stderr=True, quiet=options["verbosity"] == 0))
        facts = intake.describe()
        self.show(options, facts, "\n".join(map(_sentence, facts["documents"])))
        if not options["no_wait"]:
            _require_all_indexed(intake)


def _sentence(entry: dict[str, Any]) -> str:
    reason = f" ({entry['error']['code']}: {entry['error']['message']})" if entry["error"] else ""
    known = ", already in the dataset" if entry["is_duplicate"] else ""
    warned = "".join(f"\n  Warning: {warning}" for warning in entry.get("warnings", ()))
    return f"{entry['name']}: {entry['status']}{known}{reason}{warned}"


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the given files and the files in the given folders, in order; hidden files are left out.

    Raise CommandError for a path that is neither a file nor a folder.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(inner for inner in path.rglob("*") if inner.is_file() and not inner.name.startswith("."))
        elif path.is_file():
            yield path
        else:
            raise CommandError(f"{path} is neither a file nor a folder.")


def take(tenant: Tenant, dataset_name: str, paths: Sequence[Path], *, encoding: str = "") -> Intake:
    """Check all files, then upload them in batches as large as the plan allows.

    Raise CommandError if there are none.
    """
    if not paths:
        raise CommandError("There are no files in these folders.")
    with tenant_context(tenant):
        dataset = Dataset.objects.filter(name=dataset_name).first() or create_dataset(tenant=tenant, name=dataset_name)
        allowed = files_allowed(tenant)
    intake = Intake(tenant, dataset)
    batches = list(batched(paths, allowed))
    for batch in batches:
        with ExitStack() as stack:
            inspect_documents(_open(stack, batch))
    for batch in batches:
        with ExitStack() as stack:
            files = _open(stack, batch)
            upload = upload_documents(tenant=tenant, dataset=dataset, files=files, encoding=encoding)
            intake.uploads.append(upload)
    return intake


def wait(intake: Intake, timeout_seconds: float | None, console: Console) -> None:
    """Show the progress until every document has ended; raise CommandError at the timeout."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        documents = progress.add_task("documents", total=len(intake.documents))
        chunks = progress.add_task("chunks", total=None)
        while True:
            intake.refresh()
            progress.update(documents, completed=len(intake.ended))
            done, total = _count_chunks(intake)
            progress.update(chunks, completed=done, total=total)
            if intake.is_over:
                return
            if deadline is not None and time.monotonic() > deadline:
                raise CommandError(f"After {timeout_seconds} seconds {len(intake.ended)} documents have ended.")
            time.sleep(_POLL_SECONDS)


def _open(stack: ExitStack, paths: Sequence[Path]) -> list[File[bytes]]:
    return [File(stack.enter_context(path.open("rb")), name=path.name) for path in paths]


def _count_chunks(intake: Intake) -> tuple[int, int | None]:
    """Return the chunks stored and the total; the total is None while some documents are not split."""
    documents = intake.documents.values()
    done = sum(document.chunks_done for document in documents)
    totals = [document.chunks_total for document in documents if document not in intake.ended]
    if None in totals:
        return done, None
    return done, sum(document.chunks_total or 0 for document in documents)


def _require_all_indexed(intake: Intake) -> None:
    wanted = {file.document.pk for upload in intake.uploads for file in upload.files}
    indexed = {document.pk for document in intake.documents.values() if document.status == "completed"}
    if wanted - indexed:
        raise CommandError(f"{len(wanted - indexed)} of {len(wanted)} documents were not indexed.")


def _describe(name: str, document: Any | None, *, is_duplicate: bool) -> dict[str, Any]:
    if document is None:  # deleted while the command waited
        return {"name": name, "id": None, "status": "deleted", "chunks": 0, "is_duplicate": is_duplicate, "error": None}
    error = {"code": document.shown_error_code, "message": document.shown_error_message}
    return {
        "name": name,
        "id": str(document.pk),
        "status": document.shown_status,
        "chunks": document.chunks_done,
        "is_duplicate": is_duplicate,
        "error": error if document.shown_error_code else None,
        "warnings": document.warnings,
    }


def _positive(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise ArgumentTypeError("It must be greater than 0.")
    return seconds
