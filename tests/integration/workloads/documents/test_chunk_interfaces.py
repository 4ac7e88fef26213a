"""Chunks by API and console: lists, filters, editions, changes, versions, and isolation between tenants."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.test_chunk_changes import DOG, TEXTS, chunks_of, dataset, document
from workloads.documents.models import Chunk, Dataset, Document

__all__ = ["dataset", "document"]
pytestmark = pytest.mark.django_db
API, PAGES = "/api/v1/", "/admin/retrieval/chunk/"


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


def listed(api: APIClient, path: str) -> list[Any]:
    """Return the rows of all pages of a list, two rows a page."""
    rows: list[Any] = []
    url: str | None = f"{API}{path}{'&' if '?' in path else '?'}limit=2"
    while url:
        page = api.get(url)
        assert page.status_code == 200, page.content
        assert len(page.json()["results"]) <= 2
        rows += page.json()["results"]
        url = page.json()["next"]
    return rows


def ids(rows: list[Any]) -> list[str]:
    return [row["id"] for row in rows]


def test_lists_page_by_key_in_their_order(acme_api: APIClient, dataset: Dataset, document: Document) -> None:
    other = add_document(dataset, "b.txt", DOG)
    first, *rest = [str(chunk.pk) for chunk in chunks_of(document)]
    added = acme_api.post(f"{API}chunks/{first}/add-after/", {"text": "Added."}, format="json")
    assert added.status_code == 201, added.content
    key = added.json()["id"]
    assert ids(listed(acme_api, f"documents/{document.pk}/chunks/")) == [first, key, *rest]
    of_other = [str(chunk.pk) for chunk in chunks_of(other)]
    assert ids(listed(acme_api, f"datasets/{dataset.pk}/chunks/")) == [first, *rest, *of_other, key]
    assert ids(listed(acme_api, f"datasets/{dataset.pk}/chunks/?document={other.pk}")) == of_other


def test_lists_are_filtered_by_state_words_and_heading(
    acme_api: APIClient, dataset: Dataset, document: Document
) -> None:
    cat, bank, train = [str(chunk.pk) for chunk in chunks_of(document)]
    path = f"datasets/{dataset.pk}/chunks/"
    acme_api.patch(f"{API}chunks/{cat}/", {"text": DOG}, format="json")
    acme_api.patch(f"{API}chunks/{bank}/", {"is_enabled": False}, format="json")
    for query, expected in {
        "words=dog garden": [cat],
        "words=dog rate": [],
        "words=noon&state=on": [train],
        "heading=noon": [],
        "state=off": [bank],
        "state=edited": [cat],
        "state=embedding": [cat],
        "state=on": [cat, train],
    }.items():
        assert ids(listed(acme_api, f"{path}?{query}")) == expected, query
    for query in ("state=no", "colour=red", "document=x"):
        assert acme_api.get(f"{API}{path}?{query}").status_code in (400, 422), query


def test_chunk_shows_its_text_and_what_was_extracted(acme_api: APIClient, document: Document) -> None:
    url = f"{API}chunks/{chunks_of(document)[0].pk}/"
    before = acme_api.get(url)
    assert before.headers["ETag"] == '"1"'
    answer = acme_api.patch(url, {"text": f"  {DOG}\n"}, format="json", headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["text"], body["extracted_text"]) == (f"  {DOG}\n", before.json()["text"])
    assert (body["version"], body["is_edited"], body["is_embedding"]) == (2, True, True)
    stale = acme_api.patch(url, {"text": "x"}, format="json", headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.headers["ETag"]) == (412, '"2"')
    for change in ("split", "merge", "embed", "restore", "add-after"):
        values = {"offset": 3, "version": 1, "text": "x"}
        names = {"split": ["offset"], "restore": ["version"], "add-after": ["text"]}.get(change, [])
        body = {name: values[name] for name in names}
        refused = acme_api.post(f"{url}{change}/", body, format="json", headers={"If-Match": '"1"'})
        assert refused.status_code == 412, (change, refused.content)


def test_changes_by_api(acme_api: APIClient, document: Document) -> None:
    url = f"{API}chunks/{chunks_of(document)[0].pk}/"
    parts = acme_api.post(f"{url}split/", {"offset": 8}, format="json").json()["chunks"]
    assert [part["text"].strip(" .") for part in parts] == ["The cat", "sleeps on the sofa"]
    assert acme_api.post(f"{url}merge/", {}, format="json").status_code == 200
    assert acme_api.post(f"{url}embed/", {}, format="json").status_code == 200
    versions = acme_api.get(f"{url}versions/").json()["versions"]
    assert [(row["number"], row["change"]) for row in versions] == [(2, "merged"), (1, "split")]
    restored = acme_api.post(f"{url}restore/", {"version": 1}, format="json").json()
    assert restored["text"] == restored["extracted_text"]
    assert acme_api.post(f"{url}restore/", {"version": 77}, format="json").status_code == 404
    for path, body in (("split", {"offset": 4_000}), ("add-after", {"text": " "}), ("split", {})):
        assert acme_api.post(f"{url}{path}/", body, format="json").status_code == 422, path
    with all_tenants():
        assert set(Job.objects.values_list("kind", flat=True)) == {"chunk_embedding"}


def test_internal_kind_is_not_submitted_by_clients(acme_api: APIClient, document: Document) -> None:
    payload = {"chunk_ids": [str(chunks_of(document)[0].pk)]}
    answer = acme_api.post(f"{API}jobs/", {"kind": "chunk_embedding", "payload": payload}, format="json")
    assert answer.status_code >= 400


def test_text_of_a_document_is_downloaded(acme_api: APIClient, document: Document) -> None:
    answer = acme_api.get(f"{API}documents/{document.pk}/text/")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.getvalue().decode().count("sofa") == 1


def test_renewal_names_the_changes_that_it_would_lose(acme_api: APIClient, document: Document) -> None:
    acme_api.patch(f"{API}chunks/{chunks_of(document)[0].pk}/", {"text": DOG}, format="json")
    for path in (f"documents/{document.pk}/reindex/", f"datasets/{document.dataset_id}/reindex/"):
        body = {"all": True} if "datasets" in path else {}
        answer = acme_api.post(f"{API}{path}", body, format="json")
        assert (answer.status_code, answer.json()["code"]) == (409, "edits_would_be_lost")
        assert answer.json()["detail"].startswith("1 chunks")
    answer = acme_api.post(f"{API}documents/{document.pk}/reindex/", {"discard_edits": True}, format="json")
    assert answer.status_code == 200, answer.content


def test_chunks_of_another_tenant_do_not_exist(globex_api: APIClient, document: Document, globex_user: User) -> None:
    chunk = chunks_of(document)[0]
    for path in (f"chunks/{chunk.pk}/", f"documents/{document.pk}/text/", f"datasets/{document.dataset_id}/chunks/"):
        assert globex_api.get(f"{API}{path}").status_code == 404
    assert globex_api.patch(f"{API}chunks/{chunk.pk}/", {"text": "x"}, format="json").status_code == 404
    stranger = Client()
    stranger.force_login(globex_user)
    for path in ("change", "split", "add-after", "restore"):
        assert stranger.get(f"{PAGES}{chunk.pk}/{path}/").status_code == 404
    assert stranger.get(f"{PAGES}of/{document.pk}/text/").status_code == 404


def test_member_edits_a_chunk_on_its_page(member: Client, document: Document) -> None:
    chunk = chunks_of(document)[0]
    page = f"{PAGES}{chunk.pk}/change/"
    shown = member.get(page).content.decode()
    assert all(word in shown for word in ("Split", "Versions", "Embed again"))
    assert member.post(page, {"text": f"{DOG}\r\n  more"}).status_code == 302
    changed = chunks_of(document)[0]
    assert (changed.text, changed.is_enabled) == (f"{DOG}\n  more", False)
    assert "Added by hand" not in member.get(page).content.decode()


def test_member_splits_adds_merges_and_restores(member: Client, document: Document) -> None:
    page = f"{PAGES}{chunks_of(document)[0].pk}/"
    assert member.post(f"{page}split/", {"words": "sleeps"}).status_code == 302
    assert "Both parts" in member.post(f"{page}split/", {"words": "nowhere"}).content.decode()
    assert member.post(f"{page}add-after/", {"text": DOG}).status_code == 302
    assert [chunk.text.strip(" .") for chunk in chunks_of(document)[:3]] == ["The cat", DOG[:-1], "sleeps on the sofa"]
    assert member.post(f"{page}act/merge/", {"reason": "x"}).status_code == 302
    assert len(chunks_of(document)) == 4
    assert "Version 1" in member.get(f"{page}restore/").content.decode()
    assert member.post(f"{page}restore/", {"number": 1}).status_code == 302
    assert chunks_of(document)[0].text.startswith(TEXTS[0])
    assert "no such version" in member.post(f"{page}restore/", {"number": 70}).content.decode()


def test_list_of_chunks_is_searched_and_filtered(member: Client, acme: Tenant, document: Document) -> None:
    with tenant_context(acme):
        Chunk.objects.filter(text__contains="bank").update(is_enabled=False)
    for query, wanted, other in (
        ("q=sofa", "The cat", "The bank"),
        ("state=off", "The bank", "The cat"),
        (f"document__id__exact={document.pk}", "The train", "No chunks"),
    ):
        shown = member.get(f"{PAGES}?{query}").content.decode()
        assert wanted in shown, query
        assert other not in shown, query


def test_text_is_downloaded_from_the_page_of_the_document(member: Client, document: Document) -> None:
    shown = member.get(f"/admin/retrieval/document/{document.pk}/change/").content.decode()
    assert f"{PAGES}of/{document.pk}/text/" in shown
    assert b"sofa" in member.get(f"{PAGES}of/{document.pk}/text/").getvalue()
