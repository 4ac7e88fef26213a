// Keyboard shortcuts in lists and on pages; `g` and a letter are in console.js, `/ f ?` and Ctrl K are unfold's too.
// Off inside fields. Moving moves the focus, so that Enter opens the row and a screen reader reads it.
"use strict";

const FIELDS = "input, textarea, select, [contenteditable]";
const ROWS = "#result_list tr, .console-table tbody tr";
const ACTS = ".console-actions button, select[name=action]";

function isShown(element) {
	return element.getClientRects().length > 0;
}

function links() {
	return [...document.querySelectorAll(ROWS)].map((row) => row.querySelector("th a[href], td a[href]")).filter((link) => link && isShown(link));
}

function move(steps) {
	const all = links();
	const row = document.activeElement.closest(ROWS);
	const at = all.findIndex((link) => link.closest(ROWS) === row);
	const next = all[at < 0 ? (steps > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + steps, 0), all.length - 1)];
	if (next) next.focus();
	return Boolean(next);
}

function press(selector) {
	const row = document.activeElement.closest(ROWS);
	const control = row && row.querySelector(selector);
	if (control) control.click();
	return Boolean(control);
}

function focusActs() {
	const act = [...document.querySelectorAll(ACTS)].find(isShown);
	if (act) act.focus();
	return Boolean(act);
}

function togglePause() {
	const root = document.documentElement;
	root.dataset.paused = root.dataset.paused !== "true";
	document.getElementById("console-paused").hidden = root.dataset.paused !== "true";
	return true;
}

function search() {
	if (document.getElementById("searchbar") || document.querySelector("[data-query]")) return false;
	window.dispatchEvent(new CustomEvent("opencommand"));
	return true;
}

const KEYS = {
	j: () => move(1),
	k: () => move(-1),
	x: () => press("input.action-select"),
	" ": () => press("[data-peek]"),
	r: () => { window.location.reload(); return true; },
	".": focusActs,
	p: togglePause,
	"/": search,
};

document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
	if (event.target.closest(FIELDS)) {
		// unfold listens at the window and excludes inputs only: a letter in a select element is no shortcut.
		if (event.key.length === 1) event.stopPropagation();
		return;
	}
	const act = KEYS[event.key];
	if (act && act()) event.preventDefault();
});
