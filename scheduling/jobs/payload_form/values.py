"""Values of a payload's form: a payload is written into inputs and read from them.

An input is named by the JSON pointer of its value: `/texts/0`. Beside it, `/texts#rows` is the number of rows of a
list or map, `/headers/0#key` the name of a map's member, and `/limit#null` stands for null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from jsonschema.exceptions import ValidationError as SchemaFault

from scheduling.jobs.payload_form.shapes import Shape, Widget, write_json
from tenants.api.strict_json import parse_json
from tenants.exceptions import JsonInvalidError

MISSING: Final = object()
MAX_ROWS: Final = 100
# Below the number of fields that Django takes with one form.
MAX_INPUTS: Final = 600
# More than a form with MAX_INPUTS and another row has; rows within rows multiply.
MAX_READ: Final = 2_000
ROWS, KEY, NULL, FILE = "#rows", "#key", "#null", "#file"

type Path = tuple[str | int, ...]
type Inputs = Mapping[str, Any]


class UnshowableError(ValueError):
    """The error for a payload that the fields cannot hold unchanged; it is edited as JSON."""


@dataclass(slots=True)
class Control:
    """One control of a form, with what was entered; ``path`` is the position of its value in the payload.

    ``value`` is MISSING for a member that is left out. ``key`` is the name of a map's row.
    """

    shape: Shape
    name: str
    path: Path
    text: str = ""
    key: str = ""
    is_null: bool = False
    upload: UploadedFile[bytes] | None = None
    leaf: Any = MISSING
    faults: list[str] = field(default_factory=list)
    rows: list[Control] = field(default_factory=list)
    # For the template alone.
    choices: Sequence[tuple[str, str]] = ()
    attributes: str = ""
    has_focus: bool = False

    @property
    def json_path(self) -> str:
        """Return the position of the value as errors of payloads write it, such as `$.texts[0]`."""
        return str(SchemaFault("", path=self.path).json_path)

    @property
    def is_blank(self) -> bool:
        """Return whether nothing was entered here."""
        if self.shape.widget is Widget.GROUP:
            return all(member.is_blank for member in self.rows)
        return not (self.rows or self.text or self.is_null or self.upload)

    @property
    def value(self) -> Any:
        """Return the value that was entered, or MISSING."""
        if self.is_null:
            return None
        match self.shape.widget:
            case Widget.GROUP:
                found = {str(member.path[-1]): member.value for member in self.rows}
                given = {name: value for name, value in found.items() if value is not MISSING}
                return given if given or self.shape.is_required else MISSING
            case Widget.MAP:
                return self._optional({row.key: row.value for row in self.rows if row.value is not MISSING})
            case Widget.LIST:
                return self._optional([row.value for row in self.rows if row.value is not MISSING])
        return self.leaf

    def walk(self) -> Iterator[Control]:
        """Yield this control and all within it."""
        yield self
        for row in self.rows:
            yield from row.walk()

    def _optional(self, value: Any) -> Any:
        return value if value or self.shape.is_required else MISSING


@dataclass(slots=True)
class _Room:
    """The number of controls that may still be read."""

    left: int = MAX_READ


def read_inputs(shape: Shape, inputs: Inputs) -> Control:
    """Return the controls of a shape with the values of inputs, and a fault at each that cannot be read.

    Rows beyond MAX_READ controls are left out, with a fault at the whole.
    """
    room = _Room()
    root = _read(shape, inputs, "", (), room)
    if room.left <= 0:
        root.faults.append(_("The fields hold at most %(limit)s values; enter more as JSON.") % {"limit": MAX_READ})
    return root


def _read(shape: Shape, inputs: Inputs, name: str, path: Path, room: _Room) -> Control:
    control = Control(shape, name, path, is_null=shape.is_nullable and bool(inputs.get(name + NULL)))
    room.left -= 1
    match shape.widget:
        case Widget.GROUP:
            for member, part in shape.members.items():
                control.rows.append(_read(part, inputs, f"{name}/{_token(member)}", (*path, member), room))
        case Widget.LIST | Widget.MAP:
            _read_rows(control, inputs, room)
        case _:
            control.text = str(inputs.get(name, ""))
            control.upload = inputs.get(name + FILE)
            _read_leaf(control)
    if control.is_null or (control.is_blank and not shape.is_required):
        # What a left-out part requires is not required.
        for inner in control.walk():
            inner.faults.clear()
    return control


def write_inputs(shape: Shape, payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the inputs that hold a payload; raise UnshowableError if reading them would not give it back."""
    inputs: dict[str, str] = {}
    _write(shape, payload, "", inputs)
    # As JSON, in which 1 differs from 1.0 and from true; the order of members does not count.
    found, wanted = (
        json.dumps(value, sort_keys=True, default=str) for value in (read_inputs(shape, inputs).value, payload)
    )
    if len(inputs) > MAX_INPUTS or found != wanted:
        raise UnshowableError
    return inputs


def defaults_of(shape: Shape) -> Any:
    """Return the value that the schema's defaults give, or MISSING without any."""
    if "default" in shape.schema:
        return shape.schema["default"]
    found = {name: defaults_of(part) for name, part in shape.members.items()}
    given = {name: value for name, value in found.items() if value is not MISSING}
    return given or MISSING


def _read_rows(control: Control, inputs: Inputs, room: _Room) -> None:
    item, name, path = control.shape.item, control.name, control.path
    assert item is not None
    count = str(inputs.get(name + ROWS, "0"))
    wanted = int(count) if count.isascii() and count.isdigit() and len(count) < 6 else 0
    if wanted > MAX_ROWS:
        control.faults.append(_("The fields hold at most %(limit)s rows; enter more as JSON.") % {"limit": MAX_ROWS})
    for index in range(min(wanted, MAX_ROWS)):
        if room.left <= 0:
            return
        row_name = f"{name}/{index}"
        key = str(inputs.get(row_name + KEY, ""))
        is_named = control.shape.widget is Widget.MAP
        row = _read(item, inputs, row_name, (*path, key if is_named else index), room)
        row.key = key
        if is_named and (not key or any(other.key == key for other in control.rows)):
            row.faults.append(_("Each row needs a name of its own."))
        control.rows.append(row)


def _read_leaf(control: Control) -> None:
    """Set the value of a control with one input, or its fault."""
    widget = control.shape.widget
    if control.upload is not None:
        # The id of a stored file has this form; the file is stored once all else is valid.
        control.leaf = str(UUID(int=0))
        return
    if not control.text:
        if control.shape.is_required:
            control.faults.append(_("This field is required."))
        return
    if control.shape.refers(control.text):
        control.leaf = control.text
        return
    try:
        control.leaf = _parse(widget, control.text, control.shape)
    except JsonInvalidError as refusal:
        control.faults.append(str(refusal.detail))
    except ValueError as error:
        control.faults.append(str(error))


def _parse(widget: Widget, text: str, shape: Shape) -> Any:
    match widget:
        case Widget.JSON:
            return parse_json(text.encode("utf-8", "replace"))
        case Widget.LINES:
            return text.replace("\r\n", "\n")
        case Widget.NUMBER:
            return _number(text)
        case Widget.CHOICE:
            if text not in dict(shape.choices):
                raise ValueError(_("Choose one of the values."))
            return json.loads(text)
        case Widget.DATE:
            return _dated(date.fromisoformat, text, _("Enter a date, such as 2026-01-31.")).isoformat()
        case Widget.MOMENT:
            moment = _dated(datetime.fromisoformat, text, _("Enter a time, such as 2026-01-31T09:30."))
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return text


def _number(text: str) -> int | float:
    with suppress(JsonInvalidError):
        value = parse_json(text.strip().encode("utf-8", "replace"))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    raise ValueError(_("Enter a number."))


def _dated(parse: Any, text: str, advice: str) -> Any:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        raise ValueError(advice) from None


def _write(shape: Shape, value: Any, name: str, inputs: dict[str, str]) -> None:
    if value is None and shape.is_nullable:
        inputs[name + NULL] = "on"
        return
    if shape.refers(value):
        inputs[name] = value
        return
    match shape.widget:
        case Widget.GROUP if isinstance(value, Mapping):
            for member in shape.members.keys() & value.keys():
                _write(shape.members[member], value[member], f"{name}/{_token(member)}", inputs)
        case Widget.LIST | Widget.MAP if isinstance(value, list | dict) and shape.item is not None:
            inputs[name + ROWS] = str(len(value))
            for index, row in enumerate(value):
                if isinstance(value, dict):
                    inputs[f"{name}/{index}{KEY}"] = _one_line(row)
                _write(shape.item, value[row] if isinstance(value, dict) else row, f"{name}/{index}", inputs)
        case Widget.JSON | Widget.NUMBER | Widget.CHOICE:
            inputs[name] = write_json(value, indent=2 if isinstance(value, list | dict) else None)
        case _:
            text = _one_line(value, "\r" if shape.widget is Widget.LINES else "\r\n")
            inputs[name] = text.removesuffix("Z") if shape.widget is Widget.MOMENT else text


def _one_line(text: Any, refused: str = "\r\n") -> str:
    """Return the text; raise UnshowableError if the input would change it, or if it is none."""
    if not isinstance(text, str) or any(character in text for character in refused):
        raise UnshowableError
    return text


def _token(member: str) -> str:
    return member.replace("~", "~0").replace("/", "~1").replace("#", "~2")


def with_row_changed(root: Control, inputs: Inputs, act: str) -> Inputs:
    """Return the inputs with a row added to a list or map (`add:/texts`), or removed from it (`remove:/texts/0`)."""
    what, _sign, name = act.partition(":")
    place, _sign, _index = (name, "", "") if what == "add" else name.rpartition("/")
    found = next((one for one in root.walk() if one.name == place and one.shape.item is not None), None)
    if found is None or (what == "add" and len(inputs) >= MAX_INPUTS):
        return inputs
    if what == "add":
        return {**inputs, place + ROWS: str(len(found.rows) + 1)}
    kept = [row.name for row in found.rows if row.name != name]
    changed = {key: value for key, value in inputs.items() if not key.startswith(f"{place}/")}
    for number, old in enumerate(kept):
        changed |= {f"{place}/{number}{key[len(old) :]}": inputs[key] for key in inputs if _is_within(key, old)}
    return {**changed, place + ROWS: str(len(kept))}


def _is_within(key: str, name: str) -> bool:
    return key == name or key.startswith((f"{name}/", f"{name}#"))
