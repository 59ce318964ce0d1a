// Charts as SVG and tables as CSV, saved from the page itself: nothing is loaded or sent.

const SVG_STYLE = [
  ...["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "opacity"],
  ...["font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "paint-order"],
];

// Small buttons below a chart or a table. `svg()` gives an element, `csv()` rows of cells; what is null has no button.
function saveButtons(name, { svg = null, csv = null }) {
  const button = (text, make) =>
    element("button", { type: "button", class: "link", onclick: make, "aria-label": `Save ${name} as ${text}` }, text);
  return element(
    "div",
    { class: "save" },
    "Save as ",
    svg && button("SVG", () => save(name, "svg", "image/svg+xml", svgText(inLight(svg)))),
    csv && button("CSV", () => save(name, "csv", "text/csv", csvText(csv()))),
  );
}

function save(name, suffix, type, text) {
  if (text === null) return;
  const file = `${RUN.manifest.name} ${name}`.replace(/[^\p{L}\p{N}.-]+/gu, "-").slice(0, 120);
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  element("a", { href: url, download: `${file}.${suffix}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// On paper colors are the light ones, whatever the page shows.
function inLight(make) {
  const root = document.documentElement;
  const theme = root.dataset.theme;
  root.dataset.theme = "light";
  try {
    return make();
  } finally {
    if (theme === undefined) delete root.dataset.theme;
    else root.dataset.theme = theme;
  }
}

function svgText(svg) {
  return svg === null ? null : `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(svg)}\n`;
}

// Cells as they are; a name that a spreadsheet would take for a formula gets a mark in front.
function csvText(rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

// A copy of an SVG of the page that needs no style sheet: looks are written into its elements.
function standalone(svg) {
  const { width, height } = svg.getBoundingClientRect();
  const copy = svg.cloneNode(true);
  const originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, index) => {
    const style = getComputedStyle(originals[index]);
    for (const property of SVG_STYLE) {
      const value = style.getPropertyValue(property);
      if (value) node.setAttribute(property, /^(fill|stroke)$/.test(property) ? plainColor(value) : value);
    }
    node.removeAttribute("class");
    node.removeAttribute("style");
  });
  copy.querySelectorAll("[fill='none'][stroke='none']").forEach((hit) => hit.remove());
  copy.setAttribute("width", Math.round(width));
  copy.setAttribute("height", Math.round(height));
  return copy;
}

// Mixed colors as rgb, which every program reads.
const pixel = element("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
function plainColor(value) {
  if (!/^(color|oklab|oklch|lab|lch)\(/.test(value)) return value === "rgba(0, 0, 0, 0)" ? "none" : value;
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = value;
  pixel.fillRect(0, 0, 1, 1);
  return `rgb(${[...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)].join(", ")})`;
}

const chartRows = (lines, x, y) => [
  ["line", x.name, y.name ?? "value", "low", "high"],
  ...lines
    .filter((line) => line.name)
    .flatMap((line) => line.points.map((point) => [line.name, point.x, point.y, point.low ?? null, point.high ?? null])),
];

// A chart of uPlot, as it is drawn now, zoomed or not: its axes, lines and bands, its reference lines, and a legend.
function chartSvg(plot, title, lines, { x, y, marks = [] }) {
  const { left, top, width, height } = Object.fromEntries(
    Object.entries(plot.bbox).map(([key, value]) => [key, value / devicePixelRatio]),
  );
  const at = ({ x: over, y: up }) => `${(left + plot.valToPos(over, "x")).toFixed(2)},${(top + plot.valToPos(up, "y")).toFixed(2)}`;
  const inks = { ink: themeColor("--chart-ink"), grid: themeColor("--chart-grid") };
  const text = (words, attributes) => shape("text", { fill: inks.ink, "font-size": 12, ...attributes }, words);
  const [across, up] = plot.axes;
  const ticks = [
    ...(across._splits ?? []).map((value, index) => {
      const place = left + plot.valToPos(value, "x");
      return [
        shape("line", { x1: place, x2: place, y1: top, y2: top + height, stroke: inks.grid }),
        text(across._values[index] ?? "", { x: place, y: top + height + 18, "text-anchor": "middle" }),
      ];
    }),
    ...(up._splits ?? []).map((value, index) => {
      const place = top + plot.valToPos(value, "y");
      return [
        shape("line", { x1: left, x2: left + width, y1: place, y2: place, stroke: inks.grid }),
        text(up._values[index] ?? "", { x: left - 8, y: place + 4, "text-anchor": "end" }),
      ];
    }),
  ];
  const usable = (value) => isNumber(value) && (!y.log || value > 0);
  const drawn = lines.map((line) => {
    const color = themeColor(line.property);
    const borders = line.points.filter((point) => usable(point.low) && usable(point.high));
    const band = [
      ...borders.map(({ x: over, high }) => at({ x: over, y: high })),
      ...borders.map(({ x: over, low }) => at({ x: over, y: low })).reverse(),
    ];
    const path = line.points
      .map((point, index) =>
        usable(point.y) ? `${index && usable(line.points[index - 1].y) ? "L" : "M"}${at(point)}` : "",
      )
      .join("");
    return [
      line.band && band.length
        ? shape("polygon", { points: band.join(" "), fill: color, "fill-opacity": line.band, stroke: "none" })
        : null,
      line.width && path
        ? shape("path", {
            d: path,
            fill: "none",
            stroke: color,
            "stroke-width": line.width,
            "stroke-opacity": line.opacity ?? 1,
            "stroke-dasharray": line.dash?.join(" ") || null,
          })
        : null,
      line.points
        .filter((_, index) => isSingle(line.points, index, usable))
        .map((point) => {
          const [cx, cy] = at(point).split(",");
          return shape("circle", { cx, cy, r: 3, fill: color });
        }),
    ];
  });
  const levels = marks
    .filter(({ value }) => value >= plot.scales.y.min && value <= plot.scales.y.max)
    .map(({ value, text: words }) => {
      const place = top + plot.valToPos(value, "y");
      return [
        shape("line", { x1: left, x2: left + width, y1: place, y2: place, stroke: inks.ink, "stroke-dasharray": "4 4" }),
        text(words, { x: left + 6, y: place - 3, "font-size": 11 }),
      ];
    });
  const named = lines.filter((line) => line.label);
  const entries = named.map((line, index) => {
    const place = top + height + 62 + 18 * index;
    return [
      shape("line", {
        x1: left,
        x2: left + 26,
        y1: place - 4,
        y2: place - 4,
        stroke: themeColor(line.property),
        "stroke-width": line.width,
        "stroke-dasharray": line.dash?.join(" ") || null,
      }),
      text(line.name, { x: left + 34, y: place }),
    ];
  });
  const total = [Math.ceil(left + width + 16), Math.ceil(top + height + 56 + 18 * named.length)];
  return shape(
    "svg",
    { xmlns: "http://www.w3.org/2000/svg", width: total[0], height: total[1], viewBox: `0 0 ${total.join(" ")}` },
    shape("title", {}, title),
    shape("rect", { width: total[0], height: total[1], fill: "#ffffff" }),
    shape(
      "g",
      { "font-family": "system-ui, Liberation Sans, Arial, sans-serif" },
      ticks,
      // Of a chart that is zoomed, what is outside is cut off.
      shape("svg", { x: left, y: top, width, height, viewBox: `${left} ${top} ${width} ${height}` }, drawn),
      levels,
      text(x.title, { x: left + width / 2, y: top + height + 38, "text-anchor": "middle" }),
      entries,
    ),
  );
}
