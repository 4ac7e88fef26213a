"""Whatever the console writes, the API writes: each write of the access table has a twin, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin

from tests.access import routes, table, twins
from tests.access.routes import API_PREFIX

PLACE = "tests/access/twins.py"
STATED = {f"{line.method} {line.path}" for line in routes.lines(table.API)}


def console_writes() -> Iterator[str]:
    """Yield the console's writes: `page act`, or the address of a route of its own."""
    for page in routes.pages():
        yield from (f"{page.label} {name}" for name in ("add", "change") if getattr(page, name) is not None)
        yield from (f"{page.label} {name}" for name in page.acts)
    yield from (f"{act.label} {act.name}" for act in routes.ticked_acts())
    # `ANY` is a page that reads, whatever the method.
    yield from dict.fromkeys(line.path for line in routes.lines(table.CONSOLE) if line.method == "POST")


def expected_twins(write: str) -> set[str]:
    """Return the requests of the table of the API that may be the twin of a write, by its name."""
    if write in twins.TWINS:
        return {twins.TWINS[write]}
    label, _, act = write.partition(" ")
    resource = twins.RESOURCES.get(label)
    if resource is None:
        return set()
    if act == "add":
        return {f"POST {resource}/"}
    one = (line for line in STATED if line.split(" ")[1].startswith(f"{resource}/"))
    wanted = ("PATCH", 2) if act == "change" else ("POST", 3)
    return {
        line
        for line in one
        if (line.split(" ")[0], line.count("/")) == wanted and (act == "change" or line.endswith(f"/{act}/"))
    }


def has_twin(write: str) -> bool:
    return bool(expected_twins(write) & STATED)


def is_excepted(write: str) -> bool:
    return write in twins.WITHOUT or write.partition(" ")[0] in twins.WITHOUT


def test_every_console_write_has_a_twin_in_the_api() -> None:
    missing = [write for write in console_writes() if not has_twin(write) and not is_excepted(write)]
    assert missing == [], f"The API has no request for these; add one, or a line to {PLACE}:\n" + "\n".join(missing)


def test_every_written_twin_and_exception_is_needed() -> None:
    writes = set(console_writes())
    known = writes | {write.partition(" ")[0] for write in writes}
    assert set(twins.TWINS) <= writes, "There is no such write of the console."
    assert set(twins.WITHOUT) <= known, "There is no such write of the console."
    assert set(twins.RESOURCES) <= {model._meta.label_lower for model in admin.site._registry}
    assert [twin for twin in twins.TWINS.values() if twin not in STATED] == [], "There is no such request in the table."
    assert all(len(reason) > 7 for reason in twins.WITHOUT.values())


def test_api_has_an_address_for_each_twin() -> None:
    known = {(method, route) for method, route, _ in routes.api_routes()}
    for twin in twins.TWINS.values():
        method, path = twin.split(" ")
        assert (method, routes.route_of(API_PREFIX, path)) in known, twin
