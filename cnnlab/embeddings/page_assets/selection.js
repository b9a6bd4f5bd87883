// The images that the lasso caught: their number, their classes, and their names as text or as a CSV file.

import { rangeOf } from "./colours.js";
import { showBars, showPieces } from "./details.js";
import { counts } from "./legend.js";
import { brief, STRINGS } from "./strings.js";

const $ = (id) => document.getElementById(id);
const PIECES = 60; // thumbnails that are shown
const BARS = 12; // categories that are shown
const FORMULA = /^[=+\-@\t\r]/; // spreadsheets compute what begins like this

export function indicesOf(selected) {
  return [...selected.keys()].filter((i) => selected[i]);
}

function cell(text) {
  const safe = FORMULA.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// Returns a CSV file of images: their names and all columns; an unknown value is empty.
export function csvOf(points, images) {
  const value = (column, i) => {
    const own = column.values[i];
    return column.kind === "numbers" ? (Number.isFinite(own) ? String(own) : "") : column.labels[own] ?? "";
  };
  const rows = [[STRINGS.nameColumn, ...points.columns.map(({ name }) => name)]];
  rows.push(...images.map((i) => [points.names[i], ...points.columns.map((column) => value(column, i))]));
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

// Copies text; without the right to use the clipboard, by a selected text field.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function save(text, name) {
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" })); // the mark says UTF-8
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function showShares(points, images, column) {
  const table = $("shares");
  if (!column || !images.length) {
    showBars(table, "", []);
  } else if (column.kind === "categories") {
    const among = new Set(images);
    const numbers = counts(column, (i) => among.has(i));
    const rows = numbers.map((number, key) => [column.labels[key] ?? STRINGS.unknown, number / images.length, number]);
    const some = rows.filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1]);
    const rest = some.length - BARS;
    showBars(table, STRINGS.shares(column.name) + (rest > 0 ? ` (${STRINGS.more(rest)})` : ""),
      some.slice(0, BARS).map(([label, share, number]) => [label, share, `${number} · ${STRINGS.percent(share)}`]));
  } else {
    const values = images.map((i) => column.values[i]).filter(Number.isFinite);
    const [low, high] = rangeOf(column.values);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const rows = [[STRINGS.low, rangeOf(values)[0]], [STRINGS.middle, mean], [STRINGS.high, rangeOf(values)[1]]];
    showBars(table, STRINGS.spread(column.name),
      values.length ? rows.map(([label, value]) => [label, (value - low) / (high - low || 1), brief(value)]) : []);
  }
}

// Shows the selection; `column` is the one that colours the map.
export function showSelection(selected, column, options) {
  $("selection").hidden = !selected;
  if (!selected) {
    return;
  }
  const { points } = options;
  const images = indicesOf(selected);
  $("selection-count").textContent = images.length
    ? STRINGS.selected(images.length, points.number) : STRINGS.selectedNone;
  $("copy").disabled = $("download").disabled = !images.length;
  $("copy").textContent = STRINGS.copy;
  showShares(points, images, column);
  showPieces($("selected"), images.slice(0, PIECES), options);
  if (images.length > PIECES) {
    $("selected").append(Object.assign(document.createElement("p"), {
      className: "hint", textContent: STRINGS.more(images.length - PIECES),
    }));
  }
  $("copy").onclick = async () => {
    const done = await copy(images.map((i) => points.names[i]).join("\n"));
    $("copy").textContent = done ? STRINGS.copied(images.length) : STRINGS.notCopied;
  };
  $("download").onclick = () => save(csvOf(points, images), STRINGS.file);
}
