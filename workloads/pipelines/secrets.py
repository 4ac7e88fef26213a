"""References to stored secrets in definitions and sources. They are allowed only in the headers of a page's source."""

from __future__ import annotations

from typing import Any

from tenants.secrets.references import faults_of_references, has_references
from tenants.secrets.service import require_use_of_secrets
from workloads.pipelines.definition import PipelineFault


def find_secret_faults(document: Any, place: str = "$") -> list[PipelineFault]:
    """Return the faults of references to secrets, in a definition or sources that match the schema."""
    found = faults_of_references(document, lambda path: len(path) > 2 and path[-2] == "headers")
    return [PipelineFault(place + fault.json_path[1:], fault.detail, fault.code) for fault in found]


def check_use_of_secrets(document: Any) -> None:
    """Raise `SecretUseDeniedError` if the document refers to secrets and the current actor may not use them."""
    if has_references(document):
        require_use_of_secrets()
