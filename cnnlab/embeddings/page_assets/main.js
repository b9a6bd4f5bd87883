// The page: its state, and what is drawn when it changes.

import { css, shadesOf } from "./colours.js";
import { neighboursOf, showImage, showNothing } from "./details.js";
import { createDots, FAINT, HIDDEN, inks, PLAIN, radiusOf } from "./dots.js";
import { listen } from "./gestures.js";
import { caught } from "./lasso.js";
import { showLegend } from "./legend.js";
import { readPoints } from "./reading.js";
import { showSelection } from "./selection.js";
import { fillStrings, STRINGS } from "./strings.js";
import { createThumbnails } from "./thumbnails.js";
import { createView, fit, pan, scaleOf, toPlane, toScreen, zoomAt } from "./view.js";

const $ = (id) => document.getElementById(id);
const MOVE = 700; // milliseconds of the way from one projection to another
const NEAR = 14; // CSS pixels around the pointer in which an image is found
const RATIO = 2; // most pixels of the canvas a CSS pixel
const CLOSE = 6; // zoom at which an image that search or a neighbour names is shown

function failed(message) {
  $("error").textContent = message;
  $("error").hidden = false;
}

// A fixed order that has nothing to do with the order of the images, so that no class lies above all others.
function shuffled(number) {
  const order = Uint32Array.from({ length: number }, (_, i) => i);
  let seed = 1;
  for (let i = number - 1; i > 0; i -= 1) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((seed / 2 ** 32) * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  return order;
}

function themeOf(canvas) {
  const style = getComputedStyle(canvas);
  const numbers = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  return { ground: numbers(style.backgroundColor), text: numbers(style.color) };
}

function start() {
  const points = readPoints();
  const view = createView();
  const order = shuffled(points.number);
  const states = new Uint8Array(points.number).fill(PLAIN);
  const hidden = new Set();
  const drawDots = createDots($("dots"));
  const marks = $("marks").getContext("2d");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let places = points.planes[0].places;
  let moving = null; // on the way to another projection: {from, to, since}
  let column = points.columns[0];
  let shades = shadesOf(points, column);
  let theme = themeOf($("dots"));
  let ink = inks(shades.palette, theme);
  let found = null; // images that search found, [0 or 1, ...]
  let selected = null; // images that the lasso caught
  let line = null; // the lasso that is drawn
  let shown = null; // the image in the panel
  let kept = false; // whether it stays when the pointer moves on
  let hovered = null;
  let changes = 0; // of what the choice of thumbnails depends on
  let asked = 0;

  const thumbnails = createThumbnails(points, {
    ready: () => {
      redraw();
      renew();
    },
    failed: () => failed(STRINGS.noPicture),
  });
  const ratio = () => $("dots").width / $("dots").clientWidth;
  const colourOf = (i) => css(shades.palette[shades.shades[i]]);
  const options = { points, thumbnails, frameOf: colourOf, choose: (i) => visit(i) };
  const screen = (i) => toScreen(view, places[2 * i], places[2 * i + 1]);

  // Drawing.

  function redraw() {
    asked ||= requestAnimationFrame(frame);
  }

  function frame(now) {
    asked = 0;
    if (moving) {
      step(now);
    }
    const context = drawDots({
      places, order, states, shades: shades.shades, inks: ink, view, ratio: ratio(), radius: radiusOf(points.number, view.zoom),
    });
    const least = states.includes(FAINT) && !states.includes(PLAIN) ? FAINT : PLAIN;
    thumbnails.scatter(context, {
      places, order, states, least, colourOf, view, ratio: ratio(), mode: $("images").value, still: !moving, key: changes,
    });
    drawMarks();
    if (moving) {
      redraw();
    }
  }

  function step(now) {
    const share = Math.min((now - moving.since) / MOVE, 1);
    const eased = share * share * (3 - 2 * share);
    if (share === 1) {
      places = moving.to;
      moving = null;
      changes += 1;
      return;
    }
    for (let k = 0; k < places.length; k += 1) {
      places[k] = moving.from[k] + (moving.to[k] - moving.from[k]) * eased;
    }
  }

  function ring(i, gap, width, colour) {
    const [left, top] = screen(i);
    const half = thumbnails.reach(i) + (3 + gap) * ratio();
    marks.lineWidth = width * ratio();
    marks.strokeStyle = colour;
    marks.beginPath();
    if (thumbnails.reach(i)) {
      marks.roundRect(left - half, top - half, 2 * half, 2 * half, 4 * ratio());
    } else {
      marks.arc(left, top, (radiusOf(points.number, view.zoom) + gap) * ratio(), 0, 2 * Math.PI);
    }
    marks.stroke();
  }

  function drawMarks() {
    marks.clearRect(0, 0, view.width, view.height);
    const [text, ground] = [css(theme.text), css(theme.ground)];
    if (shown !== null) {
      const [left, top] = screen(shown);
      const near = neighboursOf(points, shown);
      for (const [width, colour] of [[2.4, ground], [1, text]]) {
        marks.lineWidth = width * ratio();
        marks.strokeStyle = colour;
        marks.beginPath();
        near.forEach((i) => {
          marks.moveTo(left, top);
          marks.lineTo(...screen(i));
        });
        marks.stroke();
      }
      near.forEach((i) => ring(i, 1, 1.4, text));
      ring(shown, 5, 5, ground);
      ring(shown, 5, 3, text);
    }
    if (hovered !== null && hovered !== shown) {
      ring(hovered, 3, 2, text);
    }
    if (line) {
      marks.lineWidth = 2 * ratio();
      marks.strokeStyle = text;
      marks.setLineDash([6 * ratio(), 4 * ratio()]);
      marks.beginPath();
      line.forEach((place) => marks.lineTo(...place));
      marks.closePath();
      marks.stroke();
      marks.setLineDash([]);
      marks.globalAlpha = 0.12;
      marks.fillStyle = text;
      marks.fill("evenodd");
      marks.globalAlpha = 1;
    }
    placeTip();
  }

  function placeTip() {
    $("tip").hidden = hovered === null;
    if (hovered !== null) {
      const [left, top] = screen(hovered).map((value) => value / ratio());
      const [width, height] = [$("tip").offsetWidth, $("tip").offsetHeight];
      const space = $("marks").clientWidth;
      const right = left + 18 + width > space ? Math.max(left - 18 - width, 0) : left + 18;
      $("tip").style.transform = `translate(${right}px, ${Math.max(top - height - 8, 4)}px)`;
    }
  }

  // What is meant, faint or hidden.

  function refresh() {
    for (let i = 0; i < points.number; i += 1) {
      const apart = (found && !found[i]) || (selected && !selected[i]);
      states[i] = hidden.size && hidden.has(column.values[i]) ? HIDDEN : apart ? FAINT : PLAIN;
    }
    changes += 1;
    redraw();
  }

  function recolour() {
    hovered = null;
    shades = shadesOf(points, column);
    theme = themeOf($("dots"));
    ink = inks(shades.palette, theme);
    renew();
    changes += 1;
    redraw();
  }

  // Shows the panels again, as when the thumbnails are there or the colours are others.
  function renew() {
    if (shown !== null) {
      showImage(shown, options);
    }
    showSelection(selected, column, options);
  }

  // Images.

  function nearest([left, top], reach = NEAR) {
    const [x, y] = toPlane(view, left, top);
    let [best, least] = [null, ((reach * ratio()) / scaleOf(view)) ** 2];
    for (let i = 0; i < points.number; i += 1) {
      const distance = (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2;
      if (distance < least && states[i] !== HIDDEN) {
        [best, least] = [i, distance];
      }
    }
    return best;
  }

  // The image at a place of the canvas: the one whose thumbnail is there, or the nearest dot.
  function under(place) {
    return thumbnails.at(place) ?? nearest(place);
  }

  function show(i, { keep = kept, speak = false } = {}) {
    kept = keep && i !== null;
    if (i !== shown) {
      shown = i;
      if (i === null) {
        showNothing();
      } else {
        showImage(i, options);
      }
    }
    if (speak && i !== null) {
      $("spoken").textContent = STRINGS.spoken(points.names[i], points.columns.map((each) => `${each.name} ${points.text(each, i)}`));
    }
    redraw();
  }

  // Shows an image and moves the map to it if it is not in view.
  function visit(i, { zoom = 0 } = {}) {
    const [left, top] = screen(i);
    const edge = 30 * ratio();
    if (zoom > view.zoom || left < edge || top < edge || left > view.width - edge || top > view.height - edge) {
      [view.x, view.y] = [places[2 * i], places[2 * i + 1]];
      view.zoom = Math.max(view.zoom, zoom);
    }
    show(i, { keep: true, speak: true });
  }

  // Goes to the nearest image in the direction of an arrow key, within 45 degrees.
  function walk([right, down]) {
    if (shown === null) {
      const first = nearest([view.width / 2, view.height / 2], Infinity);
      return first === null ? undefined : visit(first);
    }
    const [x, y] = [places[2 * shown], places[2 * shown + 1]];
    let [best, least] = [null, Infinity];
    for (let i = 0; i < points.number; i += 1) {
      const [ahead, across] = [
        (places[2 * i] - x) * right - (places[2 * i + 1] - y) * down,
        Math.abs((places[2 * i] - x) * down) + Math.abs((places[2 * i + 1] - y) * right),
      ];
      const distance = ahead + 2 * across;
      if (ahead > 0 && across <= ahead && distance < least && states[i] !== HIDDEN) {
        [best, least] = [i, distance];
      }
    }
    return best === null ? undefined : visit(best);
  }

  // The tools.

  function search() {
    const text = $("query").value.trim().toLowerCase();
    const labels = points.columns.filter(({ kind }) => kind === "categories").map((each) => ({
      values: each.values, hits: [...each.labels, STRINGS.unknown].map((label) => label.toLowerCase().includes(text)),
    }));
    found = text ? Uint8Array.from(points.names, (name, i) =>
      (name.toLowerCase().includes(text) || labels.some(({ values, hits }) => hits[values[i]]) ? 1 : 0)) : null;
    $("hits").textContent = found ? STRINGS.matches(found.reduce((sum, each) => sum + each, 0), points.number) : "";
    refresh();
  }

  function next() {
    for (let step = 1; found && step <= points.number; step += 1) {
      const i = ((shown ?? -1) + step) % points.number;
      if (found[i] && states[i] !== HIDDEN) {
        visit(i, { zoom: CLOSE });
        return;
      }
    }
  }

  // Zooms around a place; without one, around the image in the panel if the map shows it, or around the middle.
  function zoom(factor, place) {
    const own = shown === null ? [-1, -1] : screen(shown);
    const seen = own[0] >= 0 && own[0] < view.width && own[1] >= 0 && own[1] < view.height;
    zoomAt(view, factor, ...(place ?? (seen ? own : [view.width / 2, view.height / 2])));
    redraw();
  }

  function all() {
    fit(view);
    redraw();
  }

  function choosePlane() {
    const to = points.planes[$("plane").selectedIndex].places;
    moving = { from: Float32Array.from(places), to, since: performance.now() };
    places = Float32Array.from(places);
    if (calm.matches) {
      moving.since -= MOVE;
    }
    hovered = null;
    redraw();
  }

  function forget() {
    selected = null;
    showSelection(null, column, options);
    refresh();
  }

  function drawLasso(next, done) {
    line = done ? null : next;
    hovered = line ? null : hovered;
    if (done) {
      const polygon = next.map((place) => toPlane(view, ...place));
      selected = caught(polygon, places, (i) => states[i] !== HIDDEN && !(found && !found[i]));
      showSelection(selected, column, options);
      refresh();
    }
    redraw();
  }

  function hover(place) {
    const i = under(place);
    if (i !== hovered) {
      hovered = i;
      if (i !== null) {
        thumbnails.paint($("tip").querySelector("canvas"), i);
        $("tip").querySelector("p").textContent = column ? `${points.names[i]} · ${points.text(column, i)}` : points.names[i];
        $("tip").style.borderColor = colourOf(i);
        if (!kept) {
          show(i);
        }
      }
      redraw();
    }
  }

  listen($("marks"), {
    lassoing: () => document.querySelector("input[name=mode]:checked").value === "lasso",
    hover,
    leave: () => {
      hovered = null;
      redraw();
    },
    click: (place) => {
      const i = under(place);
      show(i ?? (kept ? null : shown), { keep: i !== null, speak: true });
    },
    pan: (right, down) => {
      hovered = null;
      pan(view, right, down);
      redraw();
    },
    zoom,
    lasso: drawLasso,
    keys: {
      walk,
      "+": () => zoom(1.5),
      "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5),
      0: all,
      Home: all,
      n: next,
      N: next,
      Enter: () => show(shown, { keep: true, speak: true }),
      Escape: () => (shown === null ? forget() : show(null)),
    },
  });

  function choices(select, names) {
    select.replaceChildren(...names.map((name, at) => new Option(name, at)));
  }

  choices($("plane"), points.planes.map(({ name }) => name));
  choices($("colour"), [...points.columns.map(({ name }) => name), STRINGS.oneColour]);
  $("plane").addEventListener("change", choosePlane);
  $("colour").addEventListener("change", () => {
    column = points.columns[$("colour").selectedIndex];
    recolour();
    showLegend($("legend"), points, column, shades, hidden, refresh);
    refresh();
  });
  $("images").addEventListener("change", redraw);
  $("query").addEventListener("input", search);
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    next();
  });
  $("closer").addEventListener("click", () => zoom(1.5));
  $("farther").addEventListener("click", () => zoom(1 / 1.5));
  $("fit").addEventListener("click", all);
  $("forget").addEventListener("click", forget);
  for (const name of ["move", "lasso"]) {
    document.querySelector(`input[value=${name}]`).addEventListener("change", () => {
      $("sheet").dataset.mode = name;
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

  $("title").textContent = points.title;
  $("notes").replaceChildren(...points.notes.map((note) =>
    Object.assign(document.createElement("p"), { textContent: note })));
  document.querySelector("main").hidden = false;
  showLegend($("legend"), points, column, shades, hidden, refresh);
  theme = themeOf($("dots"));
  ink = inks(shades.palette, theme);
  new ResizeObserver(() => {
    const pixels = Math.min(devicePixelRatio || 1, RATIO);
    for (const canvas of [$("dots"), $("marks")]) {
      canvas.width = Math.max(Math.round(canvas.clientWidth * pixels), 1);
      canvas.height = Math.max(Math.round(canvas.clientHeight * pixels), 1);
    }
    [view.width, view.height] = [$("dots").width, $("dots").height];
    cancelAnimationFrame(asked);
    frame(performance.now()); // at once: a canvas of another size is empty
  }).observe($("sheet"));
}

fillStrings();
if (document.createElement("canvas").getContext?.("2d")) {
  start();
} else {
  failed(STRINGS.noCanvas);
}
