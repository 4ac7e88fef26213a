"""What a person must see of a page's controls: fields that stand out from their ground, actions that are in sight."""

from __future__ import annotations

from playwright.sync_api import Page

FAULTS = """() => {
    const shown = (element) => element.getClientRects().length && getComputedStyle(element).visibility === "visible";
    const opaque = (color) => color !== "transparent" && !/,\\s*0\\)$|\\/\\s*0\\)$/.test(color);
    const groundOf = (element) => {
        for (let at = element.parentElement; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (opaque(color)) return color;
        }
        return "rgb(255, 255, 255)";
    };
    const name = (element) => element.name || element.id || element.textContent.trim().slice(0, 40);
    const plain = ["hidden", "checkbox", "radio", "submit", "button", "reset", "range"];
    const faults = [];
    for (const field of document.querySelectorAll("input, select, textarea")) {
        if (!shown(field) || plain.includes(field.type)) continue;
        const ground = groundOf(field);
        const style = getComputedStyle(field);
        const line = style.borderTopColor;
        const hasBorder = parseFloat(style.borderTopWidth) > 0 && opaque(line) && line !== ground;
        const box = getComputedStyle(field.parentElement);
        const isBoxed = parseFloat(box.borderTopWidth) > 0 && opaque(box.borderTopColor);
        if (!hasBorder && !isBoxed && !(opaque(style.backgroundColor) && style.backgroundColor !== ground))
            faults.push(`no border or ground of its own: ${name(field)}`);
    }
    for (const action of document.querySelectorAll("main :is(button, [role=button], .console-button)")) {
        if (!shown(action)) continue;
        for (let at = action.parentElement; at; at = at.parentElement) {
            if (!["auto", "scroll"].includes(getComputedStyle(at).overflowX)) continue;
            const [inner, outer] = [action.getBoundingClientRect(), at.getBoundingClientRect()];
            if (inner.right + at.scrollLeft > outer.right + 1) faults.push(`outside its scroller: ${name(action)}`);
            break;
        }
    }
    return faults;
}"""


def find_hidden_controls(page: Page) -> list[str]:
    """Return the fields without a border or a ground of their own, and the actions outside their scroller."""
    found: list[str] = page.evaluate(FAULTS)
    return found
