// The part of the plane that the canvas shows: `zoom` 1 shows the unit square whole, `x` and `y` are in the middle.

const LEAST = 0.5;
const MOST = 2000;
const MARGIN = 0.94; // of the canvas that the unit square fills

export function createView() {
  return { x: 0.5, y: 0.5, zoom: 1, width: 1, height: 1 };
}

// Pixels a unit of the plane.
export function scaleOf(view) {
  return Math.min(view.width, view.height) * MARGIN * view.zoom;
}

export function toScreen(view, x, y) {
  const scale = scaleOf(view);
  return [(x - view.x) * scale + view.width / 2, view.height / 2 - (y - view.y) * scale];
}

export function toPlane(view, left, top) {
  const scale = scaleOf(view);
  return [(left - view.width / 2) / scale + view.x, (view.height / 2 - top) / scale + view.y];
}

export function pan(view, right, down) {
  const scale = scaleOf(view);
  view.x = Math.min(Math.max(view.x - right / scale, 0), 1);
  view.y = Math.min(Math.max(view.y + down / scale, 0), 1);
}

// Zooms by a factor; the place under the pixel (left, top) stays there.
export function zoomAt(view, factor, left = view.width / 2, top = view.height / 2) {
  const [x, y] = toPlane(view, left, top);
  view.zoom = Math.min(Math.max(view.zoom * factor, LEAST), MOST);
  const [nowLeft, nowTop] = toScreen(view, x, y);
  pan(view, left - nowLeft, top - nowTop);
}

export function fit(view) {
  Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 });
}
