// Pictures that arrive as grey bytes in base64, drawn on canvases in colours.

export function decode(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) {
    bytes[i] = binary.charCodeAt(i);
  }
  return bytes;
}

const STOPS = {
  grey: [[0, 0, 0], [255, 255, 255]],
  fire: [[13, 8, 34], [84, 15, 109], [187, 55, 84], [249, 142, 8], [252, 255, 164]],
  signed: [[33, 102, 172], [146, 197, 222], [247, 247, 247], [244, 165, 130], [178, 24, 43]],
};

function table(stops) {
  return Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1);
    const i = Math.min(Math.floor(at), stops.length - 2);
    return stops[i].map((low, c) => Math.round(low + (at - i) * (stops[i + 1][c] - low)));
  });
}

const COLOURS = Object.fromEntries(Object.entries(STOPS).map(([name, stops]) => [name, table(stops)]));

// Draws picture number `index` of a stack of pictures of the same size.
export function paint(canvas, bytes, { width, height }, { colours = "grey", index = 0, alpha = false } = {}) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const offset = index * width * height;
  for (let i = 0; i < width * height; i += 1) {
    const value = bytes[offset + i];
    const [red, green, blue] = COLOURS[colours][value];
    image.data.set([red, green, blue, alpha ? value : 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

// Draws a stack of pictures as a grid with gaps of one pixel.
export function paintGrid(canvas, bytes, size, number, columns, colours) {
  const single = document.createElement("canvas");
  const rows = Math.ceil(number / columns);
  canvas.width = columns * (size.width + 1) - 1;
  canvas.height = rows * (size.height + 1) - 1;
  const context = canvas.getContext("2d");
  for (let i = 0; i < number; i += 1) {
    paint(single, bytes, size, { colours, index: i });
    context.drawImage(single, (i % columns) * (size.width + 1), Math.floor(i / columns) * (size.height + 1));
  }
}
