"""Settings for the tests: cheap password hashes, diagnostic kinds and a separate folder for files."""

from jobsplatform.settings import *
from jobsplatform.settings.env import BASE_DIR, env

SECRET_KEY = "a key that only the tests know, and that no deployment uses"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
# Many tests share a person, a key or an address; tests of the rates set their own numbers.
_UNLIMITED = (100_000_000, 1_000_000_000)
JOBS_PLATFORM |= {
    "IS_SECRET_KEY_GIVEN": True,
    "DIAGNOSTIC_KINDS": True,
    # What a test changes counts at once; tests of the caches turn them on.
    "CONFIGURATION_CACHE_SECONDS": 0,
    # All tests knock from one address.
    "WRONG_KEYS_PER_MINUTE": 0,
    "KEY_REQUEST_RATE": _UNLIMITED,
    "SESSION_REQUEST_RATE": _UNLIMITED,
    "TENANT_REQUEST_RATE": _UNLIMITED,
    "ANONYMOUS_REQUEST_RATE": _UNLIMITED,
}
CACHES["default"]["KEY_PREFIX"] = "jobsplatform-tests"

# The launcher of development servers names a folder that is removed with the run.
if not env.str("FILES_ROOT", default=""):
    MEDIA_ROOT = BASE_DIR / "var" / "test-files"

# Finds files at each request, instead of listing them all for each test client.
WHITENOISE_AUTOREFRESH = True
