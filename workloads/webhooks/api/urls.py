"""URLs of webhooks in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.webhooks.api.views import WebhookViewSet

router = SimpleRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")

urlpatterns = [path("", include(router.urls))]
