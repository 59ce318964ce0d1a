// The run, and its measurements as curves: one per algorithm, a mean over seeds with the range they span.

const RUN = JSON.parse(byId("run").textContent);
const LABELS = RUN.algorithms.map((algorithm) => algorithm.label);
const ALGORITHM = Object.fromEntries(RUN.algorithms.map((algorithm) => [algorithm.label, algorithm]));
const COMPETITORS = LABELS.filter((label) => !ALGORITHM[label].bound);
const BOUNDS = LABELS.filter((label) => ALGORITHM[label].bound);
// What the seconds are: those of a simulated network, or those that went by.
const IS_REAL = RUN.over_http;
const CLOCK = IS_REAL ? "real time" : "virtual time";
const CLOCK_TITLE = IS_REAL ? "Real time" : "Virtual time";
// Several runs side by side may be no fair comparison: nobody is the best then.
const IS_FAIR = RUN.manifest.comparable !== false;
const NUM_SEEDS = Math.max(1, ...LABELS.map((label) => RUN.histories[label].length));
const MEASURED = LABELS.filter((label) => RUN.histories[label].length > 0);
// What models were scored by; colors and findings go by the first. Whoever has no metric is judged by the loss.
const HELD_OUT = RUN.manifest.data?.num_validation ? "validation data" : "held-out data";
const toMetric = ({ on = HELD_OUT, ...metric }) => ({
  ...metric,
  words: metric.name.replaceAll("_", " "),
  measured: `${metric.name.replaceAll("_", " ")} on ${on}`,
  on,
  isLoss: /^(test_)?(own_)?loss$/.test(metric.name),
  isTest: metric.name.startsWith("test_"), // measured once, at the end
  kind: metric.unit === "share" ? "percent" : "number",
  apartKind: metric.unit === "share" ? "points" : "number",
  better: metric.higher_is_better === null ? null : metric.higher_is_better ? "high" : "low",
  top: metric.unit === "share" ? 1 : undefined,
  ofPeers: RUN.of_peers[metric.name] ?? {},
});
const LOSS = toMetric({ name: "loss", higher_is_better: false, unit: "number" });
const METRICS = RUN.manifest.metrics?.length ? RUN.manifest.metrics.map(toMetric) : [LOSS];
const [MAIN] = METRICS;
// The loss elsewhere than in the first place has no chart and no column.
const SHOWN = METRICS.filter((metric) => metric === MAIN || !metric.isLoss);
const REPORTED = SHOWN.find((metric) => metric.isTest) ?? MAIN;
const metricOf = (name) => METRICS.find((metric) => metric.name === name) ?? LOSS;
// Every target: { metric, value }.
const TARGETS = Object.entries(RUN.manifest.targets ?? {}).flatMap(([name, values]) =>
  values.map((value) => ({ metric: metricOf(name), value })),
);
const capitalized = (text) => text[0].toUpperCase() + text.slice(1);
const bestOf = (metric, values) => (metric.better === "high" ? Math.max(...values) : Math.min(...values));
const worstOf = (metric, values) => (metric.better === "high" ? Math.min(...values) : Math.max(...values));
// Peers that were measured at the end; a scenario may ask for a sample.
const NUM_EVALUATED = Math.max(
  0,
  ...COMPETITORS.map((label) => (MAIN?.ofPeers[label]?.values.at(-1) ?? []).filter(isNumber).length),
);
const SUMMARY = Object.fromEntries(RUN.summary.map((row) => [row.label, row]));

// Color-blind-safe hues (after Okabe and Ito, 2008), then the same hues with dashes; bounds are grey and dashed.
const NUM_HUES = 6;
const DASHES = [[], [9, 5], [2, 4]];
const LOOK = {};
COMPETITORS.forEach((label, index) => {
  LOOK[label] = {
    property: `--hue-${index % NUM_HUES}`,
    dash: DASHES[Math.floor(index / NUM_HUES) % DASHES.length],
    width: 2.25,
  };
});
BOUNDS.forEach((label, index) => {
  LOOK[label] = {
    property: "--bound",
    dash: [
      [2, 4],
      [10, 5],
      [10, 4, 2, 4],
    ][index % 3],
    width: 1.75,
  };
});

const swatch = (label) =>
  shape(
    "svg",
    { class: "swatch", viewBox: "0 0 22 10", "aria-hidden": "true" },
    shape("line", {
      x1: 1,
      y1: 5,
      x2: 21,
      y2: 5,
      "stroke-width": 3,
      "stroke-linecap": LOOK[label].dash.length ? "butt" : "round", // round ends would fill the gaps
      "stroke-dasharray": LOOK[label].dash.map((part) => part * 0.6).join(" ") || null,
      style: { stroke: `var(${LOOK[label].property})` },
    }),
  );

// Points of one measure against one x: [{ x, y, low, high }], over the seeds that have the round.
function curve(label, measure, against) {
  const rounds = new Map();
  // What peers agree on has rows of its own: each since it was known.
  for (const table of measure.startsWith("agreed_") ? (RUN.agreed[label] ?? []) : RUN.histories[label]) {
    table.round.forEach((round, index) => {
      const x = table[against][index];
      const y = table[measure][index];
      if (!rounds.has(round)) rounds.set(round, { xs: [], ys: [] });
      if (isNumber(x)) rounds.get(round).xs.push(x);
      if (isNumber(y)) rounds.get(round).ys.push(y);
    });
  }
  return [...rounds.entries()]
    .sort(([a], [b]) => a - b)
    .filter(([, { xs }]) => xs.length > 0)
    .map(([, { xs, ys }]) => ({
      x: mean(xs),
      y: ys.length ? mean(ys) : null,
      low: ys.length ? Math.min(...ys) : null,
      high: ys.length ? Math.max(...ys) : null,
    }));
}

// The moving mean over an odd number of evaluations; the window is narrower at both ends, so a curve ends at the
// number of the table. What was not measured stays a gap.
let smoothing = 1;
function smoothed(points) {
  const part = (index, name) => {
    const half = Math.min((smoothing - 1) / 2, index, points.length - 1 - index);
    const known = points.slice(index - half, index + half + 1).map((point) => point[name]).filter(isNumber);
    return isNumber(points[index][name]) ? mean(known) : null;
  };
  if (smoothing === 1) return points;
  return points.map(({ x }, index) => ({ x, y: part(index, "y"), low: part(index, "low"), high: part(index, "high") }));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

// Index of the point that is nearest in x; points are sorted by x.
function nearest(points, x) {
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle].x <= x) low = middle;
    else high = middle;
  }
  return Math.abs(points[high].x - x) < Math.abs(points[low].x - x) ? high : low;
}

// Which algorithms all charts show.
const visible = new Set(LABELS);
const onVisible = [];
function setVisible(labels) {
  visible.clear();
  labels.forEach((label) => visible.add(label));
  onVisible.forEach((listener) => listener());
}
function setSmoothing(window) {
  smoothing = window;
  onVisible.forEach((listener) => listener());
}
const onFocus = [];
const setFocus = (label) => onFocus.forEach((listener) => listener(label));
