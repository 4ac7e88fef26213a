"""Errors of model endpoints."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class ModelEndpointNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such model endpoint.")


class ModelEndpointNameTakenError(DomainError):
    code, category, title = (
        "model_endpoint_name_taken",
        "conflict",
        gettext_noop("A model endpoint with this name already exists."),
    )


class ModelTestFailedError(DomainError):
    code, category, title = "model_test_failed", "conflict", gettext_noop("The model did not answer the test.")


class TooManyModelEndpointsError(DomainError):
    code, category, title = (
        "too_many_model_endpoints",
        "invalid",
        gettext_noop("The tenant has reached its limit of model endpoints."),
    )
