// The feature maps of every layer, and a unit that is looked at.

import { decode, paint, paintGrid } from "./pictures.js";
import { STRINGS } from "./strings.js";

// Returns a function that shows the answer of /api/layers; `choose(layer, unit)` is called for a chosen map.
export function createLayers(root, choose) {
  const shown = new Map();

  function build(layer) {
    const section = document.createElement("section");
    const heading = document.createElement("h3");
    heading.append(layer.name, " ");
    const small = document.createElement("small");
    small.textContent = STRINGS.layerTitle(layer);
    heading.append(small);
    const grid = document.createElement("div");
    grid.className = layer.height > 1 || layer.width > 1 ? "maps" : "maps vector";
    grid.setAttribute("role", "group");
    grid.setAttribute("aria-label", layer.name);
    const canvases = Array.from({ length: layer.units }, (_, unit) => {
      const button = document.createElement("button");
      const canvas = document.createElement("canvas");
      button.type = "button";
      button.tabIndex = unit === 0 ? 0 : -1;
      button.setAttribute("aria-label", STRINGS.unitLabel(layer.name, unit));
      button.setAttribute("aria-pressed", "false");
      button.append(canvas);
      button.addEventListener("click", () => choose(layer.name, unit));
      grid.append(button);
      return canvas;
    });
    grid.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const buttons = [...grid.children];
      const next = buttons[buttons.indexOf(event.target) + step];
      if (next) {
        event.preventDefault();
        event.target.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    });
    section.append(heading, grid);
    root.append(section);
    return canvases;
  }

  return {
    show(layers) {
      for (const layer of layers) {
        if (!shown.has(layer.name)) {
          shown.set(layer.name, build(layer));
        }
        const bytes = decode(layer.pixels);
        shown.get(layer.name).forEach((canvas, index) => paint(canvas, bytes, layer, { colours: "fire", index }));
      }
    },
    mark(name, unit) {
      for (const [layer, canvases] of shown) {
        canvases.forEach((canvas, i) =>
          canvas.parentElement.setAttribute("aria-pressed", String(layer === name && i === unit)));
      }
    },
  };
}

// Shows the answer of /api/unit.
export function showUnit(panel, answer) {
  const part = (name) => panel.querySelector(name);
  panel.hidden = false;
  part("h3").textContent = STRINGS.unitLabel(answer.layer, answer.unit);
  part("#unit-field").textContent = STRINGS.unitField(answer);
  for (const [name, picture] of [["#unit-filter", answer.filter], ["#unit-patches", answer.patches]]) {
    part(name).hidden = !picture;
  }
  if (answer.filter) {
    const { slices } = answer.filter;
    const canvas = part("#unit-filter canvas");
    paintGrid(canvas, decode(answer.filter.pixels), answer.filter, slices, Math.ceil(Math.sqrt(slices)), "signed");
    canvas.setAttribute("aria-label", STRINGS.filterLabel);
    part("#unit-filter figcaption").textContent = STRINGS.filter(answer.filter);
  }
  if (answer.patches) {
    const { number } = answer.patches;
    const canvas = part("#unit-patches canvas");
    paintGrid(canvas, decode(answer.patches.pixels), answer.patches, number, 3, "grey");
    canvas.setAttribute("aria-label", STRINGS.patchesLabel);
    part("#unit-patches figcaption").textContent = STRINGS.patches(number);
  }
}
