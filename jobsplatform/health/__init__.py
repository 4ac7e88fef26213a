"""Probes of liveness and readiness, start-up checks, and Prometheus metrics of the platform."""
