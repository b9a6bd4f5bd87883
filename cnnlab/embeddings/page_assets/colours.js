// The colour of each image: a shade, which is an index into a palette, by the values of a column.

const STEPS = 256; // shades of a column of numbers

export function parse(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

export function mix(from, to, share) {
  return from.map((part, c) => Math.round(part + (to[c] - part) * share));
}

export function css([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

// A colour as one number, as a canvas stores it in memory.
export function packed([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function luminance(colour) {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Contrast of two colours, 1 to 21 (WCAG 2.2).
export function contrast(first, second) {
  const [dark, light] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

// The colour at a share 0..1 of a scale.
export function onScale(stops, share) {
  const at = share * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return mix(stops[i], stops[i + 1], at - i);
}

// Returns the shade of each image and the palette; the last colour is that of unknown values.
export function shadesOf(points, column) {
  const unknown = parse(points.colours.unknown);
  const shades = new Uint16Array(points.number);
  if (!column) {
    return { shades, palette: [parse(points.colours.classes[0]), unknown] };
  }
  if (column.kind === "categories") {
    const own = points.colours.classes.map(parse);
    const used = Math.min(own.length, column.labels.length);
    column.values.forEach((value, i) => { shades[i] = value < column.labels.length ? value % used : used; });
    return { shades, palette: [...own.slice(0, used), unknown] };
  }
  const stops = points.colours.ramp.map(parse);
  const [low, high] = rangeOf(column.values);
  column.values.forEach((value, i) => {
    const share = high > low ? (value - low) / (high - low) : 0.5;
    shades[i] = Number.isFinite(value) ? Math.round(share * (STEPS - 1)) : STEPS;
  });
  const palette = Array.from({ length: STEPS }, (_, step) => onScale(stops, step / (STEPS - 1)));
  return { shades, palette: [...palette, unknown], range: [low, high] };
}

// Returns the smallest and the largest finite value.
export function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (Number.isFinite(value)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return [low, high];
}
