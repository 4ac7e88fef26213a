"""References to stored secrets in sources. They are allowed only in the headers of a page's source."""

from __future__ import annotations

from typing import Any

from tenants.secrets.references import faults_of_references, has_references
from tenants.secrets.service import require_use_of_secrets
from workloads.workflows.definition.validation import WorkflowFault


def find_secret_faults(sources: Any, place: str = "/sources") -> list[WorkflowFault]:
    """Return the faults of references to secrets in sources that match the schema."""
    found = faults_of_references(sources, lambda path: len(path) > 2 and path[-2] == "headers")
    return [WorkflowFault(fault.code, place + fault.pointer, fault.detail) for fault in found]


def check_use_of_secrets(document: Any) -> None:
    """Raise `SecretUseDeniedError` if the document refers to secrets and the current actor may not use them."""
    if has_references(document):
        require_use_of_secrets()
