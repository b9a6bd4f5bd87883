// The thumbnails: one picture that is decoded once, and the choice of those that fit beside each other on the map.

import { bytesOf } from "./reading.js";
import { scaleOf, toScreen } from "./view.js";

const STEP = Math.SQRT2; // factor of zoom from one choice to the next
const ROOM = 0.2; // share of images that must fit before thumbnails appear by themselves
const PIXELATED = 40; // pixels of a thumbnail's longer side below which it is enlarged without smoothing

// Returns the largest set of images, greedily by `order`, of which no two are nearer than `side` along both axes.
export function spread(places, order, visible, side) {
  const cells = new Map();
  const wide = Math.ceil(1 / side) + 3;
  const chosen = [];
  for (const i of order) {
    if (!visible(i)) {
      continue;
    }
    const [x, y] = [places[2 * i], places[2 * i + 1]];
    const cell = (Math.floor(y / side) + 1) * wide + Math.floor(x / side) + 1;
    let free = true;
    for (let near = 0; near < 9 && free; near += 1) {
      const other = cells.get(cell + (Math.floor(near / 3) - 1) * wide + (near % 3) - 1);
      free = other === undefined || Math.abs(places[2 * other] - x) >= side || Math.abs(places[2 * other + 1] - y) >= side;
    }
    if (free) {
      cells.set(cell, i);
      chosen.push(i);
    }
  }
  return chosen;
}

export function createThumbnails(points, { ready, failed }) {
  const { columns, width, height, type, own } = points.thumbnails;
  let picture = null;
  let choice = { key: "", chosen: [], opacity: 0 };
  createImageBitmap(new Blob([bytesOf(document.getElementById("picture").textContent)], { type }))
    .then((bitmap) => {
      picture = bitmap;
      ready();
    }, failed);
  const longest = Math.max(width, height);
  const smooth = Math.max(...own) >= PIXELATED;

  function draw(context, i, left, top, wide, high) {
    const [x, y] = [(i % columns) * width, Math.floor(i / columns) * height];
    context.drawImage(picture, x, y, width, height, left, top, wide, high);
  }

  return {
    smooth,
    // Draws a thumbnail on a canvas of its own; the style sheet sets how large it appears.
    paint(canvas, i) {
      canvas.width = width;
      canvas.height = height;
      canvas.classList.toggle("smooth", smooth);
      if (picture) {
        draw(canvas.getContext("2d"), i, 0, 0, width, height);
      }
    },
    // Draws the thumbnails that have room on the map, each in a frame of the colour of its dot.
    scatter(context, { places, order, states, least, colourOf, view, ratio, mode, still, key }) {
      if (!picture || mode === "never") {
        return;
      }
      const level = Math.round(Math.log(view.zoom) / Math.log(STEP));
      const side = Math.min(30 * STEP ** (level / 4), 84) * ratio;
      const whole = scaleOf(view) / view.zoom;
      const name = [key, level, mode, Math.round(whole)].join();
      if (still && choice.key !== name) {
        const room = (side + 4 * ratio) / (whole * STEP ** level);
        const chosen = spread(places, order, (i) => states[i] >= least, room);
        const meant = states.reduce((sum, state) => sum + (state >= least ? 1 : 0), 0);
        const opacity = mode === "always" ? 1 : Math.min(Math.max((chosen.length / (meant || 1) - ROOM) * 8, 0), 1);
        choice = { key: name, chosen, opacity };
      }
      if (!choice.opacity) {
        return;
      }
      const [wide, high] = [(side * width) / longest, (side * height) / longest];
      const frame = 2 * ratio;
      const { width: right, height: bottom } = context.canvas;
      context.globalAlpha = choice.opacity;
      context.imageSmoothingEnabled = smooth;
      for (const i of choice.chosen) {
        const [x, y] = toScreen(view, places[2 * i], places[2 * i + 1]);
        const [left, top] = [Math.round(x - wide / 2), Math.round(y - high / 2)];
        if (left < right && top < bottom && left + wide > 0 && top + high > 0) {
          context.fillStyle = colourOf(i);
          context.fillRect(left - frame, top - frame, Math.round(wide) + 2 * frame, Math.round(high) + 2 * frame);
          draw(context, i, left, top, Math.round(wide), Math.round(high));
        }
      }
      context.globalAlpha = 1;
    },
  };
}
