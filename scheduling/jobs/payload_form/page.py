"""The part of a console form that enters a payload, drawn again after a change of its rows, its tab or its kind."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.forms import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from scheduling.jobs.payload_form.fields import FIELDS_MODE, JSON_MODE, Entered, PayloadField, PayloadWidget
from scheduling.jobs.payload_form.shapes import write_json
from scheduling.jobs.payload_form.values import ROWS, read_inputs, with_row_changed
from tenants.access.caller import Access, access_of
from tenants.console.keyset import parse_uuid
from tenants.models import Tenant

MAX_NAME_CHARACTERS = 100


def payload_view(request: HttpRequest) -> HttpResponse:
    """Return the HTML of the posted payload after the act of the pressed button.

    The URL names the payload's field, and its kind or the field of its kind (`kind_field`).
    """
    given = {key: str(value)[:MAX_NAME_CHARACTERS] for key, value in request.GET.items()}
    if not (name := given.get("name", "")):
        raise BadRequest(_("`name` must be the name of a payload's field."))
    kind = request.POST.get(given["kind_field"], "") if given.get("kind_field") else given.get("kind", "")
    access, field = access_of(request), PayloadField(required=False)
    tenant = tenant_of(access, given.get("tenant") or request.POST.get("tenant", ""))
    field.use(kind[:MAX_NAME_CHARACTERS], tenant=tenant, access=access)
    return redraw(request, field, name)


def redraw(request: HttpRequest, field: PayloadField, name: str) -> HttpResponse:
    """Return the HTML of the posted value of a field after the act of the pressed button."""
    entered = field.widget.value_from_datadict(request.POST, {}, name)
    focus = ""
    if isinstance(entered, Entered):
        entered, focus = _after(field, entered, request.POST.get(f"{name}-act", ""))
    return HttpResponse(field.widget.draw(name, field.widget.entered(entered), focus=focus))


def tenant_of(access: Access, text: str) -> Tenant | None:
    """Return the caller's tenant; for a caller who sees all tenants the one with the id in the text, if any."""
    if not access.sees_all_tenants:
        return access.tenant
    tenant_id = parse_uuid(text)
    return None if tenant_id is None else Tenant.objects.select_related("plan").filter(pk=tenant_id).first()


def _after(field: PayloadField, entered: Entered, act: str) -> tuple[Entered, str]:
    """Return what the form shows after the act, and the name of the control that gets the focus."""
    widget = field.widget
    if act == FIELDS_MODE and entered.mode == JSON_MODE:
        return _as_fields(field, entered), ""
    if entered.mode != FIELDS_MODE or not act:
        return entered, ""
    if act == JSON_MODE:
        return _as_json(widget, entered), ""
    inputs = dict(with_row_changed(read_inputs(widget.shape, entered.inputs), entered.inputs, act))
    what, _sign, name = act.partition(":")
    focus = f"{name}/{int(inputs[name + ROWS]) - 1}" if what == "add" and name + ROWS in inputs else ""
    return Entered(FIELDS_MODE, inputs=inputs), focus or name.rpartition("/")[0]


def _as_json(widget: PayloadWidget, entered: Entered) -> Entered:
    """Return the JSON of the fields; if one of them cannot be read, the fields with its fault."""
    root = read_inputs(widget.shape, entered.inputs)
    widget.faults = {one.json_path: one.faults for one in root.walk() if one.faults and one.text}
    return entered if widget.faults else Entered(JSON_MODE, text=write_json(root.value, indent=2))


def _as_fields(field: PayloadField, entered: Entered) -> Entered:
    """Return the fields of the JSON; if they cannot hold it, the JSON with the reason."""
    try:
        shown: Entered = field.widget.entered(field.read(entered))
    except ValidationError as error:
        field.widget.faults = {"$": list(error.messages)}
        return entered
    if shown.mode == JSON_MODE:
        field.widget.faults = {"$": [_("The fields cannot hold this payload unchanged. Edit it as JSON.")]}
    return shown
