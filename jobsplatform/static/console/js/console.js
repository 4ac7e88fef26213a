// The console's own behaviour, in nine parts. Alpine and htmx come with unfold.
"use strict";

// 1. Alpine's CSP build looks up names in data, never among the page's globals. unfold's templates use a
// few global functions; here they become data: two components, and a root with the rest.
document.addEventListener("alpine:init", () => {
	const place = { get pathname() { return window.location.pathname; }, get search() { return window.location.search; } };
	window.Alpine.data("theme", (...args) => ({
		...window.theme(...args),
		window: { location: place },
		getCurrentTab: () => window.getCurrentTab(),
		sortRecords: (event) => window.sortRecords(event),
		moveRecords: (event) => window.moveRecords(event),
	}));
	window.Alpine.data("searchCommand", window.searchCommand);
});
// Alpine rejects the promise of a transition that another one interrupts, and the promise is unhandled.
window.addEventListener("unhandledrejection", (event) => {
	if (event.reason?.isFromCancelledTransition) event.preventDefault();
});

// 2. Live parts: an element with data-live polls by htmx. It does not poll while the page is hidden, while text in it is
// selected or the keyboard focus is in it. It keeps what it shows if the ETag is the same, and a note shows its age.
const AMBER_SECONDS = 15;
const RED_SECONDS = 60;
const STOP_POLLING = 286;

// Texts in the reader's language, from the page's layout.
function said(name) {
	return document.getElementById("console-words").dataset[name];
}

function isBusy(part) {
	const selection = window.getSelection();
	const hasSelection = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
	// A swap would lose the keyboard focus.
	const hasFocus = part.contains(document.activeElement) && document.activeElement.matches(":focus-visible");
	const hasDialog = part.querySelector("dialog[open]");
	return document.documentElement.dataset.paused === "true" || document.hidden || hasSelection || hasFocus || hasDialog;
}

function tellAge(part) {
	const note = document.querySelector(`[data-live-age="${part.id}"]`);
	if (!note) return;
	const seconds = Math.round((Date.now() - Number(part.dataset.seenAt)) / 1000);
	note.dataset.age = seconds > RED_SECONDS ? "red" : seconds > AMBER_SECONDS ? "amber" : "fresh";
	note.querySelector("[data-live-words]").textContent =
		seconds <= AMBER_SECONDS ? said("fresh") : said("lastAnswer").replace("%s", seconds);
}

document.addEventListener("htmx:beforeRequest", (event) => {
	if (event.target.matches("[data-live]") && isBusy(event.target)) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
	const part = event.target;
	if (!part.matches("[data-live]")) return;
	const { status } = event.detail.xhr;
	// Text that was selected since the request, or a dialog that was opened, stays.
	if (status !== STOP_POLLING && isBusy(part)) {
		event.detail.shouldSwap = false;
		return;
	}
	const tag = event.detail.xhr.getResponseHeader("ETag");
	part.dataset.seenAt = Date.now();
	// After the end of a session the response is the log-in page: load the whole page instead of showing it inside.
	if (!tag && status === 200) window.location.reload();
	// The last response: htmx stops polling if it is swapped in. Its age has no meaning.
	if (status === STOP_POLLING) document.querySelector(`[data-live-age="${part.id}"]`)?.remove();
	else if (!tag || tag === part.dataset.etag) event.detail.shouldSwap = false;
	if (event.detail.shouldSwap) part.dataset.etag = tag;
});

window.addEventListener("load", () => {
	const parts = [...document.querySelectorAll("[data-live]")];
	for (const part of parts) part.dataset.seenAt = Date.now();
	if (parts.length) setInterval(() => parts.forEach(tellAge), 1000);
});

// 3. Icons are rendered by the names of their ligatures, which a screen reader would speak. Beside text they are hidden
// from it, alone they get a label; and elements that react only to clicks are made to react to the keyboard.
const ICON_WORDS = { balance: "home", dock_to_right: "navigation", arrow_back: "back", close: "close", add: "add", delete: "delete", search: "find" };

function wordsOf(icon) {
	const name = icon.textContent.trim();
	return name in ICON_WORDS ? said(ICON_WORDS[name]) : name.replaceAll("_", " ");
}

function nameIcons(root) {
	for (const icon of root.querySelectorAll(".material-symbols-outlined:not([aria-hidden], [role])")) {
		const control = icon.closest("a, button");
		if (!control && icon.hasAttribute("x-on:click")) {
			icon.setAttribute("role", "button");
			icon.setAttribute("tabindex", "0");
			icon.setAttribute("aria-label", wordsOf(icon));
			continue;
		}
		icon.setAttribute("aria-hidden", "true");
		const isAlone = control && control.textContent.trim() === icon.textContent.trim();
		if (isAlone && !control.hasAttribute("aria-label")) control.setAttribute("aria-label", control.title || wordsOf(icon));
	}
}

document.addEventListener("DOMContentLoaded", () => {
	nameIcons(document);
	for (const opener of document.querySelectorAll("div[x-on\\:click*=opencommand]")) {
		opener.setAttribute("role", "button");
		opener.setAttribute("tabindex", "0");
		opener.setAttribute("aria-label", said("search"));
	}
});
document.addEventListener("htmx:load", (event) => nameIcons(event.target));
document.addEventListener("keydown", (event) => {
	if (!["Enter", " "].includes(event.key) || !event.target.matches("[role=button]:not(button)")) return;
	event.preventDefault();
	event.target.click();
});

// 4. The keyboard: g then a letter goes to a page; never inside a field.
const PLACES = { o: "overview", j: "jobs", d: "failures", q: "queues", w: "workers", s: "schedules", t: "tenants", p: "plans", f: "fairness", a: "alerts", l: "audit" };
let isGoing = false;

document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.target.closest("input, textarea, select, [contenteditable]")) return;
	if (isGoing) {
		isGoing = false;
		// A letter after g is not another shortcut.
		event.preventDefault();
		event.stopPropagation();
		const link = document.querySelector(`[data-place="${PLACES[event.key]}"]`);
		if (link) window.location.assign(link.href);
	} else if (event.key === "g") {
		isGoing = true;
		setTimeout(() => { isGoing = false; }, 1500);
	}
});

// 5. The list of jobs: a job beside the list without leaving it, with a URL of its own; `/` goes to the query box.
let peekOpener = null;

function showPeek(link) {
	const peek = document.getElementById("job-peek");
	const place = new URL(window.location.href);
	place.searchParams.set("peek", link.dataset.peek.match(/[0-9a-f-]{36}/)[0]);
	window.history.replaceState(null, "", place);
	peekOpener = link;
	peek.querySelector("[data-peek-page]").href = link.href;
	peek.hidden = false;
	peek.focus();
	window.htmx.ajax("GET", link.dataset.peek, { target: "#job-peek-body", swap: "innerHTML" });
}

function closePeek() {
	const place = new URL(window.location.href);
	place.searchParams.delete("peek");
	window.history.replaceState(null, "", place);
	document.getElementById("job-peek").hidden = true;
	document.getElementById("job-peek-body").replaceChildren();
	if (peekOpener) peekOpener.focus();
}

document.addEventListener("click", (event) => {
	if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
	const opener = event.target.closest("[data-peek]");
	if (!opener && !event.target.closest("[data-peek-close]")) return;
	event.preventDefault();
	if (opener) showPeek(opener);
	else closePeek();
});

document.addEventListener("keydown", (event) => {
	const peek = document.getElementById("job-peek");
	if (event.key === "Escape" && peek && !peek.hidden) closePeek();
	const box = document.querySelector("[data-query]");
	if (event.key !== "/" || !box || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.target.closest("input, textarea, select, [contenteditable]")) return;
	event.preventDefault();
	box.focus();
});

// 6. Rows of a form: the shares of a CFS plan's tiers follow what is typed, and a bin asks before it marks a saved row.
function tellShares() {
	const queueOf = (row) => row.querySelector("[name^=tiers-][name$=-queue]")?.value;
	const rows = [...document.querySelectorAll("tr:has([data-tier-share]):not(:has(.delete:checked))")].filter(queueOf);
	// As in the dispatcher, tiers of one queue have one weight.
	const weights = new Map(rows.map((row) => [queueOf(row), Number(row.querySelector("[name$=-weight]").value) || 0]));
	const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0) || 1;
	for (const row of rows) {
		const percent = (100 * weights.get(queueOf(row))) / total;
		row.querySelector("[data-tier-share]").textContent = `${percent.toFixed(percent && percent < 10 ? 1 : 0)} %`;
	}
}

document.addEventListener("input", (event) => {
	if (event.target.matches("[name^=tiers-]")) tellShares();
});

document.addEventListener("click", (event) => {
	if (!event.target.matches("input.delete") || !event.target.checked) return;
	const named = event.target.closest("tr, .form-group")?.querySelector("select, input[type=text]");
	const name = named?.selectedOptions?.[0]?.textContent ?? named?.value ?? "";
	if (!window.confirm(said("remove").replace("%s", name.trim()))) event.preventDefault();
});

// 7. A button that fills in a field, as if it were typed.
document.addEventListener("click", (event) => {
	const button = event.target.closest("[data-fill]");
	if (!button) return;
	const field = document.getElementById(button.dataset.fill);
	field.value = button.dataset.value;
	field.dispatchEvent(new Event("input", { bubbles: true }));
});

// 8. Dialogs of actions: a button with data-opens shows its dialog; the browser holds the focus in it and closes it on Escape.
document.addEventListener("click", (event) => {
	const opener = event.target.closest("[data-opens]");
	if (opener) document.getElementById(opener.dataset.opens).showModal();
	else event.target.closest("[data-closes]")?.closest("dialog").close();
});
// A link to an action opens its dialog.
const linkedDialog = () => document.getElementById(window.location.hash.slice(1))?.closest("dialog");
window.addEventListener("load", () => linkedDialog()?.showModal());
// From the palette on the same page: the page is loaded again, which also closes the palette.
window.addEventListener("hashchange", () => { if (linkedDialog()) window.location.reload(); });

// 9. Times in the viewer's zone and language, relative to now; lists as cards need the names of their columns.
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const LANGUAGE = document.documentElement.lang || "en";
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { style: "short" });
const absolute = new Intl.DateTimeFormat(LANGUAGE, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" });
const minute = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(LANGUAGE, { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

function sinceNow(at) {
	const seconds = Math.round((at - Date.now()) / 1000);
	const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) || UNITS.at(-1);
	return relative.format(Math.trunc(seconds / length), unit);
}

const FORMS = { relative: sinceNow, absolute: (at) => absolute.format(at), clock: (at) => clock.format(at), minute: (at) => minute.format(at), day: (at) => day.format(at) };

function showTimes(root) {
	for (const element of root.querySelectorAll("time[data-moment]")) {
		const at = new Date(element.dateTime);
		const text = FORMS[element.dataset.moment](at);
		if (element.textContent !== text) element.textContent = text;
		element.title = element.dataset.moment === "absolute" ? sinceNow(at) : absolute.format(at);
	}
}

function nameCells(root) {
	for (const table of root.querySelectorAll(".result-list, .console-table")) {
		const names = [...table.querySelectorAll("thead tr:last-child th")].map((head) => head.textContent.trim());
		for (const cell of table.querySelectorAll("tbody td:not([colspan])")) {
			const name = names[cell.cellIndex];
			if (name && cell.cellIndex) cell.dataset.label = name;
		}
	}
}

document.addEventListener("DOMContentLoaded", () => {
	const zone = document.querySelector("[data-zone]:not(template)");
	if (zone) zone.textContent = said("zone").replace("%s", Intl.DateTimeFormat().resolvedOptions().timeZone);
	showTimes(document);
	nameCells(document);
	setInterval(() => { if (!document.hidden) showTimes(document); }, 10_000);
});
document.addEventListener("htmx:load", (event) => { showTimes(event.target); nameCells(event.target); });
