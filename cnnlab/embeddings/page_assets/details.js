// One image: its thumbnail, its columns, its probabilities and its nearest neighbours.

import { STRINGS } from "./strings.js";

const $ = (id) => document.getElementById(id);

// Fills a table with a bar for each share; `rows` are [label, share, text].
export function showBars(table, caption, rows) {
  table.hidden = !rows.length;
  table.caption.textContent = caption;
  const body = table.tBodies[0];
  body.replaceChildren();
  const most = Math.max(...rows.map(([, share]) => share));
  for (const [label, share, text] of rows) {
    const row = body.insertRow();
    row.classList.toggle("best", share === most);
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = label;
    row.append(head);
    const [track, fill] = [document.createElement("div"), document.createElement("div")];
    track.className = "track";
    fill.className = "fill";
    fill.style.transform = `scaleX(${share})`;
    track.append(fill);
    row.insertCell().append(track);
    const number = row.insertCell();
    number.className = "number";
    number.textContent = text;
  }
}

// Fills an element with thumbnails that are buttons; `choose(i)` is called for a pressed one.
export function showPieces(root, images, { points, thumbnails, frameOf, choose }) {
  root.replaceChildren(...images.map((i) => {
    const [button, canvas] = [document.createElement("button"), document.createElement("canvas")];
    button.type = "button";
    button.title = points.names[i];
    button.setAttribute("aria-label", points.names[i]);
    button.style.borderColor = frameOf(i);
    thumbnails.paint(canvas, i);
    button.append(canvas);
    button.addEventListener("click", () => choose(i));
    return button;
  }));
}

function showColumns(points, i) {
  const rows = [[STRINGS.name, points.names[i]], ...points.columns.map((column) => [column.name, points.text(column, i)])];
  $("columns").replaceChildren(...rows.map(([name, value]) => {
    const [row, term, text] = ["div", "dt", "dd"].map((kind) => document.createElement(kind));
    term.textContent = name;
    text.textContent = value;
    row.append(term, text);
    return row;
  }));
}

function probabilities(points, i) {
  const { width, values, shares } = points.probs ?? { width: 0 };
  return Array.from({ length: width }, (_, rank) => {
    const share = shares[i * width + rank] / 65535;
    return { place: values[i * width + rank], row: [points.classes[values[i * width + rank]], share, STRINGS.percent(share)] };
  });
}

export function neighboursOf(points, i) {
  const { width, values } = points.neighbours;
  return [...values.subarray(i * width, (i + 1) * width)];
}

// Shows an image.
export function showImage(i, options) {
  const { points, thumbnails } = options;
  $("nothing").hidden = true;
  $("about").hidden = false;
  thumbnails.paint($("picture"), i);
  $("picture").setAttribute("aria-label", STRINGS.pictureLabel(points.names[i]));
  showColumns(points, i);
  const shown = probabilities(points, i);
  const whole = shown.length === points.classes.length;
  if (whole) {
    shown.sort((a, b) => a.place - b.place); // classes stay in their places while images change
  }
  showBars($("probs"), STRINGS.probs(shown.length, points.classes.length), shown.map(({ row }) => row));
  const near = neighboursOf(points, i);
  $("near-title").hidden = !near.length;
  showPieces($("near"), near, options);
}

export function showNothing() {
  $("nothing").hidden = false;
  $("about").hidden = true;
}
