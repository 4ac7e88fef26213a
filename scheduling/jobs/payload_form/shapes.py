"""The shape of a payload's form: which control each part of a JSON Schema gets. Depth and number are bounded.

A part without a control of its own, such as a choice of schemas, is entered as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from django.utils.translation import gettext as _

# The format of a text that is the id of a stored file, which the form uploads.
FILE_FORMAT: Final = "stored-file"
MAX_DEPTH: Final = 4
MAX_CONTROLS: Final = 200
MAX_CHOICES: Final = 200
# A longer text has several lines.
_LINE_CHARACTERS: Final = 255
_UNSHOWN: Final = frozenset({"anyOf", "oneOf", "allOf", "not", "if", "patternProperties", "prefixItems"})
_MAX_REFERENCES: Final = 10


def write_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON with its letters unescaped."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


class Widget(StrEnum):
    """A kind of control: one input, or a group, list or map of other controls."""

    LINE = "line"
    LINES = "lines"
    NUMBER = "number"
    CHOICE = "choice"
    DATE = "date"
    MOMENT = "moment"
    FILE = "file"
    JSON = "json"
    GROUP = "group"
    LIST = "list"
    MAP = "map"


_TYPES: Final = {Widget.NUMBER: "number", Widget.DATE: "date", Widget.MOMENT: "datetime-local"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The control of one part of a schema; ``item`` is the shape of the rows of a list or map.

    ``takes_secrets``: its texts may contain references to secrets. A text for which ``is_reference`` returns True may
    be entered in the place of any value.
    """

    widget: Widget
    schema: Mapping[str, Any]
    label: str = ""
    is_required: bool = True
    is_nullable: bool = False
    takes_secrets: bool = False
    is_reference: Callable[[str], bool] | None = None
    members: Mapping[str, Shape] = field(default_factory=dict)
    item: Shape | None = None

    @property
    def is_composed(self) -> bool:
        """Return whether the control consists of others."""
        return self.widget in (Widget.GROUP, Widget.LIST, Widget.MAP)

    def refers(self, value: Any) -> bool:
        """Return whether the value is a reference, which stands for a value that is not known yet."""
        return self.is_reference is not None and isinstance(value, str) and self.is_reference(value)

    @property
    def has_files(self) -> bool:
        """Return whether the form may upload a file."""
        inner = [*self.members.values(), *([self.item] if self.item else ())]
        return self.widget is Widget.FILE or any(shape.has_files for shape in inner)

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Return the JSON of each value that may be chosen, and the text that is shown for it."""
        if self.widget is not Widget.CHOICE:
            return []
        if not {"enum", "const"} & self.schema.keys():
            return [("true", _("Yes")), ("false", _("No"))]
        values = self.schema.get("enum") or [self.schema.get("const")]
        return [(write_json(value), value if isinstance(value, str) else write_json(value)) for value in values]

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes of an HTML input for a value."""
        schema = self.schema
        found: dict[str, Any] = {"type": _TYPES.get(self.widget, "text")}
        if self.is_reference is not None:
            # A browser takes a reference only in a text.
            return {"type": "text"}
        if self.widget is Widget.NUMBER:
            found |= {"min": schema.get("minimum"), "max": schema.get("maximum")}
            found["step"] = 1 if schema.get("type") == "integer" else "any"
        elif self.widget is Widget.MOMENT:
            found["step"] = 1
        elif self.widget is Widget.LINE:
            found["maxlength"] = schema.get("maxLength")
        return {name: value for name, value in found.items() if value is not None}

    @property
    def help(self) -> str:
        """Return the schema's description, and what a value must be."""
        schema, hint = self.schema, ""
        least, most = schema.get("minimum"), schema.get("maximum")
        match self.widget:
            case Widget.NUMBER if least is not None and most is not None:
                hint = _("From %(least)s to %(most)s.") % {"least": least, "most": most}
            case Widget.NUMBER if (least, most) != (None, None):
                bound = {"bound": most if least is None else least}
                hint = _("At most %(bound)s.") % bound if least is None else _("At least %(bound)s.") % bound
            case Widget.MOMENT:
                hint = _("In UTC.")
            case Widget.JSON:
                hint = _("As JSON.")
            case Widget.LINE if schema.get("format") == "uuid":
                hint = _("A UUID.")
        return f"{schema.get('description', '')} {hint}".strip()


def shape_of(
    schema: Any, secret_fields: Collection[str] = (), *, is_reference: Callable[[str], bool] | None = None
) -> Shape:
    """Return the shape of payloads of the schema; ``secret_fields`` are the members that may refer to secrets.

    Texts for which ``is_reference`` returns True may stand for any value.
    """
    root = schema if isinstance(schema, Mapping) else {}
    return _Shaper(root, secret_fields, is_reference).shape(schema, depth=0)


class _Shaper:
    """One pass over a schema; ``left`` is the number of controls that may still be made."""

    def __init__(
        self, root: Mapping[str, Any], secret_fields: Collection[str], is_reference: Callable[[str], bool] | None
    ) -> None:
        self.root = root
        self.secret_fields = secret_fields
        self.is_reference = is_reference
        self.left = MAX_CONTROLS

    def shape(self, schema: Any, *, depth: int, is_secret: bool = False, **facts: Any) -> Shape:
        schema, is_nullable = self._simplified(schema)
        widget = self._widget(schema, depth)
        if is_secret and widget is Widget.LINES:
            # An input of one line can suggest the references.
            widget = Widget.LINE
        facts |= {"takes_secrets": is_secret, "is_nullable": is_nullable, "is_reference": self.is_reference}
        if widget is Widget.GROUP:
            properties, required = schema["properties"], schema.get("required", ())
            self.left -= len(properties)
            facts["members"] = {
                name: self.shape(
                    part,
                    depth=depth + 1,
                    is_secret=is_secret or (not depth and name in self.secret_fields),
                    label=name,
                    is_required=name in required,
                )
                for name, part in properties.items()
            }
        elif widget in (Widget.LIST, Widget.MAP):
            item = schema["items" if widget is Widget.LIST else "additionalProperties"]
            facts["item"] = self.shape(item, depth=depth + 1, is_secret=is_secret)
        return Shape(widget, schema, **facts)

    def _simplified(self, schema: Any) -> tuple[Mapping[str, Any], bool]:
        """Return the schema with its reference followed and without null, and whether null is allowed."""
        for _step in range(_MAX_REFERENCES):
            if not isinstance(schema, Mapping):
                return {}, False
            if not (path := schema.get("$ref", "")).startswith("#/"):
                break
            schema = self._at(path)
        types, options = schema.get("type"), schema.get("anyOf")
        if isinstance(types, list) and "null" in types:
            left = [name for name in types if name != "null"]
            return {**schema, "type": left[0] if len(left) == 1 else left}, True
        if isinstance(options, list) and len(options) == 2 and {"type": "null"} in options:
            other = next(option for option in options if option != {"type": "null"})
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return {**self._simplified(other)[0], **rest}, True
        return schema, False

    def _at(self, path: str) -> Any:
        part: Any = self.root
        for token in path.removeprefix("#/").split("/"):
            part = part.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(part, Mapping) else None
        return part

    def _widget(self, schema: Mapping[str, Any], depth: int) -> Widget:
        if not _UNSHOWN.isdisjoint(schema) or "$ref" in schema:
            return Widget.JSON
        if depth and {"enum", "const"} & schema.keys():
            return Widget.CHOICE if len(schema.get("enum", ())) <= MAX_CHOICES else Widget.JSON
        match schema.get("type"):
            case "boolean":
                return Widget.CHOICE
            case "integer" | "number":
                return Widget.NUMBER
            case "string":
                return _widget_of_text(schema)
            case "array" if depth <= MAX_DEPTH and isinstance(schema.get("items"), Mapping):
                return Widget.LIST
            case "object" if depth <= MAX_DEPTH:
                return self._widget_of_object(schema)
        return Widget.JSON

    def _widget_of_object(self, schema: Mapping[str, Any]) -> Widget:
        properties = schema.get("properties")
        if properties:
            return Widget.GROUP if len(properties) <= self.left else Widget.JSON
        return Widget.MAP if isinstance(schema.get("additionalProperties"), Mapping) else Widget.JSON


def _widget_of_text(schema: Mapping[str, Any]) -> Widget:
    match schema.get("format"):
        case "date":
            return Widget.DATE
        case "date-time":
            return Widget.MOMENT
        case value if value == FILE_FORMAT:
            return Widget.FILE
    is_short = schema.get("maxLength", _LINE_CHARACTERS + 1) <= _LINE_CHARACTERS
    return Widget.LINE if is_short or {"pattern", "format"} & schema.keys() else Widget.LINES
