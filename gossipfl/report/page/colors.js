// The first metric in color: the scale, its legend, and a histogram along it; bright is better.

// Viridis (Smith and van der Walt, 2015): even steps to the eye, also for color-blind people and in grey.
const VIRIDIS = [
  [68, 1, 84],
  [71, 45, 123],
  [59, 82, 139],
  [44, 114, 142],
  [33, 145, 140],
  [40, 174, 128],
  [94, 201, 98],
  [173, 220, 48],
  [253, 231, 37],
];

function viridis(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(place));
  return VIRIDIS[below].map((channel, index) =>
    Math.round(channel + (place - below) * (VIRIDIS[below + 1][index] - channel)),
  );
}

// One color scale for all drawings, from the worst to the best value that peers end with, at least 2 percent apart.
function metricScale() {
  const labels = RUN.drawings.flatMap((drawing) => drawing.algorithms);
  const finals = labels
    .map((label) => (MAIN?.ofPeers[label]?.values.at(-1) ?? []).filter(isNumber))
    .filter((values) => values.length);
  if (finals.length === 0) return null;
  const best = bestOf(MAIN, finals.map((values) => bestOf(MAIN, values)));
  const apart = 0.02 * (MAIN.kind === "percent" ? 1 : Math.abs(best) || 1) * (MAIN.better === "high" ? -1 : 1);
  const worst = worstOf(MAIN, [best + apart, ...finals.map((values) => worstOf(MAIN, values))]);
  return { worst, best, share: (value) => (value - worst) / (best - worst) };
}

// The worse end of the scale, to which everything worse belongs.
const shownWorst = (worst) => `${MAIN.better === "high" ? "≤" : "≥"}${SPACE}${shown(worst, MAIN.kind)}`;

function colorScale({ worst, best }) {
  const colors = VIRIDIS.map((color) => `rgb(${color})`).join(", ");
  const ramp = element("div", { class: "ramp", style: { background: `linear-gradient(90deg, ${colors})` } });
  return element(
    "div",
    { class: "color-scale" },
    element("span", {}, `${MAIN.words} ${shownWorst(worst)}`),
    ramp,
    element("span", {}, shown(best, MAIN.kind)),
  );
}

// How many peers have which value: bars along the color scale, and its ends.
function metricBars(values, { worst, best, share }) {
  const numBins = 40;
  const bins = new Array(numBins).fill(0);
  for (const value of values) bins[Math.max(0, Math.min(numBins - 1, Math.floor(numBins * share(value))))] += 1;
  const top = Math.max(...bins, 1);
  const border = (bin) => shown(worst + (bin * (best - worst)) / numBins, MAIN.kind);
  const bars = shape(
    "svg",
    {
      viewBox: `0 0 ${10 * numBins} 70`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `${capitalized(MAIN.words)} of ${values.length} peers`,
    },
    shape("line", { class: "whole", x1: 0, x2: 10 * numBins, y1: 69.5, y2: 69.5 }),
    bins.map((size, bin) => {
      const height = size && Math.max(2, (66 * size) / top);
      const from = bin === 0 ? "up" : border(bin);
      return shape(
        "g",
        {
          onpointermove: (event) =>
            tooltip.show(
              event.clientX,
              event.clientY,
              element("div", { class: "tip-title" }, plural(size, "peer")),
              element("div", {}, `${MAIN.words} ${from} to ${border(bin + 1)}`),
            ),
          onpointerleave: () => tooltip.hide(),
        },
        shape("rect", {
          x: 10 * bin + 0.5,
          y: 69 - height,
          width: 9,
          height,
          style: { fill: `rgb(${viridis((bin + 0.5) / numBins)})` },
        }),
        shape("rect", { class: "hit", x: 10 * bin, y: 0, width: 10, height: 69 }),
      );
    }),
  );
  const ends = [shownWorst(worst), `peers by ${MAIN.words}`, shown(best, MAIN.kind)];
  return [
    bars,
    element(
      "div",
      { class: "ends" },
      ends.map((text) => element("span", {}, text)),
    ),
  ];
}

function luminance(color) {
  const [r, g, b] = color.map((channel) => Math.pow(channel / 255, 2.2));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
