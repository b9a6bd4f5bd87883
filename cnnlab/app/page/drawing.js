// The drawing: ink in a square of SIDE units, and the grey pixels that the server gets.

export const SIDE = 280;
const FINE = 2; // pixels a unit
const KEPT = 30; // strokes that can be undone

function square(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  return canvas;
}

function draw(context, stroke, from = 0) {
  const { points, width, erase } = stroke;
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  context.lineWidth = width * FINE;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  const first = Math.max(from - 1, 0);
  context.moveTo(points[first][0] * FINE, points[first][1] * FINE);
  for (const [x, y] of points.slice(first)) {
    context.lineTo(x * FINE, y * FINE);
  }
  context.stroke();
}

// Returns a drawing without ink. Strokes are white on a transparent ground; erasing makes the ground transparent again.
export function createDrawing(page) {
  const ink = square(SIDE * FINE);
  const older = square(SIDE * FINE); // strokes that can no longer be undone
  const small = square(page);
  const [context, base] = [ink, older].map((canvas) => canvas.getContext("2d"));
  const reduced = small.getContext("2d", { willReadFrequently: true });
  let strokes = [];
  context.strokeStyle = base.strokeStyle = "#fff";

  function redraw() {
    context.globalCompositeOperation = "copy";
    context.drawImage(older, 0, 0);
    strokes.forEach((stroke) => draw(context, stroke));
  }

  return {
    ink,
    begin(point, width, erase) {
      if (strokes.length === KEPT) {
        draw(base, strokes.shift());
      }
      strokes.push({ points: [point], width, erase });
      draw(context, strokes.at(-1));
    },
    extend(points) {
      const stroke = strokes.at(-1);
      const from = stroke.points.length;
      stroke.points.push(...points);
      draw(context, stroke, from);
    },
    undo() {
      strokes.pop();
      redraw();
    },
    clear() {
      strokes = [];
      base.clearRect(0, 0, older.width, older.height);
      redraw();
    },
    // Grey bytes [page * page], white ink on black.
    pixels() {
      reduced.globalCompositeOperation = "copy";
      reduced.imageSmoothingQuality = "high";
      reduced.drawImage(ink, 0, 0, page, page);
      const { data } = reduced.getImageData(0, 0, page, page);
      const grey = new Uint8Array(page * page);
      for (let i = 0; i < grey.length; i += 1) {
        grey[i] = data[4 * i + 3];
      }
      return grey;
    },
  };
}
