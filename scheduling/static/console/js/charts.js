// The charts with axes of the first page. They stand outside of what is swapped, and are updated in place: each swap
// brings the numbers in an element with data-series. Words in the reader's language: `said`, of console.js.
"use strict";

(() => {
	const charts = new Map();

	const colour = (name) => getComputedStyle(document.querySelector(".console")).getPropertyValue(name).trim();

	function duration(seconds) {
		if (seconds < 1) return said("ms").replace("%s", Math.round(seconds * 1000));
		if (seconds < 120) return said("seconds").replace("%s", Math.round(seconds * 10) / 10);
		if (seconds < 7200) return said("minutes").replace("%s", Math.round(seconds / 60));
		return said("hours").replace("%s", Math.round(seconds / 360) / 10);
	}

	function bars(series) {
		return [
			{ label: said("completed"), values: series.completed, fill: "--fill-good" },
			{ label: said("failed"), values: series.failed, fill: "--fill-bad" },
		].map(({ label, values, fill }) => ({ label, data: values, backgroundColor: colour(fill), stack: "ended" }));
	}

	function lines(series) {
		return [
			{ label: "p50", dash: [], fill: "--fill-good" },
			{ label: "p95", dash: [6, 3], fill: "--fill-busy" },
			{ label: "p99", dash: [2, 3], fill: "--fill-warn" },
		].map(({ label, dash, fill }) => ({
			label, data: series[label], borderColor: colour(fill), backgroundColor: colour(fill),
			borderDash: dash, borderWidth: 2, pointRadius: 1.5, spanGaps: false,
		}));
	}

	function options(toWords, isStacked) {
		const ink = colour("--ink-soft"), line = colour("--line");
		const toLabel = (item) => `${item.dataset.label}: ${toWords(item.parsed.y)}`;
		return {
			animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
			plugins: { legend: { display: false }, tooltip: { callbacks: { label: toLabel } } },
			scales: {
				x: { stacked: isStacked, grid: { display: false }, ticks: { color: ink, maxTicksLimit: 7, maxRotation: 0 } },
				y: {
					stacked: isStacked, beginAtZero: true, border: { display: false },
					grid: { color: line }, ticks: { color: ink, maxTicksLimit: 5, callback: toWords, ...(isStacked && { precision: 0 }) },
				},
			},
		};
	}

	const KINDS = {
		ended: { type: "bar", datasets: bars, options: () => options((value) => value.toLocaleString(document.documentElement.lang), true), summary: "ended_summary" },
		waits: { type: "line", datasets: lines, options: () => options(duration, false), summary: "waits_summary" },
	};

	function draw() {
		const source = document.querySelector("[data-series]");
		if (!source || !window.Chart) return;
		const series = JSON.parse(source.dataset.series);
		for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
			const name = canvas.dataset.chart, kind = KINDS[name];
			const data = { labels: series.labels, datasets: kind.datasets(series) };
			const chart = charts.get(name);
			if (chart) {
				chart.data.labels = data.labels;
				chart.data.datasets.forEach((dataset, index) => Object.assign(dataset, data.datasets[index]));
				chart.options = kind.options();
				chart.update("none");
			} else charts.set(name, new window.Chart(canvas, { type: kind.type, data, options: kind.options() }));
			const summary = series[kind.summary], words = document.querySelector(`[data-chart-summary="${name}"]`);
			canvas.setAttribute("aria-label", summary);
			if (words && words.textContent !== summary) words.textContent = summary;
		}
	}

	document.addEventListener("DOMContentLoaded", draw);
	document.addEventListener("htmx:afterSwap", (event) => { if (event.target.id === "overview") draw(); });
	// The other theme has other colours.
	new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
})();
