"use strict";
// Sorting, filtering, columns, the view in the address, theme, comparison. Pages are complete without it.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  const remembered = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  if (remembered()) root.dataset.theme = remembered();

  function theme() {
    const button = one("theme");
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme:dark)").matches ? "dark" : "light")) === "dark";
    const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a private window remembers nothing */ }
      label();
    });
    label();
  }

  const value = (row, index) => {
    const cell = row.cells[index];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    if (cell.querySelector(".word")) return null; // shown, never ranked
    const text = cell.textContent.trim();
    if (!cell.classList.contains("n")) return text || null;
    const number = parseFloat(text.replaceAll(",", "").replace("−", "-"));
    return Number.isNaN(number) ? null : number;
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
  const nullsLast = (a, b, direction) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return direction * compare(a, b);
  };

  function sort(table, key, direction) {
    const heads = all("thead tr:last-child th", table);
    const index = heads.findIndex((head) => head.dataset.k === key);
    if (index < 0) return;
    heads.forEach((head, i) => {
      if (i === index) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    // The parts of a long list are sorted as one; entries that are not ranked stay below.
    const bodies = [...table.tBodies], headed = bodies.filter((body) => body.querySelector(".part"));
    for (const group of [bodies.filter((body) => !headed.includes(body)), ...headed.map((body) => [body])]) {
      const rows = group.flatMap((body) => all("tr[data-e]", body)).map((row) => [value(row, index), Number(row.dataset.p), row]);
      rows.sort(([a, p], [b, q]) => nullsLast(a, b, direction) || p - q);
      const share = Math.ceil(rows.length / group.length);
      group.forEach((body, i) => body.append(...rows.slice(share * i, share * (i + 1)).map(([, , row]) => row)));
    }
  }

  function board() {
    const table = one("board") || one("list"), tools = one("tools"), count = one("count");
    if (!table) return;
    const rows = all("tr[data-e]", table);
    const heads = all("thead tr:last-child th", table).map((head) => head.dataset.k);
    const words = new Map(); // read when first searched: a long board opens sooner
    const wordsOf = (row) => words.get(row) ?? words.set(row, `${row.textContent} ${row.dataset.q || ""}`.toLowerCase()).get(row);
    const first = all("thead tr:last-child th", table).map((head) => (head.dataset.d === undefined ? 1 : -1));
    rows.forEach((row, place) => { row.dataset.p = place; });
    const facets = all("select", tools);
    const views = all(".view [name=view]");
    const view = () => views.find((v) => v.checked) || views[0];
    let order = ["rank", 1];

    const show = () => {
      const query = tools.elements.q.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const fits = (!query || wordsOf(row).includes(query)) &&
          facets.every((s) => !s.value || row.cells[heads.indexOf(s.name)].textContent.trim() === s.value);
        row.hidden = !fits;
        shown += fits;
      }
      for (const body of table.tBodies) {
        const part = body.querySelector(".part");
        if (part) part.hidden = !body.querySelector("tr[data-e]:not([hidden])");
      }
      table.classList.toggle("some", shown < rows.length);
      count.textContent = shown === rows.length ? `${shown} entries` : `${shown} of ${rows.length} entries`;
    };
    const save = (replace) => {
      const state = new URLSearchParams();
      if (tools.elements.q.value) state.set("q", tools.elements.q.value);
      for (const s of facets) if (s.value) state.set(s.name, s.value);
      if (views.length && view() !== views[0]) state.set("view", view().id.slice(2));
      if (order[0] !== "rank" || order[1] !== 1) state.set("sort", (order[1] < 0 ? "-" : "") + order[0]);
      const query = state.toString();
      try { history[replace ? "replaceState" : "pushState"](null, "", query ? `?${query}` : location.pathname); } catch { /* not from a folder */ }
    };
    const restore = () => {
      const state = new URLSearchParams(location.search);
      tools.elements.q.value = state.get("q") || "";
      for (const s of facets) {
        const wanted = state.get(s.name) || "";
        s.value = all("option", s).some((o) => o.value === wanted || o.text === wanted) ? wanted : "";
      }
      const wished = views.find((v) => v.id.slice(2) === state.get("view")) || views[0];
      if (wished) wished.checked = true;
      const key = state.get("sort") || "rank";
      order = key.startsWith("-") ? [key.slice(1), -1] : [key, 1];
      if (!heads.includes(order[0])) order = ["rank", 1];
      sort(table, ...order);
      show();
    };
    tools.addEventListener("submit", (event) => event.preventDefault());
    tools.addEventListener("input", (event) => { show(); save(event.target.name === "q"); });
    all("thead button", table).forEach((button) => button.addEventListener("click", () => {
      const key = button.closest("th").dataset.k;
      order = order[0] === key ? [key, -order[1]] : [key, first[heads.indexOf(key)]];
      sort(table, ...order);
      save();
    }));
    for (const v of views) v.addEventListener("change", () => save());
    addEventListener("popstate", restore);
    if (location.search) restore();
  }

  // The list of problem codes, by code, title and meaning.
  function finding() {
    const form = one("find");
    if (!form) return;
    const codes = all(".codes li"), field = form.elements.q;
    const show = () => {
      const query = field.value.trim().toLowerCase();
      for (const code of codes) code.hidden = !`${code.textContent} ${code.dataset.q}`.toLowerCase().includes(query);
      form.querySelector("output").textContent = `${codes.filter((code) => !code.hidden).length} of ${codes.length} codes`;
    };
    field.value = new URLSearchParams(location.search).get("q") || "";
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      show();
      try { history.replaceState(null, "", field.value ? `?${new URLSearchParams({ q: field.value })}` : location.pathname); } catch { /* not from a folder */ }
    });
    if (field.value) show();
  }

  function picking() {
    const form = one("pick");
    if (!form) return;
    const said = one("picked"), boxes = all("[name=e]", form), most = 4;
    const ticked = () => boxes.filter((box) => box.checked).map((box) => box.value);
    form.addEventListener("change", () => {
      const n = ticked().length;
      said.textContent = n > most ? `Tick at most four; ${n} are ticked.` : "";
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = ticked();
      if (chosen.length < 2 || chosen.length > most) said.textContent = "Tick two to four entries.";
      else location.href = `${form.getAttribute("action")}?e=${chosen.join(",")}`;
    });
  }

  function button(words, label, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "copy";
    made.textContent = words;
    if (label) made.setAttribute("aria-label", `${words}: ${label.slice(0, 80)}`);
    made.addEventListener("click", () => action(made));
    return made;
  }

  // A button beside what can be copied.
  function copying() {
    if (!navigator.clipboard) return;
    for (const block of all("[data-copy]")) {
      block.after(button("Copy", "", async (made) => {
        try { await navigator.clipboard.writeText(block.textContent); made.textContent = "Copied"; } catch { made.textContent = "Select and copy"; }
      }));
    }
  }

  // Drawings as files. Colours are written into the marks, since a file leaves the style sheet behind.
  const SVG = "http://www.w3.org/2000/svg";
  const STYLE = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "paint-order", "font-size", "font-weight", "text-anchor"];
  function styled(svg) {
    const copy = svg.cloneNode(true), marks = [svg, ...svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((mark, i) => {
      const style = getComputedStyle(marks[i]);
      for (const key of STYLE) mark.setAttribute(key, style.getPropertyValue(key));
    });
    return copy;
  }

  // A table as it stands on the page: its words, its lines, and the drawings of its cells.
  function tableDrawing(table) {
    const box = table.getBoundingClientRect(), made = document.createElementNS(SVG, "svg");
    made.setAttribute("viewBox", `0 0 ${Math.ceil(box.width)} ${Math.ceil(box.height)}`);
    const add = (name, values, words = "") => {
      const mark = document.createElementNS(SVG, name);
      for (const key in values) mark.setAttribute(key, values[key]);
      mark.textContent = words;
      made.append(mark);
    };
    const line = getComputedStyle(root).getPropertyValue("--line");
    for (const row of table.rows) {
      const y = row.getBoundingClientRect().bottom - box.top;
      if (row.offsetHeight) add("line", { x1: 0, x2: box.width, y1: y, y2: y, stroke: line });
    }
    const words = document.createTreeWalker(table, NodeFilter.SHOW_TEXT), range = document.createRange();
    for (let node = words.nextNode(); node; node = words.nextNode()) {
      if (node.parentElement.closest("svg,.vh")) continue;
      const style = getComputedStyle(node.parentElement);
      for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const at = range.getBoundingClientRect();
        if (at.width) add("text", { x: at.left - box.left, y: at.bottom - box.top - at.height * 0.24, fill: style.color, "font-size": style.fontSize, "font-weight": style.fontWeight }, word);
      }
    }
    for (const svg of all("svg", table)) {
      const at = svg.getBoundingClientRect(), copy = styled(svg);
      if (!at.width) continue;
      for (const [key, value] of Object.entries({ x: at.left - box.left, y: at.top - box.top, width: at.width, height: at.height, overflow: "visible" })) copy.setAttribute(key, value);
      made.append(copy);
    }
    return made;
  }

  function save(svg, name) {
    const defs = document.createElementNS(SVG, "defs");
    const paper = document.createElementNS(SVG, "rect");
    for (const [key, value] of [["width", "100%"], ["height", "100%"], ["fill", getComputedStyle(root).backgroundColor]]) paper.setAttribute(key, value);
    svg.prepend(defs, paper);
    for (let more = true; more;) { // what the drawing refers to elsewhere on the page
      more = false;
      for (const [, id] of svg.outerHTML.matchAll(/(?:url\(&quot;#|url\("?#|href="#)([\w-]+)/g)) {
        if (!one(id) || svg.querySelector(`#${CSS.escape(id)}`)) continue;
        defs.append(styled(one(id)));
        more = true;
      }
    }
    svg.setAttribute("xmlns", SVG);
    svg.setAttribute("font-family", "sans-serif");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }));
    const words = `${document.title.split(" · ")[0]} ${name.split(/[.:,]/)[0]}`;
    link.download = `${words.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  function saving() {
    for (const svg of all("main svg.chart, main svg.icons")) {
      const name = svg.getAttribute("aria-label");
      (svg.closest(".scroll") || svg).after(button("SVG", name, () => save(styled(svg), name)));
    }
    for (const table of all("main table")) {
      if (!table.querySelector(".iv")) continue;
      const part = table.closest("section"), name = (part ? part.querySelector("h2") : document.querySelector("h1")).textContent;
      const made = button("SVG", name, () => save(tableDrawing(table), name)), box = table.closest(".scroll") || table;
      // In a line that is there already, so that nothing below it moves.
      const beside = table.closest("form")?.querySelector(".pick") || (box.nextElementSibling?.matches(".key") && box.nextElementSibling);
      if (beside) beside.append(" ", made);
      else box.after(made);
    }
  }

  const tip = document.createElement("div");
  function tell(words, box, spoken) {
    tip.textContent = words;
    tip.setAttribute("aria-hidden", spoken ? "false" : "true");
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(box.left + scrollX, scrollX + innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${box.bottom + scrollY + 6}px`;
  }

  // The values of a chart's curves, under the pointer or step by step with the arrow keys.
  function reading() {
    for (const svg of all("svg[data-x]")) {
      const [x, y] = [svg.dataset.x, svg.dataset.y].map((axis) => axis.split(" ").map(Number));
      const scaled = ([low, high, start, end], place) => low + (high - low) * (place - start) / (end - start);
      const curves = all("path[data-n]", svg).map((path) => [path.dataset.n,
        path.getAttribute("d").slice(1).split("L").map((point) => point.split(" ").map(Number))]);
      if (!curves.length) continue;
      const axis = svg.querySelector(".name.mid").textContent;
      let place = (x[2] + x[3]) / 2;
      const say = (spoken) => {
        const words = curves.flatMap(([name, points]) => {
          const i = points.findIndex((p, k) => k && points[k - 1][0] <= place && place <= p[0] && p[0] > points[k - 1][0]);
          if (i < 0) return [];
          const [a, b] = [points[i - 1], points[i]];
          return [`${name} ${scaled(y, a[1] + (b[1] - a[1]) * (place - a[0]) / (b[0] - a[0])).toFixed(3)}`];
        });
        const box = svg.getBoundingClientRect();
        tell(`${axis} ${scaled(x, place).toFixed(2)}: ${words.join(", ") || "no value"}`, box, spoken);
      };
      svg.tabIndex = 0;
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        place = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
        if (place < x[2] || place > x[3]) tip.hidden = true;
        else say(false);
      });
      svg.addEventListener("pointerleave", () => { tip.hidden = true; });
      svg.addEventListener("focus", () => say(true));
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        place = Math.max(x[2], Math.min(x[3], place + step * (x[3] - x[2]) / 20));
        say(true);
      });
    }
  }

  function highlighting() {
    tip.className = "tip";
    tip.setAttribute("role", "status");
    tip.hidden = true;
    document.body.append(tip);
    const light = (target, on) => {
      const marked = target.closest && target.closest("[data-e]");
      if (!marked) return;
      for (const same of all(`[data-e="${CSS.escape(marked.dataset.e)}"]`)) same.classList.toggle("on", on);
    };
    addEventListener("mouseover", (event) => light(event.target, true));
    addEventListener("mouseout", (event) => light(event.target, false));
    addEventListener("focusin", (event) => {
      light(event.target, true);
      const link = event.target.closest(".chart a");
      if (!link) return;
      tell(link.querySelector("title").textContent, link.getBoundingClientRect(), false);
    });
    addEventListener("focusout", (event) => { light(event.target, false); tip.hidden = true; });
    addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
  }

  addEventListener("DOMContentLoaded", () => { theme(); board(); finding(); picking(); highlighting(); reading(); copying(); saving(); });
})();
