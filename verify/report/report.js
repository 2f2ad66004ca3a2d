"use strict";
// Filter and sort of the matrix, links into folded claims, copying. Without it the page is whole, in one order.
document.documentElement.classList.add("scripted");
const rows = [...document.querySelectorAll("#claims tbody tr")];
const words = document.getElementById("words");
const verdict = document.getElementById("verdict");
const found = document.getElementById("found");

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.dataset.text;
    const shown = wanted.every((w) => text.includes(w)) &&
      (!verdict.value || verdict.value === row.dataset.verdict || (verdict.value === "!" && row.dataset.fails === "1"));
    row.hidden = !shown;
    count += shown;
  }
  found.textContent = `${count} of ${rows.length} claims`;
}
words.addEventListener("input", filter);
verdict.addEventListener("change", filter);
filter();

// A click on a heading sorts by that column, another one the other way round.
for (const button of document.querySelectorAll("#claims thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const at = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
    const key = new Map(rows.map((row) => {
      const cell = row.children[at];
      const number = cell.dataset.order;
      return [row, number === undefined ? cell.textContent.trim() : Number(number)];
    }));
    rows.sort((a, b) => {
      const [x, y] = [key.get(a), key.get(b)];
      return down * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    document.querySelector("#claims tbody").append(...rows);
  });
}

// A link to a folded claim opens it.
function open() {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (aim && aim.tagName === "DETAILS") {
    aim.open = true;
    aim.scrollIntoView();
    aim.querySelector("summary").focus();
  }
}
addEventListener("hashchange", open);
open();

// What is printed is everything: a folded claim cannot be opened on paper.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details.claim")) part.open = true;
});
