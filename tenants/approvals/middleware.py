"""Middleware that stores the requests of acts that a request has been refused, outside of its transaction."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from tenants.approvals.service import storing_requests


class ApprovalMiddleware:
    """Middleware around the one that opens the transaction of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with storing_requests():
            return self.get_response(request)
