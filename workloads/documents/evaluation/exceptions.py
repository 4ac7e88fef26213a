"""Errors of evaluations."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class EvaluationNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such evaluation.")


class QuestionsInvalidError(DomainError):
    """Lines of the questions are not valid; ``errors`` has the number of each as ``line``."""

    code, category = "questions_invalid", "malformed"
    title = gettext_noop("The file with the questions is not valid.")


class EvaluationsDifferError(DomainError):
    code, category = "evaluations_differ", "conflict"
    title = gettext_noop("Both evaluations must be complete and of the same dataset.")


class EvaluationGoneError(Exception):
    """Raised if an evaluation was deleted, or another job evaluates the same questions of it."""
