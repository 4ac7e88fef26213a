"""Settings of accounts: log-in limits, API keys, mail, sessions and cookies."""

from datetime import timedelta
from typing import Any

from jobsplatform.settings.env import env

AUTHENTICATION_BACKENDS = [
    # First, so that a locked-out name is refused before its password is checked.
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]

# A standby cannot write rows: it keeps failures in the cache, and sessions in signed cookies.
_IS_STANDBY = env.str("SITE_ROLE") == "standby"
SESSION_ENGINE = f"django.contrib.sessions.backends.{'signed_cookies' if _IS_STANDBY else 'db'}"
# By name and address together. The handler adds a limit by name alone, with its own duration.
AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler" if _IS_STANDBY else "tenants.access.locked_names.LoginHandler"
AXES_LOCKOUT_PARAMETERS: list[Any] = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = env.int("LOGIN_FAILURE_LIMIT")
AXES_COOLOFF_TIME = timedelta(seconds=env.int("LOGIN_LOCKOUT_SECONDS"))
# Attempts during a lockout do not extend it.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "tenants.access.addresses.client_address"
AXES_USERNAME_CALLABLE = "tenants.access.lockouts.name_tried"
AXES_LOCKOUT_CALLABLE = "tenants.access.lockouts.refuse_login"
# The audit log and the accounts' pages show this.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]

# Without a host, invitations are shown to the inviter, and warnings only in the console.
EMAIL_HOST = env.str("EMAIL_HOST")
EMAIL_PORT = env.int("EMAIL_PORT")
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL")

_HTTPS_ONLY = env.bool("HTTPS_ONLY")
# `__Host-`: browsers accept such a cookie only over HTTPS, from this host and for all of its paths.
SESSION_COOKIE_NAME = "__Host-session" if _HTTPS_ONLY else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrf" if _HTTPS_ONLY else "csrftoken"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _HTTPS_ONLY
# Forms carry their token themselves; no script of the console reads the cookie.
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
# A log-in ends after a working day, and after SESSION_IDLE_SECONDS before that; both are counted by the server.
SESSION_COOKIE_AGE = env.int("SESSION_MAX_SECONDS")

# Preloading HSTS is the domain owner's decision, because it binds all other hosts.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# Sign-in by OpenID Connect and second factors. Without an issuer no provider is offered.
_OIDC_ISSUER = env.str("OIDC_ISSUER").rstrip("/")
_OIDC_APP = {
    "provider_id": "oidc",
    "name": env.str("OIDC_NAME"),
    "client_id": env.str("OIDC_CLIENT_ID"),
    "secret": env.str("OIDC_CLIENT_SECRET"),
    "settings": {"server_url": _OIDC_ISSUER},
}
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [_OIDC_APP] if _OIDC_ISSUER else []},
}
ACCOUNT_ADAPTER = "tenants.identity.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "tenants.identity.adapters.ProviderAdapter"
MFA_ADAPTER = "tenants.identity.adapters.FactorAdapter"
# A form that posted to the provider would be blocked by the content security policy. The state parameter protects the
# answer, whatever started the sign-in.
SOCIALACCOUNT_LOGIN_ON_GET = True
# Seconds for one request to the provider, during which the sign-in holds a thread and a transaction.
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
# An account is found by issuer and subject, never by its address, which is neither confirmed nor unique.
ACCOUNT_EMAIL_VERIFICATION = SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
MFA_ALLOW_UNVERIFIED_EMAIL = True
# A step of 30 s before and after: clocks of telephones differ.
MFA_TOTP_TOLERANCE = 1
MFA_TOTP_ISSUER = "Jobs platform"
# A passkey or security key is a second factor here, never a log-in of its own.
MFA_SUPPORTED_TYPES = ["recovery_codes", "totp", "webauthn"]
MFA_FORMS = {
    "add_webauthn": "tenants.identity.forms.AddKeyForm",
    "authenticate_webauthn": "tenants.identity.forms.LogInKeyForm",
    "reauthenticate_webauthn": "tenants.identity.forms.FreshKeyForm",
}
