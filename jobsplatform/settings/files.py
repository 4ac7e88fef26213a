"""Settings of file storage: the folder FILES_ROOT, or the Django storage of FILES_STORAGE."""

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from jobsplatform.settings.env import BASE_DIR, env

# Uploaded documents. Absolute, or relative to the project. No URL serves it: files are downloaded through the API only.
MEDIA_ROOT = BASE_DIR / env.str("FILES_ROOT")
FOLDER: dict[str, Any] = {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"file_permissions_mode": 0o640, "directory_permissions_mode": 0o750},
}
S3 = "storages.backends.s3.S3Storage"
# A content is stored once under its hash: a storage that overwrites reports no file as present.
# A larger file is sent and read in parts of as many bytes by boto3, and not kept in memory.
S3_PART_BYTES = 8 * 1024 * 1024
S3_OPTIONS: dict[str, Any] = {"file_overwrite": False, "default_acl": None, "max_memory_size": S3_PART_BYTES}


def _storage_options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except ValueError as error:
        raise ImproperlyConfigured(f"FILES_STORAGE_OPTIONS is not JSON: {error}.") from error
    if not isinstance(options, dict):
        raise ImproperlyConfigured('FILES_STORAGE_OPTIONS must be a JSON object, such as {"bucket_name": "jobs"}.')
    return options


def _files_storage(backend: str, options: dict[str, Any]) -> dict[str, Any]:
    if not backend:
        return FOLDER
    return {"BACKEND": backend, "OPTIONS": (S3_OPTIONS if backend == S3 else {}) | options}


FILES = _files_storage(env.str("FILES_STORAGE"), _storage_options(env.str("FILES_STORAGE_OPTIONS")))
