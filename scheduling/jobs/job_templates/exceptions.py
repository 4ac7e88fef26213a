"""Errors of job templates."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError
from tenants.translation import translate


class ParametersInvalidError(DomainError):
    code, category = "parameters_invalid", "invalid"
    title = gettext_noop("The parameters do not fit the template's schema")

    def without_values(self) -> ParametersInvalidError:
        """Return the error with the names of the parameters alone: faults quote values, which may be secret."""
        names = ", ".join(dict.fromkeys(fault["field"].removeprefix("$.") for fault in self.errors))
        return ParametersInvalidError(
            "The parameters do not fit the template's schema: %(names)s.",
            {"names": names},
            errors=[{**fault, "detail": translate(self.title)} for fault in self.errors],
        )


class JobTemplateInvalidError(DomainError):
    code, category, title = "job_template_invalid", "invalid", gettext_noop("The job template is invalid")


class JobTemplateNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such job template or version")


class JobTemplateNameTakenError(DomainError):
    code, category, title = "job_template_name_taken", "conflict", gettext_noop("The template's name is taken")


class JobTemplateChangedError(DomainError):
    code, category, title = "job_template_changed", "conflict", gettext_noop("The template has changed meanwhile")


class JobTemplateInUseError(DomainError):
    code, category, title = "job_template_in_use", "conflict", gettext_noop("The template is in use")


class PermissionToRunDeniedError(DomainError):
    code, category, title = "permission_denied", "forbidden", gettext_noop("Your role may not run this template")
