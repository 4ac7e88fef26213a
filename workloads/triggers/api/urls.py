"""URLs of webhook triggers in `/api/v1/`: their configuration, and the address of each."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.triggers.api.views import ReceiveViewSet, WebhookTriggerViewSet

router = SimpleRouter()
router.register(WebhookTriggerViewSet.path, WebhookTriggerViewSet, basename="webhook-trigger")

urlpatterns = [
    re_path(
        rf"^triggers/(?P<trigger_id>{UUID_PATTERN})/$",
        ReceiveViewSet.as_view({"post": "receive"}),
        name="trigger-receive",
    ),
    path("", include(router.urls)),
]
