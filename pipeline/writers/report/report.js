"use strict";
// The list of items: only the rows in view exist. Every text is set as text, never as markup.
(() => {
  const source = document.getElementById("data");
  const tools = document.getElementById("tools");
  if (!tools) return; // a batch without items
  const { rows, quantities, identify, volumes, chunk } = JSON.parse(source.textContent);
  const BINS = 24, SHOWN = 6, AROUND = 10, PRINTED = 500, KEPT = 40, GUESS = 260;
  const byId = (id) => document.getElementById(id);
  const grid = byId("grid"), head = grid.querySelector("thead"), body = grid.querySelector("tbody");

  const el = (tag, properties = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };

  // ---- numbers
  const ascending = (values) => Float64Array.from(values.filter((value) => value !== null)).sort();
  const at = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];
  const decimals = (sorted) => {
    const typical = sorted.length ? Math.max(Math.abs(at(sorted, 0.5)), Math.abs(at(sorted, 0.9)) / 100) : 1;
    return typical > 0 ? Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(typical)))) : 2;
  };
  const count = (number) => number.toLocaleString("en");
  const items = (number) => `${count(number)} ${number === 1 ? "item" : "items"}`;
  const words = (name) => name.replaceAll("_", " ");

  const measures = [
    ...quantities.map(({ name, unit }, index) => ({ label: words(name), unit, get: (row) => row.values[index] })),
    { label: "confidence", unit: "", get: (row) => row.confidence },
    { label: "expected Dice", unit: "", get: (row) => row.quality },
    { label: "unlike", unit: "", get: (row) => row.unlike },
  ];
  for (const measure of measures) {
    measure.sorted = ascending(rows.map(measure.get));
    const digits = decimals(measure.sorted);
    measure.write = (value) => (value === null || value === undefined ? "\u2013" : value.toFixed(digits));
    measure.title = measure.unit ? `${measure.label} (${measure.unit})` : measure.label;
  }

  // ---- pictures, read a chunk at a time
  const chunks = new Map();
  const picture = (index) => {
    const number = Math.floor(index / chunk);
    if (!chunks.has(number)) {
      const script = byId(`pictures-${number}`);
      // One that has no sibling yet may not have arrived whole.
      if (!script || (document.readyState === "loading" && !script.nextElementSibling)) return null;
      if (chunks.size >= KEPT) chunks.delete(chunks.keys().next().value);
      chunks.set(number, JSON.parse(script.textContent));
    }
    return chunks.get(number)[index % chunk];
  };
  const image = (index, className) => {
    const data = picture(index);
    if (!data) return el("span", { className: `${className} none` });
    return el("img", { className, src: data, decoding: "async", alt: `overlay of ${rows[index].case}` });
  };
  const pictured = rows.some((row) => row.picture);
  const link = (row, name) => `${row.folder}/${encodeURIComponent(name)}`;

  // ---- columns
  const number = (write) => (value) => el("td", { className: "number" }, write(value));
  const columns = [
    { label: "case", get: (row) => row.case, cell: (value) => el("td", { className: "case" }, value), first: 1 },
    ...(identify
      ? [["patient", "patient_name"], ["patient ID", "patient_id"], ["born", "birth_date"]].map(([label, name]) => ({
          label,
          get: (row) => row.patient[name] || null,
          cell: (value) => el("td", { className: "name", title: value || "" }, value || ""),
          first: 1,
        }))
      : []),
    {
      label: "flags",
      get: (row) => row.flags.length,
      cell: (_, row) => el("td", { className: "flags-cell" },
        el("div", {}, ...row.flags.map((flag) => el("span", { className: "pill", title: flag }, flag)))),
      first: -1,
    },
    ...measures.map((measure, index) => ({
      label: measure.label,
      unit: measure.unit,
      get: measure.get,
      cell: (value, row) => {
        const why = index < quantities.length ? row.reasons[index] : "";
        const td = number(measure.write)(value);
        if (value === null) Object.assign(td, { className: "number absent", title: why || "no value" });
        return td;
      },
      first: index === measures.length - 1 ? 1 : -1,
      hidden: index >= SHOWN && index < quantities.length,
    })),
    { label: volumes ? "slices" : "frames", get: (row) => row.frames, cell: number(count), first: -1 },
    { label: "seconds", get: (row) => row.seconds, cell: number((value) => value.toFixed(2)), first: -1, hidden: true },
  ];
  const visible = () => columns.filter((column) => !column.hidden);

  // ---- state
  let view = rows.map((_, index) => index);
  let offsets = new Float64Array(0);
  let sorting = null; // {column, way}; null is the written order, flagged ones first
  const open = new Set(), heights = new Map(), drawn = new Map();
  const texts = rows.map((row) =>
    [row.case, ...row.flags, ...row.notes, row.file, ...Object.values(row.patient || {}), ...(row.uids || [])]
      .join("\n").toLowerCase());

  const matches = () => {
    const terms = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const flag = byId("flag").value;
    const measure = measures[byId("measure").selectedIndex];
    const [low, high] = ["low", "high"].map((id) => byId(id).valueAsNumber);
    const ranged = !Number.isNaN(low) || !Number.isNaN(high);
    return (row, index) => {
      if (flag === "any" ? !row.flags.length : flag === "none" ? row.flags.length : flag && !row.flags.includes(flag.slice(1))) return false;
      if (ranged) {
        const value = measure.get(row);
        if (value === null || value < low || value > high) return false;
      }
      return terms.every((term) => texts[index].includes(term));
    };
  };
  const compare = ({ column, way }) => (a, b) => {
    const [left, right] = [column.get(rows[a]), column.get(rows[b])];
    if (left === right) return a - b;
    if (left === null) return 1; // what is absent comes last, either way
    if (right === null) return -1;
    return left < right ? -way : way;
  };

  // ---- rows: those in view and some around them
  const ROW = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
  const place = () => {
    offsets = new Float64Array(view.length + 1);
    view.forEach((index, position) => {
      offsets[position + 1] = offsets[position] + ROW + (open.has(index) ? heights.get(index) || GUESS : 0);
    });
  };
  const position = (y) => {
    let [low, high] = [0, view.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (offsets[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const spacers = [0, 1].map(() => el("tr", { "aria-hidden": "true" }, el("td")));
  const setSpacer = (spacer, height) => {
    spacer.firstChild.colSpan = visible().length + 1;
    spacer.firstChild.style.height = `${height}px`;
    spacer.firstChild.style.padding = "0";
    spacer.hidden = height <= 0;
  };

  const rowOf = (index) => {
    const row = rows[index];
    const button = el("button", {
      type: "button", className: "open", "aria-expanded": String(open.has(index)), "aria-label": `Details of ${row.case}`,
    }, pictured ? image(index, "thumb") : null);
    const cells = visible().map((column) => column.cell(column.get(row), row));
    const tr = el("tr", { className: "row" }, el("td", {}, button), ...cells);
    tr.addEventListener("click", () => {
      if (!String(getSelection())) toggle(index);
    });
    return tr;
  };
  const detailOf = (index) => {
    const row = rows[index], cine = row.spread.length > 0;
    const titles = cine ? ["", `key frame ${row.key}`, "median", "maximum"] : ["", "value"];
    const lines = measures.map((measure, at) => {
      const value = measure.get(row), why = row.reasons[at];
      const values = cine && row.spread[at] ? [value, ...row.spread[at]] : [value];
      const interval = row.intervals[at], range = interval ? `${measure.write(interval[0])} to ${measure.write(interval[1])}` : "";
      const cells = values.map((each) => el("td", { className: "number" }, measure.write(each)));
      const missing = value === null ? el("td", { className: "absent" }, why || "no value") : el("td", { title: "where 9 of 10 true values lie" }, range);
      return el("tr", {}, el("th", { scope: "row" }, measure.title), ...cells,
        ...Array.from({ length: titles.length - 1 - values.length }, () => el("td")), missing);
    });
    const header = titles.map((title) => el("th", { scope: "col", className: title ? "number" : "" }, title));
    const list = (title, entries) =>
      entries.length ? [el("h4", {}, title), el("ul", {}, ...entries.map((entry) => el("li", {}, entry)))] : [];
    const spacing = row.spacing ? `${row.spacing.join(" \u00d7 ")} mm (${words(row.spacing_source)})` : "none: not calibrated";
    const facts = [
      ["case", row.case],
      ...(identify ? [["file", row.file], ["patient", Object.values(row.patient).join(", ")], ["study, series, SOP instance", row.uids.join(", ")]] : []),
      [volumes ? "slices" : "frames", cine ? `${count(row.frames)}, key frame ${row.key}` : count(row.frames)],
      ["rows \u00d7 columns", row.size.join(" \u00d7 ")],
      [volumes ? "spacing of rows, columns, slices" : "pixel spacing", spacing],
      ...(row.searched ? [["searched only, mm (LPS)", row.searched]] : []),
      ["processing", `${row.seconds.toFixed(2)} s`],
    ];
    const apart = { target: "_blank", rel: "noopener" };
    const links = row.outputs.map((name) => el("a", { href: link(row, name), ...apart }, name));
    const whole = row.outputs.find((name) => name.startsWith("overlay"));
    const overlay = row.picture ? image(index, "big") : "no picture";
    const detail = el("div", { className: "detail" },
      el("div", {}, whole && row.picture ? el("a", { href: link(row, whole), ...apart }, overlay) : overlay),
      el("div", {}, el("table", {}, el("thead", {}, el("tr", {}, ...header, el("th"))), el("tbody", {}, ...lines))),
      el("div", {},
        ...list("Flags", row.flags), ...list("Notes", row.notes),
        el("h4", {}, "Item"), el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
        ...(links.length ? [el("h4", {}, "Files"), el("div", { className: "links" }, ...links)] : [])));
    return el("tr", { className: "more" }, el("td", { colSpan: visible().length + 1 }, detail));
  };

  const draw = (everything = false) => {
    const top = grid.scrollTop, reach = grid.clientHeight;
    const from = everything ? 0 : Math.max(0, position(top) - AROUND);
    const to = everything ? Math.min(view.length, PRINTED) : Math.min(view.length, position(top + reach) + 1 + AROUND);
    const wanted = new Set(view.slice(from, to));
    for (const [index, nodes] of drawn) {
      if (!wanted.has(index) || nodes.length !== 1 + open.has(index)) {
        nodes.forEach((node) => node.remove());
        drawn.delete(index);
      }
    }
    let before = spacers[0];
    for (let at = from; at < to; at += 1) {
      const index = view[at];
      if (!drawn.has(index)) drawn.set(index, [rowOf(index), ...(open.has(index) ? [detailOf(index)] : [])]);
      const nodes = drawn.get(index);
      nodes[0].setAttribute("aria-rowindex", at + 2);
      for (const node of nodes) {
        if (before.nextSibling !== node) before.after(node);
        before = node;
      }
    }
    grid.querySelectorAll(".detail").forEach((detail) => { detail.style.width = `${grid.clientWidth}px`; });
    let moved = false;
    for (const [index, nodes] of drawn) {
      if (nodes.length > 1 && nodes[1].offsetHeight !== heights.get(index)) {
        heights.set(index, nodes[1].offsetHeight);
        moved = true;
      }
    }
    if (moved) place();
    setSpacer(spacers[0], offsets[from]);
    setSpacer(spacers[1], offsets[view.length] - offsets[to]);
  };
  const redraw = () => {
    for (const nodes of drawn.values()) nodes.forEach((node) => node.remove());
    drawn.clear();
    draw();
  };
  const toggle = (index) => {
    if (!open.delete(index)) open.add(index);
    const nodes = drawn.get(index);
    if (nodes) {
      // The row stays, and with it the focus; only what hangs below it comes or goes.
      nodes[0].querySelector(".open").setAttribute("aria-expanded", String(open.has(index)));
      if (open.has(index)) nodes.push(detailOf(index));
      else nodes.pop().remove();
    }
    place();
    draw();
  };

  // ---- filters and order
  const update = () => {
    const test = matches();
    view = [];
    rows.forEach((row, index) => { if (test(row, index)) view.push(index); });
    listed();
    if (sorting) view.sort(compare(sorting));
    byId("found").textContent = view.length === rows.length
      ? `${items(rows.length)}${sorting ? "" : ", flagged first"}`
      : `${count(view.length)} of ${items(rows.length)}`;
    grid.querySelector("table").setAttribute("aria-rowcount", view.length + 1);
    nothing.hidden = view.length > 0;
    byId("printed").textContent = view.length > PRINTED ? `Printed: the first ${PRINTED} of them. results.csv has all.` : "";
    grid.scrollTop = 0;
    place();
    redraw();
  };
  const sort = (column) => {
    const first = sorting?.column !== column;
    if (first) sorting = { column, way: column.first };
    else if (sorting.way === column.first) sorting = { column, way: -column.first };
    else sorting = null;
    for (const [at, th] of [...head.querySelectorAll("th[data-column]")].entries()) {
      const way = sorting && visible()[at] === sorting.column ? (sorting.way > 0 ? "ascending" : "descending") : "none";
      th.setAttribute("aria-sort", way);
    }
    update();
  };
  const titles = () => {
    const cells = visible().map((column) => {
      const button = el("button", { type: "button", title: "Sort" }, el("span", {}, column.label), el("small", {}, column.unit || ""));
      button.addEventListener("click", () => sort(column));
      const way = sorting?.column === column ? (sorting.way > 0 ? "ascending" : "descending") : "none";
      const numeric = column.first < 0 && column.label !== "flags" || ["confidence", "expected Dice", "unlike"].includes(column.label);
      return el("th", { scope: "col", className: numeric ? "number" : "", "aria-sort": way, "data-column": "" }, button);
    });
    head.replaceChildren(el("tr", { "aria-rowindex": "1" }, el("th", { scope: "col", "aria-label": "Details" }), ...cells));
  };

  // ---- histograms
  const svg = (tag, properties) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
    return node;
  };
  const histogram = (measure, which) => {
    const { sorted } = measure;
    const about = [measure.unit, `n\u00a0=\u00a0${count(sorted.length)}`].filter(Boolean).join(", ");
    const caption = el("figcaption", {}, measure.label, " ", el("small", {}, about));
    if (!sorted.length) return [el("figure", {}, caption, el("p", { className: "hint" }, "no item has a value")), () => {}];
    // A few far values would press all others into one bar: they share the last bar.
    const [low, high] = [sorted[0], sorted.at(-1)], far = at(sorted, 0.5) + 4 * (at(sorted, 0.9) - at(sorted, 0.5));
    const end = far > low && high > far && at(sorted, 0.98) < far ? far : high;
    const width = (end - low) / BINS || 1;
    const bin = (value) => Math.min(BINS - 1, Math.floor((value - low) / width));
    const tally = (indices) => {
      const bars = new Uint32Array(BINS);
      for (const index of indices) {
        const value = measure.get(rows[index]);
        if (value !== null) bars[bin(value)] += 1;
      }
      return bars;
    };
    const all = tally(rows.keys()), tallest = Math.max(...all);
    const height = (number) => (number ? Math.max(1.5, (80 * number) / tallest) : 0);
    const middle = `median ${measure.write(at(sorted, 0.5))}`;
    const label = `Histogram of ${measure.title}: from ${measure.write(low)} to ${measure.write(high)}, ${middle}, ${items(sorted.length)}`;
    const picture = svg("svg", { viewBox: `0 0 ${BINS * 10} 84`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    const bars = [...all].map((number, index) => {
      const [x, tall] = [index * 10 + 0.5, height(number)];
      const listedBar = svg("rect", { class: "listed", x, width: 9, y: 84, height: 0 });
      const hit = svg("rect", { class: "hit", x: index * 10, width: 10, y: 0, height: 84 });
      const [from, to] = [low + index * width, index === BINS - 1 ? high : low + (index + 1) * width];
      const title = svg("title", {});
      title.textContent = `${measure.write(from)} to ${measure.write(to)}: ${count(number)}`;
      hit.append(title);
      hit.addEventListener("click", () => {
        byId("measure").selectedIndex = which;
        byId("low").value = Number(from.toPrecision(6));
        byId("high").value = Number(to.toPrecision(6));
        update();
      });
      picture.append(svg("rect", { class: "all", x, width: 9, y: 84 - tall, height: tall }), listedBar, hit);
      return listedBar;
    });
    const refresh = () => tally(view).forEach((number, index) => {
      bars[index].setAttribute("y", 84 - height(number));
      bars[index].setAttribute("height", height(number));
    });
    const axis = el("div", { className: "axis" }, el("span", {}, measure.write(low)), el("span", {}, middle),
      el("span", {}, end < high ? `${measure.write(end)} to ${measure.write(high)}` : measure.write(high)));
    return [el("figure", {}, caption, picture, axis), refresh];
  };
  const histograms = measures.map(histogram);
  const listed = () => histograms.forEach(([, refresh]) => refresh());
  byId("histograms").append(...histograms.map(([figure]) => figure));

  // ---- begin
  const nothing = el("p", { className: "nothing", hidden: true }, "No item fits these filters.");
  grid.append(nothing);
  body.append(...spacers);
  byId("measure").append(...measures.map((measure) => el("option", {}, measure.title)));
  byId("columns").lastElementChild.append(...columns.slice(1).map((column) => {
    const box = el("input", { type: "checkbox", checked: !column.hidden });
    box.addEventListener("change", () => {
      column.hidden = !box.checked;
      titles();
      redraw();
    });
    return el("label", {}, box, column.unit ? `${column.label} (${column.unit})` : column.label);
  }));
  for (const id of ["text", "flag", "measure", "low", "high"]) byId(id).addEventListener("input", update);
  tools.addEventListener("reset", () => setTimeout(update));
  tools.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    if (!byId("columns").contains(event.target)) byId("columns").open = false;
  });
  document.querySelectorAll("button[data-flag]").forEach((button) => button.addEventListener("click", () => {
    tools.reset();
    byId("flag").value = `=${button.dataset.flag}`;
    setTimeout(() => byId("items").scrollIntoView({ block: "start" }));
  }));
  let asked = false;
  grid.addEventListener("scroll", () => {
    if (!asked) requestAnimationFrame(() => { asked = false; draw(); });
    asked = true;
  }, { passive: true });
  addEventListener("resize", () => draw());
  document.addEventListener("DOMContentLoaded", redraw); // pictures that were still on their way
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw());
  byId("bar").hidden = grid.hidden = false;
  titles();
  update();
})();
