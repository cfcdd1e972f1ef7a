"use strict";
// Sorting, filtering and the choice of colours; without it the page shows the same figures.

const looks = ["system", "light", "dark"];
document.getElementById("look").addEventListener("click", (event) => {
  const root = document.documentElement;
  const next = looks[(looks.indexOf(root.dataset.look || "system") + 1) % looks.length];
  root.dataset.look = next;
  event.currentTarget.textContent = `Colours: ${next}`;
});

// A number as it is shown; sizes by their unit, "0.957 shuffle (...)" by its first number.
const units = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
function valueOf(text) {
  const found = /^(-?[\d.,]+(?:e[+-]?\d+)?)(?: ([kMGT]?B)\b)?/.exec(text);
  return found ? parseFloat(found[1].replaceAll(",", "")) * (units[found[2]] || 1) : NaN;
}

const order = new Intl.Collator("en", { numeric: true });
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  // The order of the file is what sorting a third time goes back to.
  const original = [...body.rows];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const next = { none: "ascending", ascending: "descending", descending: "none" }[before];
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", next);
      let rows = original;
      if (next !== "none") {
        const sign = next === "ascending" ? 1 : -1;
        const numeric = head.classList.contains("n");
        const keyed = original.map((row) => {
          const text = row.cells[column].textContent;
          return { row, text, value: numeric ? valueOf(text) : 0 };
        });
        // What has no value is last, whichever way.
        keyed.sort((a, b) => {
          if (!numeric) return sign * order.compare(a.text, b.text);
          const lacking = Number.isNaN(a.value) - Number.isNaN(b.value);
          return lacking || sign * (a.value - b.value) || 0;
        });
        rows = keyed.map((one) => one.row);
      }
      body.append(...rows);
    });
  });
}

for (const input of document.querySelectorAll("input[data-table]")) {
  const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
  const count = document.getElementById(`${input.dataset.table}-count`);
  const all = count.textContent;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${all}` : all;
  });
}

// Figures of many tensors name none of them: what is pointed at is named below.
const names = document.getElementById("names")?.textContent.split("\n");
for (const area of document.querySelectorAll("[data-tips]")) {
  const tips = area.dataset.tips.split("\n");
  const places = area.dataset.at.split(" ");
  const tip = area.closest("figure").querySelector(".tip");
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const at = Math.min(tips.length - 1, Math.max(0, Math.floor(share * tips.length)));
    tip.textContent = `${names[places[at]]}: ${tips[at]}`;
  });
}
