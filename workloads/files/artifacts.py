"""Artifacts: the files that a job attaches, one of each name."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import IO, Final
from uuid import UUID

from django.core.files.base import File
from django.urls import reverse

from scheduling.jobs.artifacts import ArtifactStore, NewArtifact, ShownArtifact
from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.reads import from_row
from tenants.exceptions import SpaceExceededError
from tenants.limits.usage import check_room
from tenants.models import Tenant
from tenants.tenancy.bases import find_invisible_character
from workloads.files.incoming import MAX_NAME_LENGTH
from workloads.files.limits import STORAGE_BYTES
from workloads.files.links import make_link
from workloads.files.models import Artifact, UploadedFile
from workloads.files.service import upload_files
from workloads.files.store import discard_on_commit, errors_of_job, store_file, write_ahead

MAX_ARTIFACTS: Final = 100
MAX_OFFERED_FILES: Final = 100
_CONTENT_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,50}/[\w!#$&^.+-]{1,49}", re.ASCII)


def attach(new: NewArtifact, require_fence: Callable[[], object]) -> None:
    """Store a file, which replaces the job's earlier one of this name; ``require_fence`` locks the job.

    Raise PermanentError for an invalid name or type, too many artifacts, or without room for it.
    """
    _require_valid(new)
    # Before the job is locked: the file may be large.
    with errors_of_job():
        content = store_file(new.tenant_id, new.file)
    with tenant_context(new.tenant_id):
        require_fence()
        if (replaced := _replaced_by(new)) is not None:
            replaced.delete()
            discard_on_commit(new.tenant_id, replaced.key)
        Artifact.objects.create(
            tenant_id=new.tenant_id,
            job_id=new.job_id,
            name=new.name,
            content_type=new.content_type,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            key=content.key,
        )


def may_upload(new: NewArtifact) -> bool:
    """Return whether there seems to be room for the file; without, `attach` decides before it writes anything.

    Raise PermanentError for an invalid name or type, or too many artifacts.
    """
    _require_valid(new)
    new.file.seek(0, io.SEEK_END)
    with tenant_context(new.tenant_id):
        _replaced_by(new)
        try:
            check_room(tenant_id=new.tenant_id, limit=STORAGE_BYTES, wanted=new.file.tell())
        except SpaceExceededError:
            return False
    return True


def upload(tenant_id: UUID, file: IO[bytes]) -> None:
    """Write a file that `attach` will store to the storage, without the database; raise TransientError if it fails."""
    with errors_of_job():
        write_ahead(tenant_id, file)


def _require_valid(new: NewArtifact) -> None:
    if not 0 < len(new.name) <= MAX_NAME_LENGTH or "/" in new.name or find_invisible_character(new.name) is not None:
        raise PermanentError(
            f"The name of an artifact has 1 to {MAX_NAME_LENGTH} visible characters and no slash.",
            code="artifact_invalid",
        )
    if not _CONTENT_TYPE.fullmatch(new.content_type):
        raise PermanentError(f"{new.content_type[:100]!r} is not a media type.", code="artifact_invalid")


def _replaced_by(new: NewArtifact) -> Artifact | None:
    earlier = {each.name: each for each in Artifact.objects.filter(tenant_id=new.tenant_id, job_id=new.job_id)}
    if new.name not in earlier and len(earlier) >= MAX_ARTIFACTS:
        raise PermanentError(f"A job may attach at most {MAX_ARTIFACTS} artifacts.", code="too_many_artifacts")
    return earlier.get(new.name)


def artifacts_of(job_id: UUID) -> Sequence[ShownArtifact]:
    """Return the job's artifacts in the order in which they were attached."""
    return [
        from_row(ShownArtifact, row, page=reverse("admin:files_artifact_change", args=[row.pk]))
        for row in Artifact.objects.filter(job_id=job_id).order_by("id")
    ]


def link_to(job_id: UUID, artifact_id: UUID) -> str | None:
    """Return the path of a link by which the artifact can be downloaded, and audit who made it; None without it."""
    found = Artifact.objects.filter(pk=artifact_id, job_id=job_id).first()
    return None if found is None else make_link(file=found).path


def newest_files(tenant_id: UUID) -> list[tuple[str, str]]:
    """Return the ids and names of the newest uploaded files."""
    newest = UploadedFile.objects.filter(tenant_id=tenant_id).order_by("-id")[:MAX_OFFERED_FILES]
    return [(str(file.pk), file.name) for file in newest.only("id", "name")]


def store_upload(tenant: Tenant, file: File[bytes]) -> str:
    """Store an uploaded file and return its id; raise `UploadRefusedError` or `SpaceExceededError`."""
    return str(upload_files(tenant=tenant, files=[file])[0].pk)


STORE = ArtifactStore(attach, may_upload, upload, artifacts_of, link_to, newest_files, store_upload)
