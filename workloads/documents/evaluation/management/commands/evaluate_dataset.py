"""Command that evaluates a dataset by questions, waits for the results, and prints them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.management.base import PlatformCommand
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant
from workloads.documents.evaluation.api.serializers import EvaluationSerializer
from workloads.documents.evaluation.metrics import METRICS
from workloads.documents.evaluation.queries import COMPLETED, ERROR, get_evaluation
from workloads.documents.evaluation.questions import MAX_FILE_BYTES
from workloads.documents.evaluation.service import start_evaluation
from workloads.documents.exceptions import DatasetNotFoundError
from workloads.documents.models import Dataset

_POLL_SECONDS = 0.25


class Command(PlatformCommand):
    help = "Measure by questions how well searches in a dataset find their answers, by mode and weight."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="the dataset's name")
        parser.add_argument(
            "questions", type=Path, help="a CSV file with the columns question, document and, if wanted, passage"
        )
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant's slug")
        parser.add_argument("--note", default="", help="shown in the history of the dataset")
        parser.add_argument("--no-wait", action="store_true", help="return as soon as the questions are accepted")
        parser.add_argument(
            "--timeout", type=float, default=3_600.0, metavar="SECONDS", help="default: %(default)s of waiting"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        with tenant_context(tenant):
            dataset = first_or_raise(Dataset.objects.filter(name=options["dataset"]), DatasetNotFoundError)
        try:
            with options["questions"].open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{options['questions']}: {error.strerror}") from error
        evaluation = start_evaluation(tenant=tenant, dataset=dataset, data=data, note=options["note"])
        wait = 0.0 if options["no_wait"] else options["timeout"]
        self.print_evaluation(options, _wait(tenant, evaluation.pk, wait))

    def print_evaluation(self, options: dict[str, Any], evaluation: Any) -> None:
        """Print an evaluation; raise CommandError if it failed, or is not complete although it was waited for."""
        facts = EvaluationSerializer(evaluation).data
        self.show(options, facts, "\n".join([f"{evaluation.pk} {evaluation.shown_status}", *_table(facts["results"])]))
        if evaluation.shown_status == ERROR:
            raise CommandError(f"The evaluation failed. {evaluation.job_error_message or ''}".strip())
        if evaluation.shown_status != COMPLETED and not options["no_wait"]:
            raise CommandError(f"The evaluation is still {evaluation.shown_status}.")


def _wait(tenant: Tenant, evaluation_id: Any, timeout_seconds: float) -> Any:
    """Return the evaluation when it has ended, or as it is after ``timeout_seconds``."""
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        with tenant_context(tenant):
            evaluation: Any = get_evaluation(evaluation_id)
        if evaluation.shown_status in (COMPLETED, ERROR) or time.monotonic() >= give_up_at:
            return evaluation
        time.sleep(_POLL_SECONDS)


def _table(results: list[dict[str, Any]]) -> list[str]:
    """Return the results as the lines of a Markdown table; none if there are no results."""
    if not results:
        return []
    head = ["mode", "weight of words", *METRICS]
    rows = [
        [_mode(one), _weight(one["mode"], one["text_weight"]), *(f"{one[name]:.3f}" for name in METRICS)]
        for one in results
    ]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _mode(result: dict[str, Any]) -> str:
    return f"{result['mode']}, re-ranked" if result["is_reranked"] else result["mode"]


def _weight(mode: str, weight: float | None) -> str:
    if mode != "hybrid":
        return "–"
    return "automatic" if weight is None else f"{weight:g}"
