// The images inside a closed line.

// Returns whether a place is inside a polygon, by the crossings of a ray to the right.
export function inside(polygon, x, y) {
  let within = false;
  for (let i = 0, before = polygon.length - 1; i < polygon.length; before = i, i += 1) {
    const [x1, y1] = polygon[i];
    const [x2, y2] = polygon[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) {
      within = !within;
    }
  }
  return within;
}

// Returns the images `[0 or 1, ...]` whose places are inside a polygon of the same plane and that count.
export function caught(polygon, places, counts) {
  const found = new Uint8Array(places.length / 2);
  const [xs, ys] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  for (let i = 0; i < found.length; i += 1) {
    const [x, y] = [places[2 * i], places[2 * i + 1]];
    found[i] = x >= left && x <= right && y >= low && y <= high && counts(i) && inside(polygon, x, y) ? 1 : 0;
  }
  return found;
}
