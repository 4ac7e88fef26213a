"""Walks over a page's own part by the Tab key: every control is reached, and the focused one is marked."""

from __future__ import annotations

from playwright.sync_api import Page

# Hidden controls are reachable when their container is open.
CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'], [role=button]"
# Keys per round trip, and the maximum of a walk.
CHUNK, STEPS = 25, 1_000
PREPARE = """() => {
    const still = new CSSStyleSheet();
    still.replaceSync("*, ::before, ::after { transition: none !important; animation: none !important }");
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, still];
    document.documentElement.dataset.paused = "true";  // a refreshed part would lose the focus
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgb = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (color) => {
        const linear = (part) => (part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        const [red, green, blue] = color.map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const groundOf = (element) => {
        for (let at = element.parentElement; at; at = at.parentElement) {
            const color = rgb(getComputedStyle(at).backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255, 255];
    };
    const isMarked = (element) => {
        const style = getComputedStyle(element);
        if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) return false;
        const [line, ground] = [rgb(style.outlineColor), groundOf(element)];
        const [dark, bright] = [light(line), light(ground)].sort((one, other) => one - other);
        return line[3] > 0 && (bright + 0.05) / (dark + 0.05) >= 3;
    };
    const walk = { main: document.getElementById("main"), last: null, reached: new Set(), unmarked: [], isDone: false };
    window.tabWalk = walk;
    window.addEventListener("keydown", (event) => {
        const at = document.activeElement;
        if (event.key !== "Tab" || walk.isDone || at === walk.main) return;
        if (at === walk.last) return;  // a field of a date has several stops
        walk.isDone = !walk.main.contains(at) || walk.reached.has(at);
        if (walk.isDone) return;
        walk.last = at;
        walk.reached.add(at);
        if (!isMarked(at)) walk.unmarked.push(at.outerHTML.slice(0, 160));
    }, true);
}"""
FAULTS = """(controls) => {
    const { main, reached, unmarked } = window.tabWalk;
    const isControl = (one) => one.tabIndex >= 0 || one.getAttribute("role") === "button";
    const isInOrder = (one) => isControl(one) && !(one.type === "radio" && !one.checked);
    const isShown = (one) => !one.disabled && one.checkVisibility({ visibilityProperty: true });
    const shown = [...main.querySelectorAll(controls)].filter((one) => isShown(one) && isInOrder(one));
    return [
        ...unmarked.map((one) => `focused without a mark: ${one}`),
        ...shown.filter((one) => !reached.has(one)).map((one) => `not reached by Tab: ${one.outerHTML.slice(0, 160)}`),
    ];
}"""
SETTLED = "() => !document.querySelector('.htmx-request')"


def find_unreached_controls(page: Page) -> list[str]:
    """Enter the page's own part by the skip link and press Tab to its end; return the faults."""
    page.wait_for_function(SETTLED)
    page.evaluate(PREPARE)
    skip = page.locator("a.console-skip")
    skip.focus()
    page.keyboard.press("Enter")
    if not page.evaluate("document.activeElement === window.tabWalk.main"):
        return ["the skip link does not lead to the page's own part"]
    for _ in range(STEPS // CHUNK):
        for _ in range(CHUNK):
            page.keyboard.press("Tab")
        if page.evaluate("window.tabWalk.isDone"):
            found: list[str] = page.evaluate(FAULTS, CONTROLS)
            return found
    return [f"the page's own part does not end after {STEPS} steps"]
