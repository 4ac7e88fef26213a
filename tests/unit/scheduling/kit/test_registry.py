"""Existing kinds, and the permission to use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import pytest

from scheduling.exceptions import KindUnknownError
from scheduling.kit import registry
from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor, JobContext, TaskProcessor
from scheduling.kit.registry import ProcessorInvalidError
from tests.platform_settings import ChangePlatformSettings
from workloads.diagnostics.processor import NoopProcessor

type Install = Callable[..., None]

NOT_A_PROCESSOR = object()


class Greeting(TaskProcessor):
    kind = "greeting"

    def process(self, context: JobContext) -> None:
        return None


class SecondGreeting(Greeting):
    """Processor of a kind that is taken."""


class Waiting(AsyncTaskProcessor):
    kind = "waiting"

    async def process(self, context: AsyncJobContext) -> None:
        return None


class Rendering(TaskProcessor):
    kind = "rendering"
    needs = ("gpu", "memory")

    def process(self, context: JobContext) -> None:
        return None


class Taping(Rendering):
    kind = "taping"
    needs = ("tape",)  # type: ignore[assignment]


class Nameless(TaskProcessor):
    def process(self, context: JobContext) -> None:
        return None


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.reset()
    yield
    registry.reset()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that presents classes of this module as those of an installed package."""

    def install_classes(*names: str) -> None:
        points = [EntryPoint(name, f"{__name__}:{name}", registry.ENTRY_POINT_GROUP) for name in names]
        monkeypatch.setattr(registry, "entry_points", lambda group: points)

    return install_classes


def test_kinds_are_found_in_installed_apps() -> None:
    assert registry.get("noop") is NoopProcessor
    assert {"noop", "sleep", "crash", "fail", "spin", "allocate"} <= set(registry.kinds())


def test_kinds_are_found_by_entry_points(install: Install) -> None:
    install("Greeting")
    assert registry.get("greeting") is Greeting


def test_unknown_kind_raises() -> None:
    with pytest.raises(KindUnknownError):
        registry.get("no_such_kind")


def test_job_of_a_kind_that_travels_alone_is_not_merged_either(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Greeting")
    assert (registry.is_mergeable("greeting"), registry.travels_alone("greeting")) == (True, False)
    monkeypatch.setattr(Greeting, "travels_alone", True)
    registry.reset()
    assert (registry.is_mergeable("greeting"), registry.travels_alone("greeting")) == (False, True)


def test_unknown_kind_travels_alone(install: Install) -> None:
    assert registry.travels_alone("no_such_kind")
    registry.reset()
    install("NoSuchClass")
    assert registry.travels_alone("noop")


def test_diagnostic_kinds_require_their_setting(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(DIAGNOSTIC_KINDS=False)
    assert "crash" not in registry.kinds()
    assert {"noop", "sleep"} <= set(registry.kinds())
    with pytest.raises(KindUnknownError):
        registry.get("crash")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Greeting", "SecondGreeting"], "already has"),
        (["Nameless"], "does not set `kind`"),
        (["NOT_A_PROCESSOR"], "not a subclass"),
        (["NoSuchClass"], "cannot be imported"),
        (["Taping"], "needs unknown resources: tape"),
    ],
)
def test_broken_plug_in_is_named_in_the_error(install: Install, names: list[str], words: str) -> None:
    install(*names)
    with pytest.raises(ProcessorInvalidError, match=words):
        registry.kinds()


def test_kind_whose_work_is_a_coroutine_waits_and_is_never_mergeable(install: Install) -> None:
    install("Greeting", "Waiting")
    assert (registry.is_mergeable("greeting"), registry.is_mergeable("waiting")) == (True, False)
    assert (registry.travels_alone("greeting"), registry.travels_alone("waiting")) == (False, True)
    classes = [registry.resource_class(kind) for kind in ("greeting", "waiting", "no_such_kind")]
    assert classes == ["cpu", "io", "cpu"]


def test_needs_are_those_declared_and_a_processor_without_a_gpu(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Greeting", "Waiting", "Rendering")
    needs = [registry.needs(kind) for kind in ("greeting", "waiting", "rendering", "no_such_kind")]
    assert needs == [{"cpu"}, set(), {"gpu", "memory"}, set()]
    monkeypatch.setattr(Greeting, "needs", ("memory",))
    registry.reset()
    assert registry.needs("greeting") == {"cpu", "memory"}
