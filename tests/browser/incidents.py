"""Jobs of two tenants that fail for one cause, and the alerts about it that the running platform raises."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F

from scheduling import tracing
from scheduling.alerts.rule_config import RULES
from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LogWrite, append_job_logs
from scheduling.models import Alert, AlertCause, AlertNotice, AlertRule, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.acceptance.helpers import executions_of, submit, wait_for_all
from tests.acceptance.processes import eventually

# Chinese, so that each English word of a Chinese page is the page's own; a cause of each test is new.
SIGNS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"


class _Trace:
    """Tracer that only names the trace of what is submitted."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(16)

    def current_traceparent(self) -> str:
        return f"00-{self.id}-{secrets.token_hex(8)}-01"

    def span(self, *_args: object, **_options: object) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True, slots=True)
class Incident:
    """Jobs of two tenants that fail for one cause after a change, and the alert about it."""

    message: str
    trace: str
    first: Job
    alert: Alert
    own_alert: Alert


@contextmanager
def failing_jobs(acme: Tenant, globex: Tenant) -> Iterator[Incident]:
    """Let jobs fail, and wait until the running platform has evaluated its rules and notified its contacts."""
    message = "档案库" + "".join(secrets.choice(SIGNS) for _ in range(8)) + "已封存"
    with all_tenants():
        # It would explain the alert about the cause, which notifies nobody then.
        AlertRule.objects.filter(origin="failure_rate").update(is_enabled=False)
        pause_tenant(tenant=acme, reason="档案库迁移")
        resume_tenant(tenant=acme, reason="档案库迁移")
    with tenant_context(globex):
        values = {"name": "自有规则", "measure": "new_cause", "per": "cause", "threshold": 1}
        RULES.save(AlertRule(), values | {"confirm": True})
    try:
        trace = _Trace()
        tracing.install(trace)  # type: ignore[arg-type]
        first, *_others = _fail(acme, message, 3) + _fail(globex, message, 2)
        alert, own = (_wait_for_alert(message, tenant, count) for tenant, count in ((None, 5), (globex, 2)))
        with all_tenants():
            # A cause is new for five minutes; this one until it is made older.
            AlertCause.objects.filter(message=message).update(first_at=alert.pending_at + timedelta(hours=1))
            eventually(lambda: AlertNotice.objects.filter(alert=alert).exists(), what="the contacts are notified")
        yield Incident(message, trace.id, first, alert, own)
    finally:
        tracing.install(None)
        with all_tenants():
            AlertCause.objects.filter(message=message).update(first_at=F("last_at") - timedelta(hours=1))
            AlertRule.objects.filter(origin="failure_rate").update(is_enabled=True)


def _fail(tenant: Tenant, message: str, count: int) -> list[Job]:
    """Run jobs that fail for one cause, with lines in their logs."""
    jobs = submit(tenant, "fail", *[{"how": "permanent", "message": message}] * count)
    wait_for_all(jobs, "discarded")
    for job in jobs:
        (execution,) = executions_of(job)
        lines = [make_line(text, level, {"页": 7}) for text, level in (("打开档案库", "info"), (message, "error"))]
        append_job_logs([LogWrite(tenant.pk, job.pk, execution.pk, attempt=1, lines=lines)])
    return jobs


def _wait_for_alert(message: str, tenant: Tenant | None, count: int) -> Alert:
    def firing() -> Alert | None:
        with all_tenants():
            return Alert.objects.filter(
                tenant=tenant, state="firing", facts__message__contains=message, value=count
            ).first()

    alert = eventually(firing, within=60.0, what="the alert fires")
    assert alert is not None
    return alert
