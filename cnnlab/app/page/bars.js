// Bars of probabilities with their error bars.

import { STRINGS } from "./strings.js";

// Makes a row for each class in a table's body; returns a function that shows probabilities.
export function createBars(body, classes) {
  const rows = classes.map((name) => {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    const track = document.createElement("div");
    const fill = document.createElement("div");
    const whisker = document.createElement("div");
    track.className = "track";
    fill.className = "fill";
    whisker.className = "whisker";
    track.append(fill, whisker);
    row.insertCell().append(track);
    const number = row.insertCell();
    number.className = "number";
    return { row, fill, whisker, number };
  });
  return function show(mean, deviation) {
    const best = mean ? mean.indexOf(Math.max(...mean)) : -1;
    rows.forEach(({ row, fill, whisker, number }, i) => {
      const value = mean ? mean[i] : 0;
      const spread = mean && deviation ? deviation[i] : 0;
      const low = Math.max(value - spread, 0);
      const high = Math.min(value + spread, 1);
      row.classList.toggle("best", i === best);
      fill.style.transform = `scaleX(${value})`;
      whisker.hidden = !(spread > 0.0005);
      whisker.style.left = `${100 * low}%`;
      whisker.style.width = `${100 * (high - low)}%`;
      number.textContent = mean ? STRINGS.sure(value, deviation ? spread : null) : "";
    });
  };
}
