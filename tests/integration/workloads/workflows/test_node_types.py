"""Runs with merges, loops, JSON in texts, embeddings, and searches with options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle
from scheduling.worker.local_worker import LocalWorker
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, run_of
from tests.integration.workloads.workflows.test_kills import Died, Dying, begin, process
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings
from tests.unit.workloads.workflows.definitions import condition, graph, node, workflow
from workloads.documents.platform_settings import LOCAL_MODEL_NAME
from workloads.documents.service import create_dataset
from workloads.workflows.records.offloading import value_of

pytestmark = pytest.mark.django_db(transaction=True)


def loop(until: Any, *nodes: Any, **fields: Any) -> dict[str, Any]:
    ways = [" > ".join(one["id"] for one in nodes)] if len(nodes) > 1 else []
    return node("loop", "loop", until={"all": [until]}, graph=graph(*nodes, ways=ways), **fields)


def test_merge_has_the_output_of_the_branch_that_was_taken(runs: Runs, acme: Tenant) -> None:
    join = node("join", "merge", values=[{"ref": "nodes.left.text"}, {"ref": "nodes.right.text"}])
    ways = ["start > choose", "choose big> left", "choose else> right", "left > join", "right > join", "join > end"]
    definition = workflow(
        condition("choose", ("big", "inputs.n", "gt", 10)),
        node("left", template="big"),
        node("right", template="small"),
        join,
        ways=ways,
        inputs={"n": {"type": "integer"}},
        outputs={"size": {"ref": "nodes.join.value"}},
    )
    sizes = [runs.run(acme, definition, {"n": number}).result["outputs"]["size"] for number in (11, 9)]
    assert sizes == ["big", "small"]


def test_loop_repeats_its_graph_until_the_condition_holds(runs: Runs, acme: Tenant) -> None:
    grow = node("grow", template="{{ previous }}{{ index }}")
    repeat = loop(
        {"ref": "nodes.grow.text", "op": "contains", "value": "012"},
        grow,
        output={"ref": "nodes.grow.text"},
        initial={"value": ">"},
    )
    job = runs.run(acme, workflow(repeat, outputs={"all": {"ref": "nodes.loop"}}))
    assert job.result["outputs"]["all"] == {"result": ">012", "rounds": 3, "is_done": True}
    assert {name for name in nodes_of(job) if name.startswith("grow")} == {"grow@0", "grow@1", "grow@2"}


def test_loop_that_is_never_done_fails_or_continues(runs: Runs, acme: Tenant) -> None:
    never = {"ref": "index", "op": "lt", "value": 0}
    fields: dict[str, Any] = {"output": {"ref": "index"}, "max_rounds": 2}
    job = runs.run(acme, workflow(loop(never, node("a"), **fields)))
    assert (job.state, run_of(job).error_code) == ("discarded", "max_rounds_reached")
    going_on = loop(never, node("a"), **fields, on_max_rounds="continue")
    job = runs.run(acme, workflow(going_on, outputs={"all": {"ref": "nodes.loop"}}))
    assert job.result["outputs"]["all"] == {"result": 1, "rounds": 2, "is_done": False}


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
def test_stored_rounds_are_not_repeated_after_a_kill(
    runs: Runs, local: LocalWorker, acme: Tenant, model: ModelServer, dies_at: int, is_kept: bool
) -> None:
    repeat = loop(
        {"ref": "index", "op": "eq", "value": 2},
        node("ask", "llm", prompt="round {{ index }}"),
        output={"ref": "index"},
    )
    job = runs.start(acme, workflow(repeat, outputs={"rounds": {"ref": "nodes.loop.rounds"}}))
    started = begin(job, local)
    with pytest.raises(Died):
        process(started, Dying(started, dies_at=dies_at, is_kept=is_kept))
    stored = [row.path[0] for row in nodes_of(job).values() if row.node_id == "ask" and row.state == "succeeded"]
    before = Counter(model.prompts)
    assert settle([settlement_builders.shut_down(started.execution_id, started.fence)])
    done = runs.go(job)
    assert (done.state, done.result["outputs"]) == ("completed", {"rounds": 3})
    again = Counter(model.prompts)
    assert {number: again[f"round {number}"] for number in stored} == {n: before[f"round {n}"] for n in stored}
    assert sorted(again) == ["round 0", "round 1", "round 2"]


def test_json_of_an_answer_is_read_and_validated(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.reply = lambda body: 'Sure:\n```json\n{"n": 7}\n```'
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    ask = node("ask", "llm", prompt="?")
    read = node("read", "json_extract", value={"ref": "nodes.ask.text"}, schema=schema)
    definition = workflow(ask, read, outputs={"n": {"ref": "nodes.read.json.n"}})
    assert runs.run(acme, definition).result["outputs"] == {"n": 7}
    model.reply = lambda body: '{"n": "seven"}'
    assert run_of(runs.run(acme, definition)).error_code == "json_invalid"


def test_vectors_of_texts_can_be_compared(runs: Runs, acme: Tenant) -> None:
    vectors = node("v", "embedding", texts={"value": ["a cat on the sofa", "a cat on the couch", "tax law"]})
    job = runs.run(acme, workflow(vectors, outputs={"all": {"ref": "nodes.v"}}))
    # Larger than what a job's result holds: the record of the run has it.
    assert job.state == "completed"
    node_run = nodes_of(job)["v"]
    stored = value_of(node_run, "outputs")
    assert stored is not None
    outputs = stored.read()
    assert (len(outputs["vectors"]), outputs["dimensions"], len(outputs["vectors"][0])) == (3, 512, 512)
    near, far = (
        sum(a * b for a, b in zip(outputs["vectors"][0], outputs["vectors"][other], strict=True)) for other in (1, 2)
    )
    assert near > far


@pytest.mark.parametrize("texts", [[], ["a"] * 33, 7, ["a", 1]], ids=["none", "many", "number", "mixed"])
def test_texts_that_cannot_be_embedded_fail_the_node(runs: Runs, acme: Tenant, texts: Any) -> None:
    job = runs.run(acme, workflow(node("v", "embedding", texts={"value": texts})))
    assert (job.state, run_of(job).error_code) == ("discarded", "texts_invalid")


@pytest.fixture
def small(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    """Run an endpoint with the model small, of eight dimensions."""
    with model_server() as server:
        change_platform_settings(EMBEDDING_MODELS={"small": {"url": server.url, "model": "small", "dimensions": 8}})
        yield


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("is_named", [True, False], ids=["by_the_node", "by_the_tenant"])
def test_texts_are_embedded_by_a_chosen_model(runs: Runs, acme: Tenant, *, is_named: bool) -> None:
    if not is_named:
        change_settings(tenant=acme, values={"retrieval.embedding_model": "small"})
    asked = node("v", "embedding", texts={"value": "a cat"}, **({"model": "small"} if is_named else {}))
    job = runs.run(acme, workflow(asked, outputs={"v": {"ref": "nodes.v"}}))
    made = job.result["outputs"]["v"]
    assert (len(made["vectors"][0]), made["dimensions"], made["model"]) == (8, 8, "small")


def test_unknown_model_fails_the_node(runs: Runs, acme: Tenant) -> None:
    job = runs.run(acme, workflow(node("v", "embedding", texts={"value": "a cat"}, model="gone")))
    assert (job.state, run_of(job).error_code) == ("discarded", "embedding_model_mismatch")


@pytest.mark.usefixtures("small")
def test_search_embeds_the_query_by_the_model_of_each_dataset(runs: Runs, acme: Tenant) -> None:
    datasets = [create_dataset(tenant=acme, name=name, embedding_model=name) for name in ("small", LOCAL_MODEL_NAME)]
    for dataset in datasets:
        add_document(dataset, "cat.txt", "The cat sleeps on the sofa in the sun.")
    search = node(
        "s",
        "knowledge_retrieval",
        query="The cat sleeps on the sofa in the sun.",
        mode="vector",
        fold_duplicates=False,
        datasets=[str(dataset.pk) for dataset in datasets],
    )
    job = runs.run(acme, workflow(search, outputs={"r": {"ref": "nodes.s.results"}}))
    scores = {hit["dataset_id"]: hit["score"] for hit in job.result["outputs"]["r"]}
    assert scores == {str(dataset.pk): pytest.approx(1.0, abs=1e-3) for dataset in datasets}


def test_search_takes_several_datasets_and_a_least_score(runs: Runs, acme: Tenant) -> None:
    cats, taxes = (create_dataset(tenant=acme, name=name) for name in ("cats", "taxes"))
    add_document(cats, "cat.txt", "The cat sleeps on the sofa in the sun.")
    add_document(taxes, "tax.txt", "Income tax is due in May.")
    both = [str(cats.pk), str(taxes.pk)]

    def found(**options: Any) -> list[str]:
        search = node("s", "knowledge_retrieval", query="a cat sleeps", mode="vector", **options)
        return [
            hit["dataset_id"]
            for hit in runs.run(acme, workflow(search, outputs={"r": {"ref": "nodes.s.results"}})).result["outputs"][
                "r"
            ]
        ]

    assert found(datasets=both) == both
    assert found(datasets=both, min_score=0.4) == both[:1]
    assert found(dataset=both[1]) == both[1:]


def test_near_duplicates_are_listed_if_they_are_not_folded(runs: Runs, acme: Tenant) -> None:
    dataset = create_dataset(tenant=acme, name="cats")
    text = "The cat sleeps on the warm sofa in the sun the whole long day and dreams of mice."
    add_document(dataset, "a.txt", text)
    add_document(dataset, "b.txt", text + " Really.")

    def count(**options: Any) -> int:
        search = node("s", "knowledge_retrieval", dataset=str(dataset.pk), query="cat", mode="text", **options)
        job = runs.run(acme, workflow(search, outputs={"r": {"ref": "nodes.s.results"}}))
        return len(job.result["outputs"]["r"])

    assert (count(), count(fold_duplicates=False)) == (1, 2)
