// The legend: categories that can be hidden, or the scale of numbers.

import { css, onScale, parse } from "./colours.js";
import { brief, count, STRINGS } from "./strings.js";

const STOPS = 24; // of the drawn scale

function element(name, properties = {}, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

function swatch(colour) {
  const made = element("span", { className: "swatch" });
  made.style.background = colour;
  return made;
}

// How many images have each category; the last number is that of unknown ones.
export function counts(column, counted = () => true) {
  const numbers = new Array(column.labels.length + 1).fill(0);
  column.values.forEach((value, i) => { numbers[value] += counted(i) ? 1 : 0; });
  return numbers;
}

function categories(root, points, column, { palette }, hidden, changed) {
  const numbers = counts(column);
  const keys = [...column.labels.keys(), ...(numbers.at(-1) ? [column.labels.length] : [])];
  const colour = (key) => css(key < column.labels.length ? palette[key % (palette.length - 1)] : palette.at(-1));
  const list = element("ul", { className: "legend" });
  list.setAttribute("aria-label", STRINGS.legend(column.name));
  const buttons = keys.map((key) => {
    const text = element("span", { className: "label", textContent: column.labels[key] ?? STRINGS.unknown });
    const number = element("span", { className: "count", textContent: count(numbers[key]) });
    const button = element("button", { type: "button" }, swatch(colour(key)), text, number);
    button.addEventListener("click", () => set(hidden.has(key) ? remove(hidden, key) : [...hidden, key]));
    list.append(element("li", {}, button));
    return button;
  });
  function set(keysHidden) {
    const next = new Set(keysHidden);
    hidden.clear();
    next.forEach((key) => hidden.add(key));
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(!hidden.has(keys[at]))));
    changed();
  }
  for (const [text, hide] of [[STRINGS.all, []], [STRINGS.none, keys]]) {
    const button = element("button", { type: "button", className: "every", textContent: text });
    button.addEventListener("click", () => set(hide));
    list.append(element("li", {}, button));
  }
  root.append(list);
  if (column.labels.length > points.colours.classes.length) {
    root.append(element("p", { className: "hint", textContent: STRINGS.repeated(points.colours.classes.length) }));
  }
  buttons.forEach((button) => button.setAttribute("aria-pressed", "true"));
}

function remove(hidden, key) {
  return [...hidden].filter((other) => other !== key);
}

function scale(root, points, column, { range: [low, high] }) {
  const stops = points.colours.ramp.map(parse);
  const bar = element("div", { className: "ramp" });
  const shown = Array.from({ length: STOPS }, (_, step) => css(onScale(stops, step / (STOPS - 1))));
  bar.style.background = `linear-gradient(to right, ${shown.join(", ")})`;
  const unknown = column.values.reduce((sum, value) => sum + (Number.isFinite(value) ? 0 : 1), 0);
  if (unknown < points.number) {
    const ends = [low, (low + high) / 2, high].map((value) => element("span", { textContent: brief(value) }));
    root.append(element("div", { className: "scale" }, bar, element("div", { className: "ends" }, ...ends)));
  }
  if (unknown) {
    root.append(element("p", { className: "hint", textContent: STRINGS.unknownNumbers(unknown) }));
  }
}

// Shows the legend of a column; `hidden` is the set of hidden categories, which the buttons change.
export function showLegend(root, points, column, shades, hidden, changed) {
  root.replaceChildren();
  hidden.clear();
  if (column) {
    (column.kind === "categories" ? categories : scale)(root, points, column, shades, hidden, changed);
  }
}
