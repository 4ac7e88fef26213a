"""`Authorization: Api-Key PREFIX.SECRET`. The middleware has compared it; this tells REST framework the outcome."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.access.caller import access_of
from tenants.access.errors import KeyAddressError, KeyExpiredError
from tenants.access.lockouts import count_wrong_key
from tenants.models import ApiKey

SCHEME = "Api-Key"


@dataclass(frozen=True, slots=True)
class ApiKeyHolder:
    """Stands where REST framework expects a user; a key is nobody's account."""

    key: ApiKey
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True
    is_staff: bool = False
    is_superuser: bool = False

    @property
    def pk(self) -> str:
        return str(self.key.pk)

    def __str__(self) -> str:
        return str(self.key)


class ApiKeyAuthentication(BaseAuthentication):
    """The holder of a valid key; 401 with one message if it is unknown, wrong or revoked, with a code if it expired."""

    def authenticate(self, request: Request) -> tuple[ApiKeyHolder, ApiKey] | None:
        if not request.headers.get("Authorization", "").lower().startswith(SCHEME.lower() + " "):
            return None
        access = access_of(request._request)  # noqa: SLF001 - the middleware wrote on Django's request
        key = access.api_key
        if isinstance(access.refusal, KeyExpiredError):
            raise KeyExpiredError(headers={"WWW-Authenticate": SCHEME})
        if isinstance(access.refusal, KeyAddressError):
            raise access.refusal
        if key is None:
            count_wrong_key(request._request)  # noqa: SLF001 - likewise
            raise AuthenticationFailed(gettext("The API key is not valid."))
        return ApiKeyHolder(key), key

    def authenticate_header(self, request: Request) -> str:
        return SCHEME
