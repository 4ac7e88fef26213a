"""Evaluations: their job, their history, their API and their command."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from scheduling.jobs.cancellation import cancel_job
from scheduling.kit.base import Complete, TransientError, Yielded
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.evaluation.conftest import QUESTIONS, evaluate, run
from tests.model_server import model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.evaluation import processor, service
from workloads.documents.evaluation.exceptions import EvaluationGoneError
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.evaluation.queries import compare
from workloads.documents.exceptions import EmbeddingModelMismatchError
from workloads.documents.models import Dataset
from workloads.documents.service import delete_dataset, update_dataset


def upload(api: APIClient, dataset: Dataset, data: bytes = QUESTIONS, **fields: Any) -> Any:
    file = SimpleUploadedFile("questions.csv", data)
    return api.post(f"/api/v1/datasets/{dataset.pk}/evaluations/", {"file": file} | fields, format="multipart")


def test_evaluation_measures_each_mode_and_weight(library: Dataset) -> None:
    evaluation = evaluate(library)
    assert (evaluation.questions_done, evaluation.questions_total) == (5, 5)
    assert evaluation.completed_at
    assert evaluation.settings["chunks"] == evaluation.settings["documents"] == 4
    results = {(one["mode"], one["text_weight"]): one for one in evaluation.results}
    assert next(iter(results)) == ("hybrid", None)
    assert results["hybrid", None]["recall_1"] == 0.8
    assert results["text", None]["recall_10"] == 0.8
    # A rank below the first four documents is impossible; the vector finds all.
    assert results["vector", None]["recall_5"] == 1.0


def test_evaluation_measures_reranking(library: Dataset, change_platform_settings: ChangePlatformSettings) -> None:
    with model_server() as server:
        change_platform_settings(RERANK_URL=f"{server.url}/rerank", RERANK_MODEL="m")
        evaluation = evaluate(library)
    assert evaluation.settings["reranker"] == "m"
    own, reranked = evaluation.results[:2]
    assert (own["mode"], own["is_reranked"]) == ("hybrid", False)
    assert (reranked["mode"], reranked["is_reranked"]) == ("hybrid", True)
    assert len(server.asked) == evaluation.questions_total
    assert {one.body["query"] for one in server.asked} >= {"XK-4711"}


def test_failed_reranking_fails_the_evaluation(
    library: Dataset, change_platform_settings: ChangePlatformSettings
) -> None:
    with model_server() as server:
        change_platform_settings(RERANK_URL=f"{server.url}/rerank")
        server.fail_next(503, times=100)
        with pytest.raises(TransientError, match="re-ranking endpoint"):
            evaluate(library)


def test_job_continues_at_the_first_question_that_is_not_stored(
    library: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "BATCH_QUESTIONS", 2)
    with tenant_context(library.tenant_id):
        tenant = Tenant.objects.select_related("plan").get(pk=library.tenant_id)
        evaluation = service.start_evaluation(tenant=tenant, dataset=library, data=QUESTIONS)
    assert run(library.tenant_id, evaluation.pk, yields_after=3) == Yielded({})
    with tenant_context(library.tenant_id):
        stored: Evaluation = Evaluation.objects.get()
        assert (stored.questions_done, stored.completed_at) == (2, None)
    assert isinstance(run(library.tenant_id, evaluation.pk), Complete)
    with tenant_context(library.tenant_id):
        assert len(Evaluation.objects.get().ranks) == 5


def test_two_jobs_do_not_store_the_same_questions(library: Dataset) -> None:
    evaluation = evaluate(library)
    evaluation.questions_done = 0
    with tenant_context(library.tenant_id), pytest.raises(EvaluationGoneError):
        processor.append_ranks(evaluation, [[1] * 7])


def test_answer_that_is_folded_into_another_chunk_counts(library: Dataset) -> None:
    add_document(library, "copy.txt", "A cat sleeps on the warm sofa and dreams of mice!")
    evaluation = evaluate(library, b"question,document,passage\nWhere does the cat rest?,copy.txt,DREAMS of\n")
    assert evaluation.results[0]["recall_1"] == 1.0
    evaluation = evaluate(library, b"question,document,passage\nWhere does the cat rest?,copy.txt,nightmares\n")
    assert evaluation.results[0]["recall_10"] == 0.0


def test_api_starts_an_evaluation_and_shows_its_results(acme: Tenant, acme_api: APIClient, library: Dataset) -> None:
    response = upload(acme_api, library, note="first")
    assert response.status_code == 202, response.content
    started = response.json()
    assert (started["status"], started["questions_total"], started["results"]) == ("waiting", 5, [])
    with all_tenants():
        job = Job.objects.get(pk=started["job"])
        assert (job.kind, job.tenant_id) == ("dataset_evaluation", acme.pk)
        assert AuditLogEntry.objects.filter(action="evaluation.started").count() == 1
    run(acme.pk, started["id"])
    shown = acme_api.get(f"/api/v1/evaluations/{started['id']}/").json()
    assert (shown["status"], shown["questions_done"], len(shown["results"])) == ("completed", 5, 7)
    for url in (f"/api/v1/datasets/{library.pk}/evaluations/", "/api/v1/evaluations/"):
        assert [one["note"] for one in acme_api.get(url).json()["results"]] == ["first"]
    assert acme_api.delete(f"/api/v1/evaluations/{started['id']}/").status_code == 204
    assert acme_api.get(f"/api/v1/evaluations/{started['id']}/").status_code == 404


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"question,document\nWhy?\n", 2),
        (b"question,document\nWhere?,cats.txt\nWhy?,dogs.txt\n", 3),
        (f"question,document\nWhere?,{UUID(int=1)}\n".encode(), 2),
    ],
)
def test_faulty_questions_are_400_with_the_line(acme_api: APIClient, library: Dataset, data: bytes, line: int) -> None:
    response = upload(acme_api, library, data)
    assert (response.status_code, response.json()["code"]) == (400, "questions_invalid")
    assert [one["line"] for one in response.json()["errors"]] == [line]
    assert f"Line {line}" in response.json()["detail"]
    with all_tenants():
        assert not Job.objects.exists()


def test_document_may_be_named_by_its_id(library: Dataset) -> None:
    document = add_document(library, "dogs.txt", "A dog barks at the gate.")
    evaluation = evaluate(library, f"question,document\nWho barks?,{document.pk}\n".encode())
    assert evaluation.results[0]["recall_1"] == 1.0


def test_evaluations_of_other_tenants_are_invisible(globex_api: APIClient, library: Dataset) -> None:
    evaluation = evaluate(library)
    url = f"/api/v1/evaluations/{evaluation.pk}/"
    assert upload(globex_api, library).status_code == 404
    assert globex_api.get(url).status_code == globex_api.delete(url).status_code == 404
    assert globex_api.get(f"{url}comparison/?before={evaluation.pk}").status_code == 404
    assert globex_api.get("/api/v1/evaluations/").json()["results"] == []


def test_comparison_shows_settings_metrics_and_questions(acme_api: APIClient, library: Dataset) -> None:
    before = evaluate(library)
    changed = update_dataset_in_scope(library, text_weight=1.0)
    after = evaluate(changed)
    answer = acme_api.get(f"/api/v1/evaluations/{after.pk}/comparison/?before={before.pk}").json()
    assert answer["settings"] == [{"name": "text_weight", "before": None, "after": 1.0}]
    compared = {(one["mode"], one["text_weight"]): one["difference"]["mrr"] for one in answer["results"]}
    assert compared["text", None] == compared["hybrid", None] == 0.0
    assert {one["question"] for one in answer["questions"]} <= {"Is there a zeppelin?"}
    assert acme_api.get(f"/api/v1/evaluations/{after.pk}/comparison/?before={uuid4()}").status_code == 404
    assert acme_api.get(f"/api/v1/evaluations/{after.pk}/comparison/").status_code == 422


def test_evaluation_that_is_not_complete_is_not_compared(acme_api: APIClient, library: Dataset) -> None:
    before, started = evaluate(library), upload(acme_api, library).json()
    answer = acme_api.get(f"/api/v1/evaluations/{started['id']}/comparison/?before={before.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "evaluations_differ")


def test_cancelled_job_ends_the_evaluation_in_error(acme: Tenant, acme_api: APIClient, library: Dataset) -> None:
    started = upload(acme_api, library).json()
    with tenant_context(acme):
        cancel_job(job_id=started["job"])
    assert acme_api.get(f"/api/v1/evaluations/{started['id']}/").json()["status"] == "error"


def test_history_is_limited_and_deleted_with_its_dataset(
    acme: Tenant, library: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_EVALUATIONS", 2)
    kept = [evaluate(library, note=str(number)).pk for number in range(3)][1:]
    with tenant_context(acme):
        assert set(Evaluation.objects.values_list("pk", flat=True)) == set(kept)
        for document in list(library.documents.all()):
            document.delete()
        delete_dataset(dataset_id=library.pk)
        assert not Evaluation.objects.exists()


def test_dataset_of_another_model_is_not_evaluated(library: Dataset) -> None:
    library.embedding_model = "another"
    with pytest.raises(EmbeddingModelMismatchError):
        evaluate(library)


def test_command_starts_an_evaluation_and_prints_the_table(
    acme: Tenant, library: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "questions.csv"
    file.write_bytes(QUESTIONS)
    out = StringIO()
    call_command("evaluate_dataset", "library", str(file), tenant="acme", no_wait=True, json=True, stdout=out)
    started = json.loads(out.getvalue())
    assert started["status"] == "waiting"
    with pytest.raises(CommandError, match="still waiting"):
        call_command("evaluate_dataset", "library", str(file), tenant="acme", timeout=0.0, stdout=StringIO())
    with pytest.raises(CommandError, match="No such file"):
        call_command("evaluate_dataset", "library", str(tmp_path / "none"), tenant="acme", stdout=StringIO())
    evaluation = evaluate(library)
    monkeypatch.setattr(
        "workloads.documents.evaluation.management.commands.evaluate_dataset.start_evaluation",
        lambda **_: evaluation,
    )
    out = StringIO()
    call_command("evaluate_dataset", "library", str(file), tenant="acme", stdout=out)
    assert "| hybrid | automatic | 0.800 |" in out.getvalue()


def test_compared_evaluations_have_one_dataset(acme: Tenant, library: Dataset) -> None:
    one = evaluate(library)
    with tenant_context(acme):
        assert compare(one, one)["questions"] == []


def update_dataset_in_scope(dataset: Dataset, **changes: Any) -> Dataset:
    with tenant_context(dataset.tenant_id):
        return update_dataset(dataset=dataset, **changes)
