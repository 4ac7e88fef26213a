"""How long a read of one job waits for it to change."""

from __future__ import annotations

from scheduling.api.filters import QuerySerializer
from scheduling.api.serializers.job_logs import MAX_WAIT_SECONDS, QueryNumberField


class JobWaitQuerySerializer(QuerySerializer):
    """How long to wait."""

    wait = QueryNumberField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=0,
        help_text="Seconds to wait until the job is other than `If-None-Match` says, or than it is now; not for one "
        "that has ended.",
    )
