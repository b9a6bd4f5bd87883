// The thumbnails: one picture that is decoded once, and the choice of those that fit beside each other on the map.

import { bytesOf } from "./reading.js";
import { scaleOf, toScreen } from "./view.js";

const STEP = Math.SQRT2; // factor of zoom from one choice to the next
const CROWD = 10; // images that a thumbnail may hide, for each step of zoom; at the start it hides none
const PIXELATED = 40; // pixels of a thumbnail's longer side below which it is enlarged without smoothing

// Returns images, chosen greedily by `order`, of which no two are nearer than `side` along both axes, each with the number
// of images that are nearer to it than that and not chosen.
export function spread(places, order, visible, side) {
  const cells = new Map();
  const wide = Math.ceil(1 / side) + 3;
  for (const i of order) {
    if (!visible(i)) {
      continue;
    }
    const [x, y] = [places[2 * i], places[2 * i + 1]];
    const cell = (Math.floor(y / side) + 1) * wide + Math.floor(x / side) + 1;
    let free = true;
    for (let near = 0; near < 9; near += 1) {
      const other = cells.get(cell + (Math.floor(near / 3) - 1) * wide + (near % 3) - 1);
      if (other && Math.abs(places[2 * other.i] - x) < side && Math.abs(places[2 * other.i + 1] - y) < side) {
        other.hides += 1;
        free = false;
      }
    }
    if (free) {
      cells.set(cell, { i, hides: 0 });
    }
  }
  return [...cells.values()];
}

export function createThumbnails(points, { ready, failed }) {
  const { columns, width, height, type, own } = points.thumbnails;
  let picture = null;
  let choice = { name: "", images: [] };
  let drawn = []; // the thumbnails on the map: image and box
  createImageBitmap(new Blob([bytesOf(document.getElementById("thumbnails").textContent)], { type }))
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
      drawn = [];
      if (!picture || mode === "never") {
        return;
      }
      const level = Math.round(Math.log(view.zoom) / Math.log(STEP));
      const side = Math.min(30 * STEP ** (level / 5), 84) * ratio;
      const whole = scaleOf(view) / view.zoom;
      const name = [key, level, mode, Math.round(whole)].join();
      if (still && choice.name !== name) {
        const room = (side + 4 * ratio) / (whole * STEP ** level);
        const chosen = spread(places, order, (i) => states[i] >= least, room);
        const most = mode === "always" ? Infinity : CROWD * level;
        choice = { name, images: chosen.filter(({ hides }) => hides <= Math.max(most, 0)).map(({ i }) => i) };
      }
      const [wide, high] = [width, height].map((length) => Math.round((side * length) / longest));
      const frame = 2 * ratio;
      context.imageSmoothingEnabled = smooth;
      for (const i of choice.images) {
        const [x, y] = toScreen(view, places[2 * i], places[2 * i + 1]);
        const [left, top] = [Math.round(x - wide / 2), Math.round(y - high / 2)];
        if (left < view.width && top < view.height && left + wide > 0 && top + high > 0) {
          context.fillStyle = colourOf(i);
          context.fillRect(left - frame, top - frame, wide + 2 * frame, high + 2 * frame);
          draw(context, i, left, top, wide, high);
          drawn.push({ i, left, top, right: left + wide, bottom: top + high });
        }
      }
    },
    // Returns the image whose thumbnail on the map is at a place, or null.
    at([x, y]) {
      return drawn.find(({ left, top, right, bottom }) => x >= left && x < right && y >= top && y < bottom)?.i ?? null;
    },
    // Returns half the side of an image's thumbnail on the map, or 0 if it is a dot.
    reach(i) {
      const box = drawn.find((each) => each.i === i);
      return box ? Math.max(box.right - box.left, box.bottom - box.top) / 2 : 0;
    },
  };
}
