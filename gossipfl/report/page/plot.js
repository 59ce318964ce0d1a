// Line charts. A chart is described afresh for every drawing: lines, axes, reference lines; uPlot draws the description.

const CHART_FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const TIME_STEPS = [
  1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400,
  28800, 43200, 86400, 172800, 432000, 864000,
];

// A card with a title, controls, a chart and a caption. `describe()` gives
// { lines: [{ label, name, points, property, dash, width, opacity, band, quiet }], x: { kind, log, title }, y: { kind, log, top }, marks, caption, empty }.
function chartCard(title, controls, describe, { tall = false } = {}) {
  const box = element("div", { class: tall ? "chart tall" : "chart" });
  const caption = element("p", { class: "caption" });
  const card = element(
    "article",
    { class: "card" },
    element("div", { class: "card-head" }, element("h3", {}, title), element("div", { class: "controls" }, controls)),
    box,
    caption,
    saveButtons(title, {
      svg: () => plot && chartSvg(plot, title, drawn, description),
      csv: () => chartRows(drawn, description.x, { name: title }),
    }),
  );
  let plot = null;
  let drawn = [];
  let description = null;
  function draw() {
    description = describe();
    plot?.destroy();
    plot = null;
    caption.textContent = description.caption ?? "";
    drawn = description.lines.filter((line) => line.points.some((point) => isNumber(point.y) || isNumber(point.low)));
    if (drawn.length === 0) {
      box.replaceChildren(element("p", { class: "empty" }, description.empty ?? "Nothing was measured."));
      return;
    }
    box.replaceChildren();
    const { options, data } = plotOf(description, drawn, box.clientWidth, box.clientHeight);
    plot = new uPlot(options, data, box);
  }
  new ResizeObserver(() => {
    if (plot && box.clientWidth > 0) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }).observe(box);
  onTheme(draw);
  onVisible.push(draw);
  onFocus.push((label) => {
    if (!plot) return;
    const index = drawn.findIndex((line) => line.label === label);
    plot.setSeries(index < 0 ? null : 1 + 3 * index, { focus: true });
  });
  return { card, draw };
}

// Every line takes three series of uPlot: itself, and the low and high border of its band.
function plotOf({ x, y, marks = [] }, lines, width, height) {
  const xs = [...new Set(lines.flatMap((line) => line.points.map((point) => point.x)))].sort((a, b) => a - b);
  const place = new Map(xs.map((value, index) => [value, index]));
  const usable = (value) => isNumber(value) && (!y.log || value > 0);
  const data = [xs];
  const series = [{}];
  const bands = [];
  const columns = [];
  lines.forEach((line, index) => {
    const column = line.points.map((point) => place.get(point.x));
    columns.push(column);
    for (const part of ["y", "low", "high"]) {
      const values = new Array(xs.length).fill(undefined);
      line.points.forEach((point, position) => {
        values[column[position]] = usable(point[part]) ? point[part] : null;
      });
      data.push(values);
    }
    const color = themeColor(line.property, line.opacity ?? 1);
    const dots = column.filter((_, position) => isSingle(line.points, position, usable));
    const points = { show: false, filter: () => (dots.length ? dots : null), size: dots.length > 1 ? 6 : 8, fill: color };
    series.push(
      { stroke: color, width: line.width, dash: line.dash, points },
      { stroke: "transparent", width: 0, points: { show: false } },
      { stroke: "transparent", width: 0, points: { show: false } },
    );
    if (line.band) bands.push({ series: [3 + 3 * index, 2 + 3 * index], fill: themeColor(line.property, line.band) });
  });
  const ink = themeColor("--chart-ink");
  const grid = { stroke: themeColor("--chart-grid"), width: 1 };
  const axis = { font: CHART_FONT, stroke: ink, grid, ticks: { show: false } };
  const options = {
    width,
    height,
    series,
    bands,
    legend: { show: false },
    padding: [12, 14, 0, 0],
    focus: { alpha: 0.15 },
    scales: {
      x: { time: false, distr: x.log ? 3 : 1, range: (_, low, high) => xRange(low, high, x, xs) },
      y: { distr: y.log ? 3 : 1, range: (_, low, high) => yRange(low, high, y) },
    },
    axes: [
      {
        ...axis,
        ...(x.log ? LOG_AXIS : {}),
        values: tickLabels(x.kind, x.log),
        label: x.title,
        labelFont: CHART_FONT,
        labelSize: 20,
        size: 30,
        space: 64,
        ...(x.kind === "seconds" && !x.log ? { incrs: TIME_STEPS } : {}),
        ...(x.kind === "count"
          ? { incrs: [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 100000] }
          : {}),
      },
      { ...axis, ...(y.log ? LOG_AXIS : {}), values: tickLabels(y.kind, y.log), size: axisWidth, space: 36 },
    ],
    cursor: {
      y: false,
      drag: { x: true, y: true, uni: 24, dist: 6 },
      points: {
        size: (_, index) => ((index - 1) % 3 === 0 && !lines[(index - 1) / 3].quiet ? 9 : 0),
        width: (_, index) => ((index - 1) % 3 === 0 && !lines[(index - 1) / 3].quiet ? 2 : 0),
        stroke: () => themeColor("--card"),
        fill: (plot, index) => plot.series[index].stroke(plot, index),
      },
      dataIdx: (_, index, closest, value) => {
        if (index === 0) return closest;
        const line = Math.floor((index - 1) / 3);
        return columns[line][nearest(lines[line].points, value)];
      },
    },
    hooks: {
      draw: [(plot) => drawMarks(plot, marks)],
      setCursor: [(plot) => hover(plot, lines, x, y)],
    },
  };
  return { options, data };
}

// Whether a point has no neighbor to draw a line to: it is then a dot.
function isSingle(points, position, usable) {
  const has = (index) => usable(points[index]?.y);
  return has(position) && !has(position - 1) && !has(position + 1);
}

function xRange(low, high, { log }, xs) {
  if (!isNumber(low)) return log ? [1, 10] : [0, 1];
  if (low === high) return log ? [low / 2, low * 2] : [Math.min(0, low), low > 0 ? 2 * low : 1];
  const whole = low === xs[0] && high === xs[xs.length - 1];
  return whole && !log ? [Math.min(0, low), high] : [low, high];
}

function yRange(low, high, { log, top }) {
  if (!isNumber(low)) return log ? [0.1, 10] : [0, 1];
  if (log) {
    const room = low === high ? 3 : Math.pow(high / low, 0.06);
    return [low / room, high * room];
  }
  const room = 0.06 * (high - low) || 0.1 * Math.abs(high) || 0.1;
  return [
    low >= 0 ? Math.max(0, low - room) : low - room,
    isNumber(top) && high <= top ? Math.min(top, high + room) : high + room,
  ];
}

// Round numbers of each power of ten: the fewer powers an axis spans, the more of them.
function logTicks(_, __, low, high) {
  const powers = Math.log10(high / low);
  const stride = powers > 4 ? Math.ceil(powers / 8) : 1;
  const digits =
    powers > 4 ? [1] : powers > 2 ? [1, 3] : powers > 0.8 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    if (power % stride === 0) ticks.push(...digits.map((digit) => Number(`${digit}e${power}`)));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

const LOG_AXIS = { splits: logTicks, filter: (_, ticks) => ticks };

function axisWidth(plot, labels, axisIndex, cycle) {
  const axis = plot.axes[axisIndex];
  if (cycle > 1) return axis._size;
  plot.ctx.save();
  plot.ctx.font = axis.font[0];
  const widest = Math.max(
    24,
    ...(labels ?? []).map((label) => plot.ctx.measureText(label ?? "").width / devicePixelRatio),
  );
  plot.ctx.restore();
  return Math.ceil(widest) + 14;
}

// Horizontal reference lines, such as a target.
function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  for (const { value, text } of marks) {
    const { min, max } = plot.scales.y;
    if (value < min || value > max) continue;
    const y = Math.round(plot.valToPos(value, "y", true));
    ctx.save();
    ctx.strokeStyle = themeColor("--chart-ink", 0.55);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillStyle = themeColor("--chart-ink");
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.fillText(text, bbox.left + 6 * devicePixelRatio, y - 2 * devicePixelRatio);
    ctx.restore();
  }
}

function hover(plot, lines, x, y) {
  const { left, top } = plot.cursor;
  if (!isNumber(left) || left < 0) return tooltip.hide();
  const at = plot.posToVal(left, "x");
  const rows = lines
    .filter((line) => !line.quiet)
    .map((line) => ({ line, point: line.points[nearest(line.points, at)] }))
    .filter(({ point }) => isNumber(point.y) && Math.abs(plot.valToPos(point.x, "x") - left) < 60)
    .sort((a, b) => b.point.y - a.point.y);
  if (rows.length === 0) return tooltip.hide();
  const same = rows.every(({ point }) => point.x === rows[0].point.x);
  const box = plot.over.getBoundingClientRect();
  tooltip.show(
    box.left + left,
    box.top + top,
    element("div", { class: "tip-title" }, `${x.name}${SPACE}${shown(same ? rows[0].point.x : at, x.kind)}`),
    element(
      "table",
      {},
      rows.map(({ line, point }) =>
        element(
          "tr",
          {},
          element("th", {}, line.label in LOOK ? swatch(line.label) : null, line.name),
          element("td", {}, shown(point.y, y.kind)),
          same ? null : element("td", { class: "soft" }, `at ${shown(point.x, x.kind)}`),
          isNumber(point.low) && point.low !== point.high
            ? element("td", { class: "soft" }, `${shown(point.low, y.kind)} … ${shown(point.high, y.kind)}`)
            : null,
        ),
      ),
    ),
  );
}
