"""Which settings there are, and what a declaration may not do."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.apps import apps

from tenants.exceptions import SettingUnknownError
from tenants.settings import schema as setting_schema
from tenants.settings.forms import field_of
from tenants.settings.schema import (
    MASK,
    Setting,
    SettingGroup,
    SettingsInvalidError,
    all_settings,
    effective_values,
    get_setting,
    orphaned_keys,
)

GROUP = SettingGroup("Planted", ())


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    setting_schema.reset()
    yield
    setting_schema.reset()


def declare(monkeypatch: pytest.MonkeyPatch, label: str, *settings: Setting) -> None:
    """Let one more app, and the real ones, declare settings."""
    monkeypatch.setattr(f"{__name__}.GROUP", SettingGroup("Planted", settings))
    planted = SimpleNamespace(label=label, tenant_settings=f"{__name__}:GROUP")
    monkeypatch.setattr(setting_schema, "apps", SimpleNamespace(get_app_configs=lambda: [*real, planted]))


real = list(apps.get_app_configs())


def make(key: str, default: object = 1, **options: object) -> Setting:
    values = {"title": "T", "help_text": "H", "schema": {"type": "integer"}, "default": default, **options}
    return Setting(key=key, **values)  # type: ignore[arg-type]


def test_the_core_and_the_plug_ins_declare_theirs() -> None:
    keys = list(all_settings())
    assert keys[0] == "timezone"
    assert {"jobs.log_level", "retention.finished_jobs_days", "document_indexing.max_chunks"} <= set(keys)


def test_every_setting_has_words_and_a_default_that_fits() -> None:
    for setting in all_settings().values():
        assert setting.title
        assert setting.help_text.endswith(".")
        assert setting.effect.endswith(".")
        assert setting.faults(setting.default) == []


@pytest.mark.parametrize(
    ("label", "key", "default"),
    [
        ("weather", "climate.unit", 1),
        ("weather", "weather", 1),
        ("weather", "jobs.log_level", 1),
        ("weather", "weather.Unit", 1),
        ("weather", "weather.unit", "no number"),
    ],
)
def test_a_declaration_that_is_not_its_apps_own_is_refused(
    monkeypatch: pytest.MonkeyPatch, label: str, key: str, default: object
) -> None:
    declare(monkeypatch, label, make(key, default))
    with pytest.raises(SettingsInvalidError):
        all_settings()


def test_two_settings_of_one_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, "weather", make("weather.unit"), make("weather.unit"))
    with pytest.raises(SettingsInvalidError):
        all_settings()


def test_a_plug_ins_setting_is_found_and_gone_again_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"weather.unit": 5}
    assert orphaned_keys(stored) == ["weather.unit"]
    declare(monkeypatch, "weather", make("weather.unit"))
    setting_schema.reset()
    assert effective_values(stored)["weather.unit"] == 5
    assert orphaned_keys(stored) == []


def test_a_stored_value_that_fits_no_more_counts_as_not_set() -> None:
    assert effective_values({"jobs.default_priority": "high"})["jobs.default_priority"] == 0


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(SettingUnknownError, match="nothing"):
        get_setting("nothing.here")


@pytest.mark.parametrize(("zone", "is_fine"), [("Europe/Berlin", True), ("UTC", True), ("Mars/Olympus", False)])
def test_a_time_zone_is_one_of_the_database(zone: str, is_fine: bool) -> None:
    assert (get_setting("timezone").faults(zone) == []) is is_fine


def test_reference_to_secret_is_shown_and_value_is_masked() -> None:
    secret = make("weather.key", "", schema={"type": "string"}, is_secret=True, host_of="weather.url")
    assert (secret.shown("s3cret"), secret.shown("")) == (MASK, "")
    assert secret.shown(secret.own_reference) == "{{ secrets.weather_key }}"


def test_secret_setting_without_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, "weather", make("weather.key", "", schema={"type": "string"}, is_secret=True))
    with pytest.raises(SettingsInvalidError, match="host_of"):
        all_settings()


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"enum": ["a", "b"]}, "ChoiceField"),
        ({"type": "boolean"}, "BooleanField"),
        ({"type": "integer"}, "IntegerField"),
        ({"type": ["integer", "null"]}, "IntegerField"),
        ({"type": "string"}, "CharField"),
        ({"type": "array"}, "StrictJSONField"),
    ],
)
def test_the_form_field_fits_the_schema(schema: dict[str, object], field: str) -> None:
    assert type(field_of(make("weather.unit", schema=schema))).__name__ == field
