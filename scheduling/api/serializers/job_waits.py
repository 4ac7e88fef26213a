"""How long a read of one job waits for it to change, or to end."""

from __future__ import annotations

from scheduling.api.filters import QuerySerializer
from scheduling.api.serializers.job_logs import MAX_WAIT_SECONDS, QueryNumberField

# Below the time after which proxies give an answer up.
MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS = 60, 30


class JobWaitQuerySerializer(QuerySerializer):
    """How long to wait."""

    wait = QueryNumberField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=0,
        help_text="Seconds to wait until the job is other than `If-None-Match` says, or than it is now; not for one "
        "that has ended.",
    )


class JobEndQuerySerializer(QuerySerializer):
    """How long to wait for the end of a job."""

    timeout = QueryNumberField(
        min_value=0,
        max_value=MAX_TIMEOUT_SECONDS,
        default=DEFAULT_TIMEOUT_SECONDS,
        help_text="Seconds after which the job is answered as it is by then.",
    )
