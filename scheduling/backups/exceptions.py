"""Errors of backups and restores."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class BackupNotReadyError(DomainError):
    """Raised if a process lacks a login or key that backups need."""

    code, category = "backup_not_ready", "unavailable"
    title = gettext_noop("This process cannot make or read backups")


class BackupProgramError(DomainError):
    """Raised if pg_dump or pg_restore is missing or older than the server."""

    code, category = "backup_program", "unavailable"
    title = gettext_noop("A program of PostgreSQL is missing, too old, or has failed")


class BackupBusyError(DomainError):
    code, category, title = "backup_busy", "conflict", gettext_noop("Another backup is running")


class BackupRowsDifferError(DomainError):
    """Raised if the dump has other numbers of rows than the platform role sees: row security has hidden some."""

    code, category = "backup_rows_differ", "conflict"
    title = gettext_noop("The dump does not contain the rows that the platform sees")


class BackupFileMissingError(DomainError):
    code, category = "backup_file_missing", "conflict"
    title = gettext_noop("A stored file is missing or was altered")


class BackupTargetError(DomainError):
    code, category, title = "backup_target", "unavailable", gettext_noop("The place of the backups cannot be used")


class BackupDatabaseError(DomainError):
    """Raised if the connection to the database is lost while a backup is made."""

    code, category = "backup_database", "unavailable"
    title = gettext_noop("The database was lost while the backup was made (%(error)s); make another one.")


class BackupNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such backup")


class BackupDamagedError(DomainError):
    """Raised for a backup with a changed byte, a missing part, or a signature that does not match."""

    code, category, title = "backup_damaged", "conflict", gettext_noop("The backup is damaged")


class BackupKeyError(DomainError):
    code, category, title = "backup_key", "unavailable", gettext_noop("The key of the backup is not available")


class RestoreKeyError(DomainError):
    """Raised if a tenant has data keys and the current one cannot be decrypted; no file was written."""

    code, category = "restore_key", "unavailable"
    title = gettext_noop(
        "The files of the tenant %(tenant)s cannot be encrypted: %(reason)s Add the missing key to "
        "ENCRYPTION_MASTER_KEYS, or wait for the key service; then restore again."
    )


class TenantNotRestorableError(DomainError):
    code, category, title = "tenant_not_restorable", "conflict", gettext_noop("The tenant cannot be restored now")


class RestoreTargetExistsError(DomainError):
    code, category, title = "restore_target_exists", "conflict", gettext_noop("What would be restored exists already")
