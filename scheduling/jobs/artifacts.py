"""The files of jobs, and the app that stores them: ``artifact_store`` of its AppConfig names its functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import IO
from uuid import UUID

from django.apps import apps
from django.core.files.base import File
from django.utils.module_loading import import_string
from django.utils.translation import gettext_noop

from scheduling.kit.base import PermanentError
from scheduling.models import Job
from tenants.exceptions import DomainError
from tenants.models import Tenant


class ArtifactNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("The job has no such artifact.")


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A file that a job attaches; ``file`` must be seekable."""

    tenant_id: UUID
    job_id: UUID
    name: str
    content_type: str
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class ShownArtifact:
    """What is shown of an artifact; ``page`` is the path of its page in the console."""

    id: UUID
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    page: str


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """The functions of an app that stores artifacts.

    ``attach(new, require_fence)`` stores a file in a transaction in which it calls ``require_fence``, which raises
    FenceLostError unless the execution still owns the job. Before it, ``upload(tenant_id, file)`` may write the file
    without the database, if ``may_upload(new)``. ``of_job(job_id)`` returns a job's artifacts, and
    ``link_to(job_id, artifact_id)`` the path of a download, None if there is no such artifact.

    Payloads refer to uploaded files by their ids: ``newest_files(tenant_id)`` returns ids and names, and
    ``store_file(tenant, file)`` stores a file and returns its id.
    """

    attach: Callable[[NewArtifact, Callable[[], object]], None]
    may_upload: Callable[[NewArtifact], bool]
    upload: Callable[[UUID, IO[bytes]], None]
    of_job: Callable[[UUID], Sequence[ShownArtifact]]
    link_to: Callable[[UUID, UUID], str | None]
    newest_files: Callable[[UUID], Sequence[tuple[str, str]]]
    store_file: Callable[[Tenant, File[bytes]], str]


@cache
def artifact_store() -> ArtifactStore | None:
    """Return the store of the first app that declares one, None without any."""
    paths = (getattr(config, "artifact_store", "") for config in apps.get_app_configs())
    path = next(filter(None, paths), "")
    found: ArtifactStore | None = import_string(path.replace(":", ".")) if path else None
    return found


def require_artifact_store() -> ArtifactStore:
    """Return the store for a job; raise PermanentError if no app declares one."""
    if (store := artifact_store()) is None:
        raise PermanentError("No installed app stores artifacts.", code="no_artifact_store")
    return store


def artifacts_of(job: Job) -> Sequence[ShownArtifact]:
    """Return the files that the job has attached, in this order."""
    store = artifact_store()
    return () if store is None else store.of_job(job.id)


def link_to_artifact(job: Job, artifact_id: UUID) -> str:
    """Return the path by which an artifact of the job can be downloaded; raise ArtifactNotFoundError without it."""
    store = artifact_store()
    path = None if store is None else store.link_to(job.id, artifact_id)
    if path is None:
        raise ArtifactNotFoundError
    return path
