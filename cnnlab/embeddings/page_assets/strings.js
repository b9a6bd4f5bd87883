// Every English word that the page shows; the one exception is the sentence for browsers without scripts.

export const STRINGS = {
  map: "Map of the images",
  plane: "Projection",
  colour: "Colour",
  oneColour: "none",
  images: "Images",
  imagesZoomed: "with room",
  imagesAlways: "always",
  imagesNever: "never",
  search: "Search",
  searchHint: "name or label",
  matches: (number, of) => `${count(number)} of ${count(of)}`,
  mode: "Drag to",
  modeMove: "Move",
  modeLasso: "Lasso",
  canvas: "Map of the images; each point is an image",
  howTo: "Mouse, fingers and keyboard",
  help:
    "Wheel or pinch to zoom, drag to move, Shift and drag to lasso. A click keeps an image in view. With the keyboard: arrow "
    + "keys go from image to image, + and − zoom, 0 shows all, Shift and arrow keys move, N goes to the next image that "
    + "search found, Enter keeps an image, Escape lets it go and then clears the lasso.",
  closer: "Zoom in",
  farther: "Zoom out",
  fit: "Show all",
  selection: "Lasso",
  selected: (number, of) => `${count(number)} of ${count(of)} images (${percentage(number / of)} %)`,
  selectedNone: "No image is inside the lasso.",
  copy: "Copy names",
  copied: (number) => (number === 1 ? "1 name copied" : `${count(number)} names copied`),
  notCopied: "The browser refused to copy; download the CSV file.",
  download: "Download CSV",
  forget: "Clear",
  file: "selection.csv",
  nameColumn: "name",
  shares: (column) => `${column}: share of these images`,
  spread: (column) => `${column} of these images`,
  low: "lowest",
  middle: "mean",
  high: "highest",
  more: (number) => `and ${count(number)} more`,
  image: "Image",
  name: "Name",
  nothing: "Point at an image, or go to it with the keyboard, to see it with its probabilities and its nearest neighbours.",
  pictureLabel: (name) => `Thumbnail of ${name}`,
  probs: (shown, of) => (shown < of ? `The ${shown} most probable of ${count(of)} classes` : "Probability of each class"),
  percent: (share) => `${percentage(share)} %`,
  near: "Nearest in feature space",
  unknown: "unknown",
  all: "All",
  none: "None",
  legend: (column) => `Categories of ${column}; press one to hide or show it`,
  repeated: (number) => `Colours repeat after ${number} categories.`,
  unknownNumbers: (number) => `${count(number)} unknown, in grey`,
  spoken: (name, values) => [name, ...values].join(", "),
  noCanvas: "This browser has no canvas to draw on; use a newer one.",
  noPicture: "The browser could not read the thumbnails; the points are shown without them.",
};

export function count(number) {
  return number.toLocaleString("en");
}

export function percentage(share) {
  const percent = 100 * share;
  return percent >= 10 || percent < 0.05 ? percent.toFixed(0) : percent.toFixed(1);
}

export function brief(number) {
  return Number(number.toPrecision(4)).toString();
}

// Fills every element that names its string by data-text, data-label or data-hint.
export function fillStrings() {
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = STRINGS[element.dataset.text];
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", STRINGS[element.dataset.label]);
  }
  for (const element of document.querySelectorAll("[data-hint]")) {
    element.placeholder = STRINGS[element.dataset.hint];
  }
}
