// The dots, written into the pixels of a canvas without its drawing functions: some 30 writes a dot, on any machine.

import { contrast, mix, packed } from "./colours.js";
import { scaleOf } from "./view.js";

const PARTS = 4; // places of a dot's middle within a pixel, along each axis
const RING = 0.8; // width of the ring around a dot
const FADED = 0.84; // share of the ground in the colour of a dot that is not meant
const VISIBLE = 1.8; // contrast with the ground below which the ring is darker (or lighter) than the dot

export const HIDDEN = 0;
export const FAINT = 1;
export const PLAIN = 2;

// Radius of a dot in CSS pixels: smaller where there are many, larger when zoomed in.
export function radiusOf(number, zoom) {
  const first = Math.min(Math.max(34 / number ** 0.27, 1.7), 6);
  return Math.min(first * Math.max(zoom, 1) ** 0.25, Math.max(first, 7));
}

// A disc of a radius for each place of its middle: pixels inside, and pixels of the edge with two weights of 0..256.
function stampsOf(radius, ring, stride) {
  const reach = Math.ceil(radius + ring + 1);
  const covered = (distance, edge) => Math.round(256 * Math.min(Math.max(edge - distance + 0.5, 0), 1));
  return Array.from({ length: PARTS * PARTS }, (_, part) => {
    const [x, y] = [(part % PARTS + 0.5) / PARTS, (Math.floor(part / PARTS) + 0.5) / PARTS];
    const [inside, edge, outer, inner] = [[], [], [], []];
    for (let row = -reach; row <= reach; row += 1) {
      for (let column = -reach; column <= reach; column += 1) {
        const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const [whole, fill] = [covered(distance, radius + ring), covered(distance, radius)];
        if (fill === 256) {
          inside.push(row * stride + column);
        } else if (whole) {
          edge.push(row * stride + column);
          outer.push(whole);
          inner.push(fill);
        }
      }
    }
    return [inside, edge, outer, inner].map((list) => Int32Array.from(list));
  });
}

function blend(under, over, weight) {
  const rest = 256 - weight;
  const outer = ((Math.imul(under & 0xff00ff, rest) + Math.imul(over & 0xff00ff, weight)) >>> 8) & 0xff00ff;
  const green = ((Math.imul(under & 0xff00, rest) + Math.imul(over & 0xff00, weight)) >>> 8) & 0xff00;
  return outer | green | 0xff000000;
}

// Returns the packed colours of dots and of their rings, for dots that are meant and for faint ones.
export function inks(palette, { ground, text }) {
  const faint = palette.map((colour) => mix(colour, ground, FADED));
  const ring = (colour) => packed(contrast(colour, ground) < VISIBLE ? mix(colour, text, 0.45) : ground);
  return {
    [PLAIN]: { fills: Uint32Array.from(palette, packed), rings: Uint32Array.from(palette, ring) },
    [FAINT]: { fills: Uint32Array.from(faint, packed), rings: Uint32Array.from(palette, () => packed(ground)) },
    ground: packed(ground),
  };
}

// Returns a function that draws all dots on a canvas; `order` says which lie above others.
export function createDots(canvas) {
  const context = canvas.getContext("2d", { alpha: false });
  let image = null;
  let pixels = null;
  let margin = 0; // of the image around the canvas, in which dots may lie that are cut
  let stamps = null;
  let made = "";

  function prepare(radius, ring) {
    const reach = Math.ceil(radius + ring + 2);
    const key = [canvas.width, canvas.height, radius].join();
    if (key === made) {
      return;
    }
    if (!image || reach > margin || image.width !== canvas.width + 2 * margin || image.height !== canvas.height + 2 * margin) {
      margin = Math.max(reach, margin);
      image = new ImageData(canvas.width + 2 * margin, canvas.height + 2 * margin);
      pixels = new Uint32Array(image.data.buffer);
    }
    stamps = stampsOf(radius, ring, image.width);
    made = key;
  }

  function stamp(places, order, states, shades, state, { fills, rings }, view) {
    const scale = scaleOf(view);
    const [left, top] = [view.width / 2 - view.x * scale + margin, view.height / 2 + view.y * scale + margin];
    const stride = image.width;
    const [right, bottom] = [image.width - margin, image.height - margin];
    for (let at = 0; at < order.length; at += 1) {
      const i = order[at];
      if (states[i] !== state) {
        continue;
      }
      const x = places[2 * i] * scale + left;
      const y = top - places[2 * i + 1] * scale;
      if (!(x >= margin - 1 && x < right + 1 && y >= margin - 1 && y < bottom + 1)) {
        continue;
      }
      const [column, row] = [Math.floor(x), Math.floor(y)];
      const [inside, edge, outer, inner] = stamps[Math.floor((y - row) * PARTS) * PARTS + Math.floor((x - column) * PARTS)];
      const base = row * stride + column;
      const fill = fills[shades[i]];
      const ring = rings[shades[i]];
      for (let k = 0; k < inside.length; k += 1) {
        pixels[base + inside[k]] = fill;
      }
      for (let k = 0; k < edge.length; k += 1) {
        const place = base + edge[k];
        const under = blend(pixels[place], ring, outer[k]);
        pixels[place] = inner[k] ? blend(under, fill, inner[k]) : under;
      }
    }
  }

  return function draw({ places, order, states, shades, inks: ink, view, radius, ratio }) {
    prepare(Math.round(4 * radius * ratio) / 4, RING * ratio);
    pixels.fill(ink.ground);
    stamp(places, order, states, shades, FAINT, ink[FAINT], view);
    stamp(places, order, states, shades, PLAIN, ink[PLAIN], view);
    context.putImageData(image, -margin, -margin);
    return context;
  };
}
