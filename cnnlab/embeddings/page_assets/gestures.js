// What mouse, fingers and keyboard do on the map.

const STILL = 5; // CSS pixels that a click may move
const LINE = 16; // pixels of a wheel that counts lines
const WHEEL = 0.0018; // logarithm of the zoom a pixel of the wheel
const STEP = 60; // pixels that Shift and an arrow key move
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Listens on a canvas; places are in its pixels. `lassoing()` says whether a drag draws a lasso.
export function listen(canvas, { lassoing, hover, leave, click, pan, zoom, lasso, keys }) {
  const fingers = new Map();
  let drag = null; // what the first finger does: {start, last, moved, line}
  const ratio = () => canvas.width / canvas.clientWidth;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()];
  };
  const spanOf = ([first, second]) => ({
    middle: [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2],
    length: Math.hypot(first[0] - second[0], first[1] - second[1]) || 1,
  });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) {
      return;
    }
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    if (fingers.size === 1) {
      const start = at(event);
      drag = { start, last: start, moved: false, line: lassoing() || event.shiftKey ? [start] : null };
    } else if (drag) {
      drag = null; // two fingers zoom
      lasso(null);
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = at(event);
    if (!fingers.has(event.pointerId)) {
      hover(place);
      return;
    }
    const before = fingers.size === 2 ? spanOf([...fingers.values()]) : null;
    fingers.set(event.pointerId, place);
    if (before) {
      const now = spanOf([...fingers.values()]);
      pan(now.middle[0] - before.middle[0], now.middle[1] - before.middle[1]);
      zoom(now.length / before.length, now.middle);
    } else if (drag) {
      drag.moved ||= Math.hypot(place[0] - drag.start[0], place[1] - drag.start[1]) > STILL * ratio();
      if (drag.line) {
        drag.line.push(place);
        lasso(drag.line, false);
      } else if (drag.moved) {
        pan(place[0] - drag.last[0], place[1] - drag.last[1]);
        drag.last = place;
      }
    }
  });
  const lift = (event) => {
    const ended = fingers.delete(event.pointerId) && event.type === "pointerup" ? drag : null;
    drag = null;
    if (ended?.line && ended.moved) {
      lasso(ended.line, true);
    } else {
      lasso(null);
      if (ended && !ended.moved) {
        click(ended.start);
      }
    }
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? LINE : 1) * (event.ctrlKey ? 4 : 1);
    zoom(Math.exp(-Math.min(Math.max(pixels, -400), 400) * WHEEL), at(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (arrow && event.shiftKey) {
      pan(-arrow[0] * STEP * ratio(), -arrow[1] * STEP * ratio());
    } else if (arrow) {
      keys.walk(arrow);
    } else if (keys[event.key]) {
      keys[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  });
}
