// The handles at the drawing: one turns it, the other one shifts it, by pointer or by arrow keys.

import { SIDE } from "./drawing.js";

const DEGREES = 5; // that an arrow key turns
const PIXELS = 1; // of the network's input that an arrow key shifts

// `get()` gives the turn (degrees, counter-clockwise) and the shift (pixels of the network's input), `set(values,
// time)` changes some of them. Returns a function that puts the handles above and below a drawing, or hides them if it
// gets null. Its `centre`, its `reach` (half its height) and `scale`, the length of the input's pixel, are in units of
// the paper.
export function createHandles({ turn, shift }, paper, { get, set }) {
  let at = null;

  const unit = () => paper.getBoundingClientRect().width / SIDE; // CSS pixels

  // Puts a handle beside the drawing, `angle` clockwise from its top, but inside the paper.
  function put(handle, angle) {
    const radius = handle.offsetWidth / 2 / unit();
    const percent = (value) => `${(100 * Math.min(Math.max(value, radius), SIDE - radius)) / SIDE}%`;
    handle.style.left = percent(at.centre[0] + (at.reach + radius) * Math.sin(angle));
    handle.style.top = percent(at.centre[1] - (at.reach + radius) * Math.cos(angle));
  }

  // Calls `follow(start, point)` while a pointer drags a handle; `start` is where it began and what held then.
  function onDrag(handle, follow) {
    let start = null;
    const point = ({ clientX, clientY }) => {
      const box = paper.getBoundingClientRect();
      return [(clientX - box.left) / unit(), (clientY - box.top) / unit()];
    };
    handle.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || start) {
        return;
      }
      start = { pointer: event.pointerId, point: point(event), values: get(), at };
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (start?.pointer === event.pointerId) {
        set(follow(start, point(event)), event.timeStamp);
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      handle.addEventListener(name, () => { start = null; });
    }
  }

  function onArrow(handle, steps) {
    handle.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (step) {
        event.preventDefault();
        const values = get();
        const moved = Object.entries(step).map(([name, by]) => [name, values[name] + by]);
        set(Object.fromEntries(moved), event.timeStamp);
      }
    });
  }

  onDrag(turn, ({ point, values, at: { centre } }, now) => {
    const angle = ([x, y]) => Math.atan2(y - centre[1], x - centre[0]);
    const clockwise = ((angle(now) - angle(point)) * 180) / Math.PI;
    return { turn: Math.round(values.turn - (((clockwise + 540) % 360) - 180)) };
  });
  onDrag(shift, ({ point, values, at: { scale } }, now) => ({
    right: values.right + (now[0] - point[0]) / scale,
    down: values.down + (now[1] - point[1]) / scale,
  }));
  onArrow(turn, {
    ArrowRight: { turn: -DEGREES },
    ArrowDown: { turn: -DEGREES },
    ArrowLeft: { turn: DEGREES },
    ArrowUp: { turn: DEGREES },
  });
  onArrow(shift, {
    ArrowRight: { right: PIXELS },
    ArrowLeft: { right: -PIXELS },
    ArrowDown: { down: PIXELS },
    ArrowUp: { down: -PIXELS },
  });

  return function place(next) {
    at = next;
    turn.hidden = shift.hidden = !at;
    if (at) {
      const angle = (-at.turn * Math.PI) / 180;
      put(turn, angle);
      put(shift, angle + Math.PI);
    }
  };
}
