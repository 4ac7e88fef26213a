"""Declared settings, and restrictions of a declaration."""

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
    """Declare settings of one more app besides the real ones."""
    monkeypatch.setattr(f"{__name__}.GROUP", SettingGroup("Planted", settings))
    planted = SimpleNamespace(label=label, tenant_settings=f"{__name__}:GROUP")
    monkeypatch.setattr(setting_schema, "apps", SimpleNamespace(get_app_configs=lambda: [*real, planted]))


real = list(apps.get_app_configs())


def make(key: str, default: object = 1, **options: object) -> Setting:
    values = {"title": "T", "help_text": "H", "schema": {"type": "integer"}, "default": default, **options}
    return Setting(key=key, **values)  # type: ignore[arg-type]


def test_settings_of_core_and_plug_ins_are_declared() -> None:
    keys = list(all_settings())
    assert keys[0] == "timezone"
    assert {"jobs.log_level", "retention.finished_jobs_days", "document_indexing.max_chunks"} <= set(keys)


def test_every_setting_has_texts_and_a_valid_default() -> None:
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
def test_declaration_outside_the_namespace_of_its_app_is_refused(
    monkeypatch: pytest.MonkeyPatch, label: str, key: str, default: object
) -> None:
    declare(monkeypatch, label, make(key, default))
    with pytest.raises(SettingsInvalidError):
        all_settings()


def test_duplicate_setting_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, "weather", make("weather.unit"), make("weather.unit"))
    with pytest.raises(SettingsInvalidError):
        all_settings()


def test_setting_of_plug_in_exists_while_its_app_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"weather.unit": 5}
    assert orphaned_keys(stored) == ["weather.unit"]
    declare(monkeypatch, "weather", make("weather.unit"))
    setting_schema.reset()
    assert effective_values(stored)["weather.unit"] == 5
    assert orphaned_keys(stored) == []


def test_stored_value_that_became_invalid_counts_as_unset() -> None:
    assert effective_values({"jobs.default_priority": "high"})["jobs.default_priority"] == 0


def test_unknown_key_is_named_in_the_error() -> None:
    with pytest.raises(SettingUnknownError, match="nothing"):
        get_setting("nothing.here")


@pytest.mark.parametrize(("zone", "is_fine"), [("Europe/Berlin", True), ("UTC", True), ("Mars/Olympus", False)])
def test_time_zone_must_exist_in_the_tz_database(zone: str, is_fine: bool) -> None:
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
def test_form_field_follows_from_the_schema(schema: dict[str, object], field: str) -> None:
    assert type(field_of(make("weather.unit", schema=schema))).__name__ == field
