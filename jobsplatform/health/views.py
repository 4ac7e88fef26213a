"""Views of the probes for orchestrators, and of the metrics for Prometheus. They need no tenant."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, cast

import structlog
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, InterfaceError, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from health_check.base import HealthCheck
from health_check.checks import Database
from health_check.views import HealthCheckView
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from jobsplatform.health.metrics import REGISTRY
from jobsplatform.health.probes import Auditor, Broker, Dispatcher, Migrations, Publishing, Starts, Writes
from scheduling.load.queries import current_load
from scheduling.observability.metrics import scrape_registry
from scheduling.sites.queries import is_standby_role, read_replication
from tenants.database.platform_settings import platform_settings

logger = structlog.stdlib.get_logger("jobsplatform.health")


@never_cache
@require_safe
@transaction.non_atomic_requests
def live(_request: HttpRequest) -> JsonResponse:
    """Return 200; a process that cannot return it must be restarted."""
    return JsonResponse({"status": "alive"})


class ReadyView(HealthCheckView):
    """View that returns 200 if jobs can be accepted, else 503, with the result of each check.

    If jobs cannot be dispatched or started, or audit entries cannot be processed, it returns 200 with the status
    "degraded": accepted jobs wait, and nothing is lost. ``load`` names the load states above normal. A standby answers
    with the status "standby" and its lag in seconds.
    """

    checks: Sequence[type[HealthCheck]] = (
        Database,
        Migrations,
        Writes,
        Broker,
        Dispatcher,
        Publishing,
        Starts,
        Auditor,
    )
    needed: ClassVar = frozenset({"database", "migrations", "writes"})

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Run all checks and return their results."""
        del request, args, kwargs
        if is_standby_role():
            self.checks = (Database, Migrations)
        with self.get_executor() as executor:
            results = [await check.get_result(executor) for check in self.get_checks()]
        states = {
            type(result.check).__name__.lower(): "ok" if result.error is None else str(result.error)
            for result in results
        }
        failed = {name for name, state in states.items() if state != "ok"}
        is_ready = not failed & self.needed
        if not is_ready:
            return _unavailable(states)
        try:
            if is_standby_role():
                replication = await sync_to_async(read_replication)()
                return JsonResponse({"status": "standby", "checks": states, "lag_seconds": replication.lag_seconds})
            load = await sync_to_async(_read_load)()
        except (DatabaseError, InterfaceError):
            # It was lost after its check.
            logger.warning("health.load_not_read", exc_info=True)
            return _unavailable(states | {"database": "The database does not respond."})
        return JsonResponse({"status": "degraded" if failed else "ready", "checks": states, "load": load})


def _read_load() -> dict[str, str]:
    """Return the load states above normal, by scope."""
    return {scope: level.slug for scope, level in current_load().levels.items()}


_run_checks = async_to_sync(cast("Callable[[HttpRequest], Awaitable[HttpResponse]]", ReadyView.as_view()))


@transaction.non_atomic_requests
def ready(request: HttpRequest) -> HttpResponse:
    """Return the response of `ReadyView`.

    Return 503 in a process that is shutting down, which cannot run the checks.
    """
    try:
        return _run_checks(request)
    except RuntimeError as error:
        logger.exception("health.checks_failed")
        return _unavailable({"process": str(error)})


def _unavailable(states: dict[str, str]) -> JsonResponse:
    return JsonResponse({"status": "unavailable", "checks": states}, status=503, headers={"Retry-After": "5"})


@never_cache
@require_safe
@transaction.non_atomic_requests
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics if the request has METRICS_TOKEN, else 401; return 404 if no token is configured."""
    if not platform_settings.METRICS_TOKEN:
        raise Http404
    offered = request.headers.get("Authorization", "")
    if not secrets.compare_digest(offered.encode(), f"Bearer {platform_settings.METRICS_TOKEN}".encode()):
        return HttpResponse("Unauthorized\n", status=401, headers={"WWW-Authenticate": "Bearer"})
    body = generate_latest(REGISTRY) + generate_latest(scrape_registry())
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)
