"""URLs of the probes and of the metrics."""

from django.urls import URLPattern, path

from jobsplatform.health import views

urlpatterns: list[URLPattern] = [
    path("health/live", views.live, name="health-live"),
    path("health/ready", views.ready, name="health-ready"),
    path("metrics", views.metrics, name="metrics"),
]
