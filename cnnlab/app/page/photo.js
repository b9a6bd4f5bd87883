// A photo: chosen, dropped or pasted, and the network's answer over it.

import { ask, latest } from "./ask.js";
import { createBars } from "./bars.js";
import { STRINGS } from "./strings.js";

const $ = (id) => document.getElementById(id);
const LONGER_SIDE = 1200; // of the picture, in pixels

export function startPhoto(about, { failed, clearError }) {
  const canvas = $("photo-canvas");
  let photo = null; // ImageBitmap of the file, or null where the browser cannot show it
  let answer = null;
  const maps = new Map();

  function draw() {
    const [height, width] = answer.size;
    const scale = LONGER_SIDE / Math.max(width, height);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = scale < 2; // pixels of small photos stay visible
    if (photo) {
      context.drawImage(photo, 0, 0, canvas.width, canvas.height);
    }
    const name = document.querySelector("input[name=map]:checked")?.value;
    const map = maps.get(name);
    explain(name);
    if (map) {
      context.globalAlpha = $("photo-opacity").value / 100;
      context.imageSmoothingEnabled = false;
      context.drawImage(map, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
    }
    if (about.logits === "grid") {
      const box = canvas.getBoundingClientRect();
      drawBoxes(context, answer.records, scale, 1 / Math.min(box.width / canvas.width, box.height / canvas.height));
    }
  }

  // Shows what the colours of a map mean: the classes of the mask that occur, or the value of white.
  function explain(name) {
    const legend = $("photo-legend");
    const white = answer.white[name];
    legend.hidden = name !== "mask";
    $("photo-scale").hidden = white === undefined;
    $("photo-scale").textContent = white === undefined ? "" : STRINGS.scale(white);
    legend.replaceChildren(...Object.keys(answer.shares).filter((each) => answer.shares[each] > 0).map((each) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.backgroundColor = answer.colours[each];
      item.append(swatch, each);
      return item;
    }));
  }

  const SHOWN = {
    vector: showVector,
    map: ({ shares }) => {
      $("photo-state").textContent = STRINGS.segmented;
      showBars(STRINGS.masks(about.passes), Object.keys(shares), Object.values(shares));
    },
    grid: ({ records }) => {
      const found = strong(records);
      $("photo-state").textContent = STRINGS.boxes(found.length);
      showBars(STRINGS.scores, found.map(({ category }) => category), found.map(({ score }) => score));
      $("photo-caption").textContent = STRINGS.boxesCaption(about.passes);
    },
  };

  async function show(file) {
    clearError();
    $("photo-state").textContent = STRINGS.waiting;
    const received = await ask("photo", file, {}, file.type.startsWith("image/") ? file.type : undefined);
    photo?.close();
    photo = await createImageBitmap(file).catch(() => null);
    answer = received;
    maps.clear();
    for (const [name, text] of Object.entries(answer.images)) {
      const image = new Image();
      image.src = `data:image/png;base64,${text}`;
      await image.decode();
      maps.set(name, image);
    }
    chooseMaps();
    $("photo-figure").hidden = false;
    $("photo-caption").textContent = photo ? file.name ?? "" : STRINGS.noPreview;
    $("photo-state").dataset.kind = "";
    SHOWN[about.logits](answer, about);
    draw();
  }

  function chooseMaps() {
    $("photo-tools").hidden = maps.size === 0;
    const chosen = document.querySelector("input[name=map]:checked")?.value ?? "mask";
    $("photo-maps").querySelectorAll("label").forEach((label) => label.remove());
    for (const name of ["", ...maps.keys()]) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "map", value: name });
      const text = document.createElement("span");
      input.checked = name === chosen;
      text.textContent = name ? STRINGS.map(name) : STRINGS.noMap;
      input.addEventListener("change", draw);
      label.append(input, text);
      $("photo-maps").append(label);
    }
  }

  const look = latest(show, (error) => {
    $("photo-state").textContent = "";
    failed(error);
  });
  const take = (files) => {
    const file = [...files][0];
    if (!file) {
      failed(new Error(STRINGS.noImage));
    } else {
      look(file);
    }
  };
  $("file").addEventListener("change", (event) => take(event.target.files));
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  const over = (event, isOver) => {
    event.preventDefault();
    $("drop").classList.toggle("over", isOver);
  };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, false));
  document.addEventListener("drop", (event) => {
    over(event, false);
    take(event.dataTransfer.files);
  });
  const told = () => {
    $("photo-opacity-value").textContent = STRINGS.percent($("photo-opacity").value);
  };
  $("photo-opacity").addEventListener("input", () => {
    told();
    draw();
  });
  told();
  addEventListener("resize", () => answer && draw());
  $("photo-state").textContent = STRINGS.photoBlank;
  $("photo-state").dataset.kind = "blank";
  $("photo").hidden = false;
}

function showBars(caption, names, values, deviation = null) {
  $("photo-bars").replaceChildren();
  $("photo-bars-caption").textContent = names.length ? caption : "";
  createBars($("photo-bars"), names)(values, deviation);
}

function showVector({ records: [record], state, words }, about) {
  if (record.probs) {
    const spread = record.variance && Object.values(record.variance).map(Math.sqrt);
    showBars(STRINGS.bars(about.passes), Object.keys(record.probs), Object.values(record.probs), spread ?? null);
    $("photo-state").dataset.kind = state ?? "";
    $("photo-state").textContent = words || STRINGS.labels(record.label);
    return;
  }
  const body = $("photo-bars");
  body.replaceChildren();
  $("photo-bars-caption").textContent = record.low ? STRINGS.values : STRINGS.valuesAlone;
  for (const [name, value] of Object.entries(record.value)) {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    const cell = row.insertCell();
    cell.colSpan = 2;
    cell.textContent = STRINGS.value(value, record.low?.[name], record.high?.[name]);
  }
  $("photo-state").textContent = "";
}

function strong(records) {
  return records.filter((record) => record.score >= 0.3);
}

// Draws boxes with their ellipses and names; `pixel` is the length of the screen's pixel on the canvas.
function drawBoxes(context, records, scale, pixel) {
  const colour = "#ffd23f";
  context.lineWidth = 2 * pixel;
  context.font = `bold ${13 * pixel}px system-ui, sans-serif`;
  for (const { bbox, bbox_std: spread, category, score } of strong(records)) {
    const [x, y, width, height] = bbox.map((value) => value * scale);
    context.strokeStyle = colour;
    context.strokeRect(x, y, width, height);
    if (spread) {
      const [left, top, right, bottom] = spread.map((value) => 2 * value * scale);
      for (const [cx, cy, rx, ry] of [[x, y, left, top], [x + width, y + height, right, bottom]]) {
        context.beginPath();
        context.ellipse(cx, cy, rx, ry, 0, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    const text = `${category} ${score.toFixed(2)}`;
    context.fillStyle = "rgba(0, 0, 0, 0.75)";
    const wide = context.measureText(text).width + 8 * pixel;
    const left = Math.max(Math.min(x, context.canvas.width - wide), 0);
    const top = Math.max(y - 19 * pixel, 0);
    context.fillRect(left, top, wide, 19 * pixel);
    context.fillStyle = colour;
    context.fillText(text, left + 4 * pixel, top + 14 * pixel);
  }
}
