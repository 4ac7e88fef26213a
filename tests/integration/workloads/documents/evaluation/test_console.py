"""Evaluations in the console."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tenants.context import tenant_context
from tests.integration.workloads.documents.evaluation.conftest import QUESTIONS, evaluate, run
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.models import Dataset

EVALUATIONS = "/admin/document_evaluation/evaluation/"


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


@pytest.fixture
def stranger(globex_user: User) -> Client:
    client = Client()
    client.force_login(globex_user)
    return client


def test_form_starts_an_evaluation_whose_page_shows_the_results(member: Client, library: Dataset) -> None:
    assert (
        f"{EVALUATIONS}start/?dataset={library.pk}"
        in member.get(f"/admin/retrieval/dataset/{library.pk}/change/").content.decode()
    )
    values = {"dataset": library.pk, "note": "<b>first</b>", "file": SimpleUploadedFile("q.csv", QUESTIONS)}
    answer = member.post(f"{EVALUATIONS}start/", values)
    with tenant_context(library.tenant_id):
        evaluation = Evaluation.objects.get()
    page = f"{EVALUATIONS}{evaluation.pk}/change/"
    assert (answer.status_code, answer["Location"]) == (302, page)
    run(library.tenant_id, evaluation.pk)
    shown = member.get(page).content.decode()
    assert "recall@5" in shown
    assert "automatic" in shown
    assert "<b>first" not in shown
    with tenant_context(library.tenant_id):
        first = Evaluation.objects.get().results[0]
    assert f"{first['mrr']:.3f}" in member.get(EVALUATIONS).content.decode()


def test_form_names_the_faulty_line(member: Client, library: Dataset) -> None:
    file = SimpleUploadedFile("q.csv", b"question,document\nWhy?,dogs.txt\n")
    shown = member.post(f"{EVALUATIONS}start/", {"dataset": library.pk, "file": file}).content.decode()
    assert "Line 2: The dataset has no document" in shown


def test_pages_compare_two_evaluations(member: Client, stranger: Client, library: Dataset) -> None:
    before, after = evaluate(library, note="before"), evaluate(library, note="after")
    shown = member.get(f"{EVALUATIONS}{after.pk}/change/").content.decode()
    assert str(before.pk) in shown
    url = f"{EVALUATIONS}{after.pk}/comparison/?before={before.pk}"
    assert "settings and the size of the dataset are the same" in member.get(url).content.decode()
    assert member.get(f"{EVALUATIONS}{after.pk}/comparison/?before=x").status_code == 404
    assert stranger.get(url).status_code == 404


def test_search_page_marks_terms_and_escapes_the_rest(member: Client, library: Dataset) -> None:
    shown = member.get(f"/admin/retrieval/dataset/{library.pk}/search/?query=cat+sofa&mode=text&top_k=5")
    assert "A <mark>cat</mark> sleeps on the warm <mark>sofa</mark>" in shown.content.decode()
