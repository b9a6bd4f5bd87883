// Every English word that the page shows; the one exception is the sentence for browsers without scripts.

export const STRINGS = {
  title: "Draw your number",
  photoHeading: "Show the network a photo",
  run: (about) => `The network of ${about.run}`,
  boardTitle: "Your drawing",
  paper: "Paper to draw on",
  paperHelp:
    "Draw with mouse, finger or pen. With the keyboard: arrow keys move the pen, Space puts it down or lifts it, "
    + "Delete clears the paper. The round handles turn and shift the drawing.",
  turnHandle: "Turn the drawing: drag, or press arrow keys",
  shiftHandle: "Shift the drawing: drag, or press arrow keys",
  tool: "Tool",
  pen: "Pen",
  eraser: "Eraser",
  penWidth: "Width",
  thin: "thin",
  medium: "medium",
  thick: "thick",
  undo: "Undo",
  clear: "Clear",
  turn: "Turn",
  right: "To the right",
  down: "Down",
  upright: "Back upright and centred",
  degrees: (value) => `${value}°`,
  pixels: (value) => `${value} px`,
  percent: (value) => `${value} %`,
  why: "Why? (Grad-CAM)",
  whyOff: "off",
  whyFirst: "first guess",
  whySecond: "second guess",
  whyOf: (guess) => `for ${guess}`,
  opacity: "Opacity",
  answerTitle: "What the network says",
  blank: "Draw a number.",
  seen: "what it really sees",
  seenLabel: "The drawing as the network sees it",
  first: "First guess",
  second: "Second guess",
  strange: "Strangeness",
  strangeValue: (value) => `${value.toFixed(2)} (limit 1)`,
  strangeNone: "not measured",
  bars: (passes) =>
    passes
      ? `Probability of each class: mean and standard deviation over ${passes} passes with dropout`
      : "Probability of each class. This network has no dropout, so there are no error bars.",
  sure: (mean, deviation) =>
    deviation === null || Math.max(mean, deviation) < 0.0005
      ? `${percentage(mean)} %`
      : `${percentage(mean)} ± ${percentage(deviation)} %`,
  insideTitle: "Layer by layer",
  insideHelp:
    "What fires in each layer, the strongest brightest. Choose a map to see its filter, the training patches that "
    + "excite it most, and the part of your drawing that it looks at. Arrow keys move within a layer.",
  layerTitle: (layer) => {
    const some = layer.units < layer.of ? `the first ${layer.units} of ${layer.of}` : `${layer.of}`;
    return layer.height > 1 || layer.width > 1 ? `${some} maps, ${layer.width}×${layer.height}` : `${some} units`;
  },
  unitLabel: (layer, unit) => `${layer}, unit ${unit}`,
  unitField: (answer) =>
    `Its value is ${answer.activation.toFixed(2)} where it is largest, in the frame on your drawing.`,
  filter: (answer) =>
    answer.of > answer.slices
      ? `filter: its first ${answer.slices} of ${answer.of} channels (blue below 0, red above)`
      : `filter (blue below 0, red above)`,
  filterLabel: "The filter of the unit",
  patches: (number) => `the ${number} training patches that excite it most`,
  patchesLabel: "Training patches that excite the unit most",
  close: "Close",
  photoTitle: "Your photo",
  photoHelp: "Drop a photo here, paste one, or choose a file.",
  choose: "Choose a file",
  photoLabel: "The photo with the answer of the network",
  layer: "Map",
  waiting: "The network is looking …",
  noMap: "photo alone",
  map: (name) => ({ mask: "classes", mutual_information: "mutual information" })[name] ?? name,
  boxes: (number) => (number === 1 ? "1 object" : `${number} objects`),
  scores: "Score of each object",
  boxesCaption: (passes) =>
    passes ? "Ellipses: two standard deviations of the corners over the passes" : "This network has no dropout: boxes without ellipses.",
  values: "Value of each target with its central 95 % interval",
  valuesAlone: "Value of each target. This network has no dropout, so there is no interval.",
  value: (value, low, high) => (low === undefined ? number(value) : `${number(value)} (${number(low)} to ${number(high)})`),
  legend: "Colours of the classes",
  scale: (white) => `Black is 0, white is ${number(white)}.`,
  masks: (passes) =>
    "The share of the photo that each class covers"
    + (passes ? "" : ". This network has no dropout, so there are no maps of variance."),
  segmented: "The photo in its classes",
  photoBlank: "Show it a photo.",
  labels: (names) => (names.length ? names.join(", ") : "none of the labels"),
  noCanvas: "This browser has no canvas to draw on; use a newer one, or cnnlab predict.",
  unreachable: "The server does not answer. Is cnnlab draw still running?",
  noImage: "That is no image file. Drop, paste or choose a PNG, JPEG, GIF, BMP, TIFF or WebP.",
  noFiles: "This network reads drawings. cnnlab predict reads files.",
  noPreview: "This browser cannot show the photo; the answer is beside it.",
};

export function percentage(share) {
  const percent = 100 * share;
  return percent >= 10 || percent < 0.05 ? percent.toFixed(0) : percent.toFixed(1);
}

function number(value) {
  return Number(value.toPrecision(4)).toString();
}

// Fills every element that names its string by data-text, and every label of data-label.
export function fillStrings(root = document) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = STRINGS[element.dataset.text];
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", STRINGS[element.dataset.label]);
  }
}
