"""Liveness, readiness and Prometheus metrics of the platform."""
