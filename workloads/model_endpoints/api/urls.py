"""URLs of model endpoints and of their usage in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.model_endpoints.api.views import ModelEndpointViewSet, ModelUsageViewSet

router = SimpleRouter()
router.register("model-endpoints", ModelEndpointViewSet, basename="model-endpoint")
router.register("model-usage", ModelUsageViewSet, basename="model-usage")

urlpatterns = [path("", include(router.urls))]
