"""Artifacts: the files that a job attaches, one of each name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import IO, Final
from uuid import UUID

from django.urls import reverse

from scheduling.jobs.artifacts import ArtifactStore, NewArtifact, ShownArtifact
from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.reads import from_row
from tenants.tenancy.bases import find_invisible_character
from workloads.files.incoming import MAX_NAME_LENGTH
from workloads.files.links import make_link
from workloads.files.models import Artifact
from workloads.files.store import discard_on_commit, errors_of_job, store_file, write_ahead

MAX_ARTIFACTS: Final = 100
_CONTENT_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,50}/[\w!#$&^.+-]{1,49}", re.ASCII)


def attach(new: NewArtifact, require_fence: Callable[[], object]) -> None:
    """Store a file, which replaces the job's earlier one of this name; ``require_fence`` locks the job.

    Raise PermanentError for an invalid name or type, too many artifacts, or without room for it.
    """
    if not 0 < len(new.name) <= MAX_NAME_LENGTH or "/" in new.name or find_invisible_character(new.name) is not None:
        raise PermanentError(
            f"The name of an artifact has 1 to {MAX_NAME_LENGTH} visible characters and no slash.",
            code="artifact_invalid",
        )
    if not _CONTENT_TYPE.fullmatch(new.content_type):
        raise PermanentError(f"{new.content_type[:100]!r} is not a media type.", code="artifact_invalid")
    # Before the job is locked: the file may be large.
    with errors_of_job():
        content = store_file(new.tenant_id, new.file)
    with tenant_context(new.tenant_id):
        require_fence()
        earlier = {each.name: each for each in Artifact.objects.filter(tenant_id=new.tenant_id, job_id=new.job_id)}
        if (replaced := earlier.get(new.name)) is not None:
            replaced.delete()
            discard_on_commit(new.tenant_id, replaced.key)
        elif len(earlier) >= MAX_ARTIFACTS:
            raise PermanentError(f"A job may attach at most {MAX_ARTIFACTS} artifacts.", code="too_many_artifacts")
        Artifact.objects.create(
            tenant_id=new.tenant_id,
            job_id=new.job_id,
            name=new.name,
            content_type=new.content_type,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            key=content.key,
        )


def upload(tenant_id: UUID, file: IO[bytes]) -> None:
    """Write a file that `attach` will store to the storage, without the database; raise TransientError if it fails."""
    with errors_of_job():
        write_ahead(tenant_id, file)


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


STORE = ArtifactStore(attach, upload, artifacts_of, link_to)
