"use strict";
// The page is complete without this script, which adds a choice of theme and tables that sort.
(() => {
  const themes = { "": "as the system", light: "light", dark: "dark" };
  const button = document.getElementById("theme");
  const choose = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.querySelector("span").textContent = themes[theme];
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    const now = document.documentElement.dataset.theme ?? "";
    choose(names[(names.indexOf(now) + 1) % names.length]);
  });

  // On paper everything is unfolded and light, what scripts have drawn too.
  let before;
  addEventListener("beforeprint", () => {
    const folded = [...document.querySelectorAll("details:not([open])")];
    before = { theme: document.documentElement.dataset.theme ?? "", folded };
    folded.forEach((details) => (details.open = true));
    choose("light");
  });
  addEventListener("afterprint", () => {
    before.folded.forEach((details) => (details.open = false));
    choose(before.theme);
  });

  // "98.2 %", ">99.9 %", "1,024", "-0.5", "R2 0.5" and "loss 0.1" are sorted by their numbers, times
  // such as "59.0 s", "1 min 03 s" and "2 h 05 min" by their seconds, all else as text.
  const valueOf = (row, column) => {
    const text = row.cells[column].textContent.trim().replace(/^(R2|loss) /, "");
    const time = /^(?:(\d+) h ?)?(?:(\d+) min ?)?(?:([\d.]+) s)?$/.exec(text);
    if (text && time) return [3600, 60, 1].reduce((sum, s, i) => sum + s * (time[i + 1] ?? 0), 0);
    const number = Number(text.replaceAll(",", "").replace(/\s?%$/, "").replace(/^[<>]/, ""));
    return text === "" ? -Infinity : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));

  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const sort = document.createElement("button");
      sort.type = "button";
      sort.textContent = head.textContent;
      sort.title = "Sort";
      head.replaceChildren(sort);
      sort.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => (down ? -1 : 1) * compare(valueOf(a, column), valueOf(b, column)));
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
