// The page: asks what the server offers, and starts the drawing or the photo.

import { ask, latest } from "./ask.js";
import { createBars } from "./bars.js";
import { apply, invert, listen, multiply, render } from "./canvas.js";
import { createDrawing, SIDE } from "./drawing.js";
import { createHandles } from "./handles.js";
import { createLayers, showUnit } from "./layers.js";
import { startPhoto } from "./photo.js";
import { decode, paint } from "./pictures.js";
import { fillStrings, STRINGS } from "./strings.js";

const $ = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const MEASURE = "stroke to bars"; // an entry of the browser's performance timeline for each answer
const MEASURES = 500; // entries that are kept
const QUIET = 700; // milliseconds without a change before the state is spoken

function failed(error) {
  $("error").textContent = error.message;
  $("error").hidden = false;
}

function clearError() {
  $("error").hidden = true;
}

function startDrawing(about) {
  const paper = $("paper");
  const drawing = createDrawing(about.page);
  const showBars = createBars($("bars"), about.classes);
  const unit = SIDE / about.page; // units of the paper a pixel of the drawing
  const map = document.createElement("canvas");
  const view = { moved: [1, 0, 0, 1, 0, 0], input: null, size: about.size, map: null, box: null };
  let looked = null; // the unit that is looked at: [layer, number]
  let changedAt = 0;
  let speaking = 0;

  const sliders = () => Object.fromEntries(["turn", "right", "down"].map((name) => [name, Number($(name).value)]));
  const placeHandles = createHandles({ turn: $("turn-handle"), shift: $("shift-handle") }, paper, {
    get: sliders,
    set: (next, time) => {
      Object.entries(next).forEach(([name, value]) => { $(name).value = value; });
      tell();
      changed(time);
    },
  });

  function redraw() {
    const opacity = $("opacity").value / 100;
    paper.parentElement.classList.toggle("drawn", hand.drawing());
    render(paper, drawing.ink, { ...view, opacity, cursor: hand.cursor, width: Number(chosen("width")) });
  }

  // The input's own frame stands upright around the place of the drawing; the ink moves in it as the sliders say.
  function place(matrix, { turn, right, down }) {
    const [[a, c, e], [b, d, f]] = matrix.map((row) => row.map((value) => value * unit));
    const current = [a, b, c, d, e, f];
    const scale = Math.sqrt(Math.abs(a * d - b * c));
    const [height, width] = about.size;
    const [x, y] = apply(current, [width / 2 + right, height / 2 + down]);
    view.input = [scale, 0, 0, scale, x - (scale * width) / 2, y - (scale * height) / 2];
    view.moved = multiply(view.input, invert(current));
    const centre = [x + scale * right, y + scale * down];
    placeHandles({ centre, reach: (scale * Math.min(height, width)) / 2, scale, turn });
  }

  const askMaps = latest(async (pixels, parameters) => {
    const why = chosen("why");
    view.map = null;
    if (why !== "" && pixels) {
      const made = (await ask("maps", pixels, parameters)).maps[Number(why)];
      if (made) {
        paint(map, decode(made.pixels), made, { colours: "fire", alpha: true });
        view.map = map;
      }
    }
    redraw();
  }, failed);

  const layers = createLayers($("layers"), (layer, number) => {
    looked = [layer, number];
    layers.mark(layer, number);
    askUnit(drawing.pixels(), sliders());
  });

  const askLayers = latest(async (pixels, parameters) => {
    layers.show((await ask("layers", pixels, parameters)).layers);
  }, failed);

  const askUnit = latest(async (pixels, parameters) => {
    view.box = null;
    if (looked) {
      const [layer, number] = looked;
      const answer = await ask("unit", pixels, { ...parameters, layer, unit: number });
      if (looked) {
        showUnit($("unit"), answer);
        view.box = answer.box;
      }
    }
    redraw();
  }, failed);

  const askGuess = latest(async (time, isLatest) => {
    const pixels = drawing.pixels();
    const parameters = sliders();
    const answer = await ask("guess", pixels, parameters);
    clearError();
    const blank = answer.state === "blank";
    showBars(blank ? null : answer.mean, answer.deviation);
    $("state").textContent = blank ? STRINGS.blank : answer.words;
    $("state").dataset.kind = answer.state;
    paint($("seen"), decode(answer.seen.pixels), answer.seen);
    ["first", "second"].forEach((name, i) => {
      $(name).textContent = blank ? "–" : answer.guesses[i];
      $(`why-${name}`).textContent = blank ? STRINGS[i ? "whySecond" : "whyFirst"] : STRINGS.whyOf(answer.guesses[i]);
    });
    $("strange").textContent = blank ? "–"
      : answer.strangeness === null ? STRINGS.strangeNone : STRINGS.strangeValue(answer.strangeness);
    if (blank) {
      view.input = null;
      view.moved = [1, 0, 0, 1, 0, 0];
      placeHandles(null);
    } else if (!hand.drawing()) {
      place(answer.matrix, parameters);
    }
    redraw();
    if (time) {
      performance.measure(MEASURE, { start: Math.min(time, performance.now()), end: performance.now() });
      if (performance.getEntriesByName(MEASURE).length > MEASURES) {
        performance.clearMeasures(MEASURE);
      }
    }
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      $("spoken").textContent = $("state").textContent;
    }, QUIET);
    if (isLatest()) {
      askMaps(blank ? null : pixels, parameters);
      askLayers(pixels, parameters);
      if (looked) {
        askUnit(pixels, parameters);
      }
    }
  }, failed);

  function changed(time = 0) {
    changedAt = time;
    view.map = view.box = null; // they are of another drawing
    redraw();
    askGuess(changedAt);
  }

  const hand = listen(paper, drawing, {
    pen: () => ({ width: Number(chosen("width")), erase: chosen("tool") === "eraser" }),
    toDrawing: (point) => apply(invert(view.moved), point),
    changed,
    moved: redraw,
    lifted: () => askGuess(0),
    clear: () => drawing.clear(),
  });

  $("undo").addEventListener("click", () => {
    hand.lift();
    drawing.undo();
    changed();
  });
  $("clear").addEventListener("click", () => {
    hand.lift();
    drawing.clear();
    changed();
  });
  $("upright").addEventListener("click", () => {
    ["turn", "right", "down"].forEach((name) => { $(name).value = 0; });
    tell();
    changed();
  });
  function tell() {
    $("turn-value").textContent = STRINGS.degrees($("turn").value);
    ["right", "down"].forEach((name) => { $(`${name}-value`).textContent = STRINGS.pixels($(name).value); });
    $("opacity-value").textContent = STRINGS.percent($("opacity").value);
  }
  for (const name of ["turn", "right", "down"]) {
    $(name).addEventListener("input", () => {
      tell();
      changed();
    });
  }
  $("opacity").addEventListener("input", () => {
    tell();
    redraw();
  });
  document.querySelectorAll("input[name=why]").forEach((input) =>
    input.addEventListener("change", () => askMaps(drawing.pixels(), sliders())));
  $("unit-close").addEventListener("click", () => {
    looked = null;
    view.box = null;
    $("unit").hidden = true;
    layers.mark(null, null);
    redraw();
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { // otherwise the browser leaves the page for the file
    event.preventDefault();
    failed(new Error(STRINGS.noFiles));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  $("bars-caption").textContent = STRINGS.bars(about.passes);
  $("why").hidden = !about.layers.length;
  $("drawing").hidden = false;
  tell();
  changed();
}

async function start() {
  fillStrings();
  if (!document.createElement("canvas").getContext?.("2d")) {
    failed(new Error(STRINGS.noCanvas));
    return;
  }
  const about = await ask("about");
  $("run").textContent = STRINGS.run(about);
  $("remark").textContent = about.remark;
  $("remark").hidden = !about.remark;
  if (about.kind === "drawing") {
    startDrawing(about);
  } else {
    document.querySelector("h1").textContent = STRINGS.photoHeading;
    startPhoto(about, { failed, clearError });
  }
}

start().catch(failed);
