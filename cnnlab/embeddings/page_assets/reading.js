// What the file holds: names, places, columns, neighbours, probabilities and the picture of all thumbnails.

import { brief, STRINGS } from "./strings.js";

const ARRAYS = { Float32Array, Uint16Array, Uint32Array };

export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) {
    bytes[i] = binary.charCodeAt(i);
  }
  return bytes;
}

function unpack({ type, data }) {
  return new ARRAYS[type](bytesOf(data).buffer);
}

// Returns the points, with typed arrays; `text(column, i)` is the value of an image in words.
export function readPoints() {
  const read = JSON.parse(document.getElementById("data").textContent);
  const columns = read.columns.map((column) => ({ ...column, values: unpack(column.values) }));
  const table = ({ columns: width, ...packed }) => ({ width, values: unpack(packed) });
  return {
    ...read,
    number: read.names.length,
    planes: read.planes.map(({ name, places }) => ({ name, places: unpack(places) })),
    columns,
    neighbours: table(read.neighbours),
    probs: read.probs && { ...table(read.probs.classes), shares: unpack(read.probs.values) },
    text(column, i) {
      const value = column.values[i];
      const text = column.kind === "numbers" ? (Number.isFinite(value) ? brief(value) : null) : column.labels[value];
      return text ?? STRINGS.unknown;
    },
  };
}
