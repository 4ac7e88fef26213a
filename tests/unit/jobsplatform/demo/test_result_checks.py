"""Verdict of the demonstration: every fault is reported."""

import json
import uuid

import httpx
import pytest

from jobsplatform.demo import client as client_module
from jobsplatform.demo.corpus import DAMAGED, read_corpus
from jobsplatform.demo.measures import ShareTerms
from jobsplatform.demo.provision import Participant
from jobsplatform.demo.result_checks import find_missing_results
from jobsplatform.demo.scenario import ROLES
from jobsplatform.demo.uploads import Shelf

CORPUS = read_corpus()


class ApiDouble:
    """API that answers as after a successful run; a test then breaks one thing."""

    def __init__(self):
        self.documents = {
            path.name: {
                "id": str(uuid.uuid4()),
                "name": path.name,
                "job": str(uuid.uuid4()),
                "status": "error" if path.name == DAMAGED else "completed",
                "error": {"code": "file_damaged", "message": "cut short"} if path.name == DAMAGED else None,
            }
            for path in CORPUS.documents
        }
        self.unfindable = set()

    def answer(self, request):
        if request.url.path.endswith("/search/"):
            assert json.loads(request.content)["query"]
            hits = [
                {"document": {"name": name}, "location": {}, "text": "…", "score": 1.0}
                for name in self.documents
                if name not in self.unfindable
            ]
            return httpx.Response(200, json={"results": hits})
        if "cursor=2" in str(request.url):
            return httpx.Response(200, json={"next": None, "results": list(self.documents.values())[20:]})
        page = list(self.documents.values())[:20]
        return httpx.Response(200, json={"next": "http://platform/api/v1/documents/?cursor=2", "results": page})


@pytest.fixture
def api(monkeypatch):
    double = ApiDouble()
    real = httpx.Client

    def connect(**options):
        return real(**options, transport=httpx.MockTransport(double.answer))

    monkeypatch.setattr(client_module.httpx, "Client", connect)
    return double


@pytest.fixture
def shelf(api):
    participant = Participant(ROLES[0], uuid.uuid4(), "sandbox-demo", "jp.secret", 5, ShareTerms(1, 2))
    return Shelf(participant, "dataset", {name: document["id"] for name, document in api.documents.items()})


def faults(api, shelf, deaths=None):
    deaths = {uuid.UUID(api.documents[DAMAGED]["job"]): "cut short"} if deaths is None else deaths
    return list(find_missing_results("http://platform", shelf, CORPUS, deaths))


def test_successful_run_has_no_faults(api, shelf):
    assert faults(api, shelf) == []


def test_document_not_found_by_its_title_is_a_fault(api, shelf):
    api.unfindable = {"glossary.csv"}
    assert faults(api, shelf) == ["glossary.csv is not found by its title"]


def test_refused_document_is_a_fault(api, shelf):
    del shelf.documents["glossary.csv"]
    assert faults(api, shelf) == ["glossary.csv was not accepted"]


def test_failed_good_document_is_a_fault_with_its_error(api, shelf):
    api.documents["glossary.csv"] |= {"status": "error", "error": {"code": "file_damaged", "message": "why"}}
    assert faults(api, shelf) == ["glossary.csv is error: {'code': 'file_damaged', 'message': 'why'}"]


def test_indexed_damaged_document_is_a_fault(api, shelf):
    api.documents[DAMAGED] |= {"status": "completed", "error": None}
    assert faults(api, shelf) == [f"{DAMAGED} is completed, although it is damaged"]


def test_damaged_document_without_dead_letter_is_a_fault(api, shelf):
    assert faults(api, shelf, deaths={}) == [f"{DAMAGED} has no dead letter with a reason"]


def test_refused_request_raises_with_status_and_code(api, shelf):
    api.answer = lambda request: httpx.Response(403, json={"code": "permission_denied"})
    with pytest.raises(client_module.RefusedError, match=r"403.*permission_denied"):
        faults(api, shelf)
