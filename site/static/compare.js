"use strict";
// The compare page: the entries that its address names, against each other. The page is complete without it.
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  // The entries of the address against each other; those beyond the first rows come from the board's JSON.
  async function comparing(table) {
    const said = one("picked"), most = 4, box = one("against"), rows = () => all("tbody tr", table);
    const known = (slug) => rows().some((row) => row.dataset.e === slug);
    let wanted = new URLSearchParams(location.search).getAll("e").flatMap((e) => e.split(","));
    wanted = [...new Set(wanted.filter((slug) => slug))].slice(0, most);
    if (!wanted.length) return;
    let targets = JSON.parse(box.dataset.pairs);
    const listed = (slugs) => slugs.every((slug) => targets.every((t) => t.slugs.includes(slug)));
    if (!wanted.every(known) || (rows().length > targets[0]?.slugs.length && !listed(wanted))) {
      try {
        const board = await (await fetch(box.dataset.json)).json();
        for (const slug of wanted) if (!known(slug)) append(table, board, slug);
        targets = board.targets.filter((t) => t.pairs).map(({ target, label, pairs }) => ({ target, label, ...pairs }));
      } catch { said.textContent = "Entries beyond the first need the page to be opened over http."; }
    }
    wanted = rows().map((row) => row.dataset.e).filter((slug) => wanted.includes(slug));
    if (!wanted.length) return;
    const first = rows()[0].dataset.e;
    if (wanted.length === 1 && wanted[0] !== first) wanted.unshift(first);
    for (const row of rows()) {
      row.hidden = !wanted.includes(row.dataset.e);
      row.querySelector("input").checked = !row.hidden;
    }
    one("every").hidden = false;
    if (!said.textContent) said.textContent = `${wanted.length} entries`;
    one("caption").textContent = "The ticked entries";
    if (wanted.length > 1) against(box, wanted, targets, rows());
  }

  function append(table, board, slug) {
    const found = board.targets.map((t) => [t.target, t.rows.find((row) => row.slug === slug)]).filter(([, row]) => row);
    if (!found.length) return;
    const row = table.tBodies[0].rows[0].cloneNode(true), own = found[0][1];
    row.dataset.e = slug;
    row.className = "";
    const link = row.querySelector("a"), tick = row.querySelector("input");
    link.href = link.getAttribute("href").replace(/e\/[^/]*\//, `e/${slug}/`);
    link.textContent = own.name;
    tick.value = slug;
    tick.setAttribute("aria-label", `Compare ${own.name}`);
    [...table.tHead.rows[0].cells].forEach((head, i) => {
      if (!i) return;
      const cell = (found.find(([target]) => target === head.dataset.t) || (head.dataset.t ? [] : found[0]))[1]?.cells[head.dataset.c];
      row.cells[i].textContent = cell ? cell.text : "";
      if (!cell || cell.value === null || !cell.interval) return;
      const limits = document.createElement("small");
      limits.textContent = cell.interval;
      row.cells[i].append(limits);
    });
    table.tBodies[0].append(row);
  }

  const mark = (parent, name, values) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in values) made.setAttribute(key, values[key]);
    parent.append(made);
    return made;
  };

  // Every pair of the wanted entries on every target: difference, adjusted interval, drawing, verdict.
  function against(box, slugs, targets, rows) {
    const body = box.querySelector("tbody"), name = (slug) => rows.find((row) => row.dataset.e === slug).querySelector("a").textContent;
    const number = (x, digits = 3) => x.toFixed(digits).replace(/^-(?=0\.0+$)/, "").replace("-", "\u2212");
    const signed = (x) => (Number(x.toFixed(3)) > 0 ? "+" : "") + number(x);
    const limits = (l, h) => { // enough digits to show on which side of 0 they lie
      let digits = 3;
      while (digits < 6 && l * h > 0 && !Number(Math.min(Math.abs(l), Math.abs(h)).toFixed(digits))) digits += 1;
      return number(l, digits) + (l < 0 || h < 0 ? " to " : "–") + number(h, digits);
    };
    const pairs = slugs.flatMap((a, i) => slugs.slice(i + 1).map((b) => [a, b])), found = [];
    for (const [a, b] of pairs) for (const { label, slugs: known, difference, low, high, p } of targets) {
      const [x, y] = [known.indexOf(a), known.indexOf(b)], [i, j] = [Math.min(x, y), Math.max(x, y)], k = i * (2 * known.length - i - 1) / 2 + j - i - 1;
      const sure = low[k] > 0 || high[k] < 0;
      found.push([a, b, label, x < 0 || y < 0 ? null : {
        d: x < y ? difference[k] : -difference[k], l: low[k] === null ? null : x < y ? low[k] : -high[k], h: low[k] === null ? null : x < y ? high[k] : -low[k],
        word: sure ? "separated" : p[k] < 0.05 ? "suggestive" : "could be chance",
      }]);
    }
    const reach = Math.max(0.01, ...found.flatMap(([, , , f]) => (f ? [f.d, f.l, f.h] : [])).map(Math.abs));
    const digit = 10 ** Math.floor(Math.log10(reach)), most = Math.ceil(reach / digit) * digit, at = (v) => `${50 + 47 * v / most}%`;
    const axis = box.querySelector(".axis");
    for (const text of all("text", axis)) text.remove();
    for (const v of [-most, 0, most]) mark(axis, "text", { x: at(v), y: 11 }).textContent = v ? String(Number(v.toFixed(6))).replace("-", "\u2212") : "0";
    body.replaceChildren();
    for (const [a, b, label, f] of found) {
      const row = body.insertRow(), cells = [0, 1, 2].map(() => row.insertCell());
      const own = document.createElement("th");
      own.scope = "row";
      own.textContent = pairs.length > 1 ? `${name(a)} against ${name(b)}, ${label}` : label;
      row.prepend(own);
      cells[0].className = "pl";
      cells[1].className = "n";
      cells[1].textContent = f ? `${signed(f.d)}${f.l === null ? "" : ` (${limits(f.l, f.h)})`}` : "not compared";
      if (!f) continue;
      const svg = mark(cells[0], "svg", { class: "iv", "aria-hidden": "true" });
      mark(svg, "line", { class: "ref", x1: "50%", x2: "50%", y1: 0, y2: "100%" });
      if (f.l !== null) mark(svg, "line", { class: "ci", x1: at(f.l), x2: at(f.h), y1: "50%", y2: "50%" });
      mark(svg, "circle", { class: "pt", cx: at(f.d), cy: "50%", r: 4.5 });
      const chip = document.createElement("span");
      chip.className = f.word === "could be chance" ? "chip" : "chip w1";
      chip.textContent = f.word;
      cells[2].append(chip);
    }
    one("ab").textContent = pairs.length > 1 ? "Against each other" : `${name(slugs[0])} against ${name(slugs[1])}`;
    box.hidden = false;
  }

  addEventListener("DOMContentLoaded", () => { if (one("compare")) comparing(one("compare")); });
})();
