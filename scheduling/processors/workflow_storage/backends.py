"""Which of the two ways of storing runs is in use."""

from __future__ import annotations

from typing import Final

from django.utils.module_loading import import_string

from scheduling.processors.workflow_storage.conf import QUEUED, SYNCHRONOUS, records_mode
from scheduling.processors.workflow_storage.records import RunRecords

# By name, for a processor may not know how jobs are submitted.
_BACKENDS: Final = {
    SYNCHRONOUS: "scheduling.processors.workflow_storage.repository.SynchronousRecords",
    QUEUED: "scheduling.processors.workflow_storage.queueing.QueuedRecords",
}


def get_records() -> RunRecords:
    """Where an engine stores its runs, as the setting WORKFLOW_RECORDS says."""
    records: RunRecords = import_string(_BACKENDS[records_mode()])()
    return records
