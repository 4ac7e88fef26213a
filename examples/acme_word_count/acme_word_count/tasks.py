"""A Celery task as one that was there before the platform came, with one line more."""

from __future__ import annotations

from typing import Any, Literal

from celery import shared_task

from scheduling.celery.fair_tasks import current_job, fair_task


class BusyError(Exception):
    """The greeter is busy."""


@fair_task(kind="acme_greeting", title="Greet (Acme)", queue="dataset")
@shared_task(bind=True, autoretry_for=(BusyError,), retry_backoff=1, retry_jitter=False, max_retries=2)
def greet(self: Any, name: str, *, times: int = 1, mood: Literal["calm", "busy_once", "broken"] = "calm") -> dict[str, Any]:
    """Greets a person once or several times."""
    if mood == "broken":
        raise RuntimeError(f"{name} cannot be greeted")
    if mood == "busy_once" and self.request.retries == 0:
        raise BusyError("later")
    job = current_job()
    if job is not None:
        job.log("greeting", name=name)
        job.report_progress(times, times)
    return {"greeting": " ".join([f"Hello {name}."] * times), "tries": self.request.retries + 1, "is_job": job is not None}
