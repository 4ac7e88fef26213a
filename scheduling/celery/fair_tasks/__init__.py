"""Celery tasks that may also run as tenants' jobs: `@fair_task` on an existing task."""

from scheduling.celery.fair_tasks.decorator import FairTask, FairTaskUnlistedError, TenantTask, fair_task
from scheduling.celery.fair_tasks.processor import current_job
from scheduling.celery.fair_tasks.sending import CanvasUnsupportedError, TenantMissingError
from scheduling.celery.fair_tasks.signatures import SignatureUnfitError

__all__ = [
    "CanvasUnsupportedError",
    "FairTask",
    "FairTaskUnlistedError",
    "SignatureUnfitError",
    "TenantMissingError",
    "TenantTask",
    "current_job",
    "fair_task",
]
