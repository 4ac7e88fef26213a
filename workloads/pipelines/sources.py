"""Conversion of a run's sources into its entities, with a check that uploaded files belong to the tenant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.utils.translation import gettext

from scheduling.kit.http import read_target
from tenants.tenancy.bases import find_invisible_character
from workloads.files.models import UploadedFile
from workloads.files.store import lock_contents
from workloads.pipelines.models import PipelineEntity, PipelineRun
from workloads.workflows.definition.validation import WorkflowFault

_MAX_NAME_LENGTH = 255


def find_missing_files(sources: Sequence[Mapping[str, Any]], place: str) -> list[WorkflowFault]:
    """Return a fault for each source whose file the current scope does not have, such as a file of another tenant."""
    files = _find_files(sources)
    return [
        WorkflowFault("not_found", f"{place}/{index}/file", gettext("There is no such file."))
        for index, source in enumerate(sources)
        if source["type"] == "file" and UUID(source["file"]) not in files
    ]


def hold_files(sources: Sequence[Mapping[str, Any]]) -> None:
    """Lock the contents of the sources' files until the transaction ends, so that they are not deleted meanwhile.

    In the same transaction, rows must refer to the contents.
    """
    lock_contents(file.key for file in _find_files(sources).values())


def new_entities(run: PipelineRun, sources: Sequence[Mapping[str, Any]]) -> Iterator[PipelineEntity]:
    """Yield an unsaved entity for each source, in order. The entity of a file refers to the file's content.

    Call `hold_files` and `find_missing_files` before: the files must exist and be locked.
    """
    files = _find_files(sources)
    for position, source in enumerate(sources):
        entity = PipelineEntity(
            tenant_id=run.tenant_id,
            run=run,
            position=position,
            source=source,
            name=_name_of(source)[:_MAX_NAME_LENGTH],
            job_id=run.job_id,
        )
        if source["type"] == "file":
            file = files[UUID(source["file"])]
            entity.name = entity.name or file.name
            # The suffix of the file's own name decides the type of a text, whatever the entity's name.
            entity.source = {**source, "file_name": file.name}
            entity.content_key, entity.content_sha256, entity.size_bytes = file.key, file.sha256, file.size_bytes
        yield entity


def _find_files(sources: Sequence[Mapping[str, Any]]) -> dict[UUID, UploadedFile]:
    """Return the uploaded files that the sources name, by their ids."""
    ids = {UUID(source["file"]) for source in sources if source["type"] == "file"}
    files: dict[UUID, UploadedFile] = UploadedFile.objects.in_bulk(ids) if ids else {}
    return files


def _name_of(source: Mapping[str, Any]) -> str:
    """Return the source's name, or for a page the last part of its address."""
    if named := source.get("name"):
        return str(named)
    if source["type"] != "url":
        return ""
    target = read_target(source["url"])
    name = unquote(PurePosixPath(target.path.partition("?")[0]).name)
    return name if name and find_invisible_character(name) is None else target.authority
