"""Errors of pipelines, runs and entities."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class PipelineNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such pipeline.")


class PipelineVersionNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such version of the pipeline.")


class PipelineRunNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such run.")


class EntityNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such entity.")


class PipelineNameTakenError(DomainError):
    code, category, title = "pipeline_name_taken", "conflict", gettext_noop("A pipeline with this name already exists.")


class PipelineChangedError(DomainError):
    code, category = "pipeline_changed", "conflict"
    title = gettext_noop("Another version was saved since the pipeline was read.")


class PipelineInUseError(DomainError):
    code, category = "pipeline_in_use", "conflict"
    title = gettext_noop("A run of the pipeline has not ended; cancel its job or wait for its end.")


class PipelineDefinitionError(DomainError):
    """Raised for an invalid definition; ``errors`` has each fault with its position as a JSON pointer."""

    code, category, title = "definition_invalid", "invalid", gettext_noop("The definition is not valid.")


class SourcesInvalidError(DomainError):
    """Raised for invalid sources of a run; ``errors`` has each fault with its position as a JSON pointer."""

    code, category, title = "sources_invalid", "invalid", gettext_noop("The sources are not valid.")


class SourcesMissingError(DomainError):
    code, category = "sources_missing", "invalid"
    title = gettext_noop("Neither the run nor the definition names a source.")


class EntityNotRetryableError(DomainError):
    code, category = "invalid_transition", "conflict"
    title = gettext_noop("Only an entity that is in error or was cancelled can be retried.")
