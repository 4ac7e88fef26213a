"""Probes and metrics."""

from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, path


def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process answers at all."""
    return JsonResponse({"status": "alive"})


urlpatterns: list[URLPattern] = [path("health/live", live, name="health-live")]
