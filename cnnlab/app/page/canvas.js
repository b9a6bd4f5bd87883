// The paper: pointers and keys that draw, and what lies over the drawing.

import { SIDE } from "./drawing.js";

const STEP = 7; // units that an arrow key moves the pen

// Listens to pointers and keys. `options` gives the pen, `changed(time)` is called after every change of the drawing.
export function listen(canvas, drawing, { pen, toDrawing, changed, moved, lifted, clear }) {
  let pointer = null;
  const cursor = { at: [SIDE / 2, SIDE / 2], down: false, shown: false };

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return toDrawing([((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE]);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button > 0) {
      return;
    }
    pointer = event.pointerId;
    if (event.isTrusted) {
      canvas.setPointerCapture(pointer);
    }
    cursor.shown = cursor.down = false;
    const { width, erase } = pen();
    drawing.begin(place(event), width, erase || event.buttons === 32);
    changed(event.timeStamp);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) {
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    drawing.extend((events.length ? events : [event]).map(place));
    changed(event.timeStamp);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      if (event.pointerId === pointer) {
        pointer = null;
        lifted();
      }
    });
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow && ![" ", "Enter", "Escape", "Delete", "Backspace"].includes(event.key)) {
      return;
    }
    event.preventDefault();
    cursor.shown = true;
    if (arrow) {
      cursor.at = cursor.at.map((value, i) => Math.min(Math.max(value + STEP * arrow[i], 0), SIDE));
      if (cursor.down) {
        drawing.extend([toDrawing(cursor.at)]);
      }
    } else if (event.key === " " || event.key === "Enter") {
      cursor.down = !cursor.down;
      if (cursor.down) {
        const { width, erase } = pen();
        drawing.begin(toDrawing(cursor.at), width, erase);
      }
    } else {
      cursor.down = false;
      if (event.key !== "Escape") {
        clear();
      }
    }
    if (!cursor.down) {
      lifted();
    }
    return cursor.down || !arrow ? changed(event.timeStamp) : moved();
  });
  canvas.addEventListener("blur", () => {
    cursor.shown = cursor.down = false;
    moved();
  });
  return { cursor, drawing: () => pointer !== null || cursor.down, lift: () => { cursor.down = false; } };
}

// Matrices of a canvas: [a, b, c, d, e, f] maps (x, y) to (a x + c y + e, b x + d y + f).
export function multiply([a, b, c, d, e, f], [p, q, r, s, t, u]) {
  return [a * p + c * q, b * p + d * q, a * r + c * s, b * r + d * s, a * t + c * u + e, b * t + d * u + f];
}

export function invert([a, b, c, d, e, f]) {
  const det = a * d - b * c;
  return [d / det, -b / det, -c / det, a / det, (c * f - d * e) / det, (b * e - a * f) / det];
}

export function apply([a, b, c, d, e, f], [x, y]) {
  return [a * x + c * y + e, b * x + d * y + f];
}

// Draws the ink, turned and shifted by `moved`, and over it a map, a frame and the keyboard's pen. `input` maps the
// network's input to the paper; its own size is `size`.
export function render(canvas, ink, { moved, input, size, map, opacity, box, cursor, width }) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name);
  const scale = canvas.width / SIDE;
  const set = (matrix) => context.setTransform(...multiply([scale, 0, 0, scale, 0, 0], matrix));
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = 1;
  context.clearRect(0, 0, canvas.width, canvas.height);
  set(moved);
  context.drawImage(ink, 0, 0, SIDE, SIDE);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "source-in"; // the ink in the colour of the theme
  context.fillStyle = colour("--ink");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = colour("--paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  if (input) {
    set(input);
    const line = 1 / Math.hypot(input[0], input[1]);
    if (map) {
      context.globalAlpha = opacity;
      context.imageSmoothingEnabled = true;
      context.drawImage(map, 0, 0, size[1], size[0]);
      context.globalAlpha = 1;
    }
    context.strokeStyle = colour("--line");
    context.lineWidth = line;
    context.setLineDash([4 * line, 4 * line]);
    context.strokeRect(0, 0, size[1], size[0]);
    context.setLineDash([]);
    if (box) {
      const [left, top, right, bottom] = box;
      context.lineWidth = 3 * line;
      context.strokeStyle = colour("--frame");
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }
  if (cursor.shown) {
    set([1, 0, 0, 1, 0, 0]);
    context.beginPath();
    context.arc(...cursor.at, Math.max(width / 2, 4), 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = colour("--frame");
    context.fillStyle = colour("--frame");
    context.stroke();
    if (cursor.down) {
      context.fill();
    }
  }
}
