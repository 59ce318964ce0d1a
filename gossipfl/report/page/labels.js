// Which peer holds how much of which class: a heat map with one column per peer and one row per class.

const MAX_COLUMNS = 200; // beyond, neighbors in the order of the map share a column
const MAX_CELLS = 12000;
const MIN_COLUMN = 3; // pixels
const HEAT_LEFT = 64; // room for the names of classes

function drawLabels(section) {
  const held = RUN.peers
    .map((peer, index) => ({ peer, counts: RUN.label_counts[index] }))
    .filter(({ counts }) => counts && counts.length > 1); // without classes, one number per peer
  if (held.length === 0) return;
  const many = held.length > 40;
  const ordered = many ? byMainClass(held) : held;
  const numClasses = Math.max(...held.map(({ counts }) => counts.length));
  const limit = Math.min(MAX_COLUMNS, Math.floor(MAX_CELLS / numClasses));
  const box = element("div", { class: "heat" });
  const caption = element("p", { class: "caption" });
  section.append(
    sectionHead(
      "Data of each peer",
      "Examples per class and peer; bars above: all examples of a peer. ",
      many ? "Peers are ordered by their most frequent class." : "",
    ),
    element(
      "article",
      { class: "card" },
      element("div", { class: "scroll" }, box),
      many ? caption : null,
      saveButtons("data of each peer", {
        svg: () => standalone(box.querySelector("svg")),
        csv: () => [
          ["peer", ...Array.from({ length: numClasses }, (_, label) => `class ${label}`)],
          ...ordered.map(({ peer, counts }) => [peer, ...counts]),
        ],
      }),
    ),
  );
  drawnToWidth(box.parentElement, (width) => {
    const columns = merged(ordered, Math.max(1, Math.min(limit, Math.floor((width - HEAT_LEFT - 2) / MIN_COLUMN))));
    box.replaceChildren(heatMap(columns, numClasses, width));
    const merging = columns.length < held.length ? ` Each column is the mean of up to ${columns[0].size} peers.` : "";
    caption.textContent = skewSentence(held) + merging;
  });
}

function byMainClass(held) {
  const main = ({ counts }) => counts.indexOf(Math.max(...counts));
  return [...held].sort((a, b) => main(a) - main(b) || Math.max(...b.counts) - Math.max(...a.counts));
}

function merged(held, limit) {
  const size = Math.ceil(held.length / limit);
  const columns = [];
  for (let start = 0; start < held.length; start += size) {
    const group = held.slice(start, start + size);
    columns.push({
      size,
      peers: group.map(({ peer }) => peer),
      counts: group[0].counts.map((_, label) => mean(group.map(({ counts }) => counts[label] ?? 0))),
    });
  }
  return columns;
}

function groupName(peers) {
  if (peers.length === 1) return `peer ${peers[0]}`;
  return `peers ${peers.slice(0, 5).join(", ")}${peers.length > 5 ? ` and ${count(peers.length - 5)} more` : ""}`;
}

// How unlike the peers' data are, in numbers.
function skewSentence(held) {
  const totals = held.map(({ counts }) => counts.reduce((sum, value) => sum + value, 0));
  const measures = [
    ["examples", "count", totals],
    ["classes", "count", held.map(({ counts }) => counts.filter((value) => value > 0).length)],
    [
      "share of the most frequent class",
      "percent",
      held.map(({ counts }, index) => Math.max(...counts) / Math.max(1, totals[index])),
    ],
  ];
  const parts = measures.map(([name, kind, values]) => {
    const sorted = [...values].sort((a, b) => a - b);
    return `${name} ${shown(quantile(sorted, 0.5), kind)} (${shown(sorted[0], kind)} to ${shown(sorted.at(-1), kind)})`;
  });
  return `Median of the peers, and range: ${parts.join(", ")}.`;
}

function heatMap(columns, numClasses, width) {
  const left = HEAT_LEFT;
  const top = 60;
  const cell = Math.max(MIN_COLUMN, Math.min(72, (width - left - 2) / columns.length));
  const row = Math.max(4, Math.min(26, 420 / numClasses));
  const gap = cell > 10 ? 1.5 : cell > 5 ? 0.5 : 0;
  const single = columns[0].size === 1;
  const longest = Math.max(...columns.map(({ peers }) => peers[0].length));
  const everyPeer = Math.max(1, Math.ceil((Math.min(longest, 8) * 7.5 + 9) / cell));
  const everyClass = Math.max(1, Math.ceil(13 / row));
  const totals = columns.map(({ counts }) => counts.reduce((sum, value) => sum + value, 0));
  const tallest = Math.max(...totals, 1);
  const peak = Math.max(...columns.flatMap(({ counts }) => counts), 1);
  const numbers = cell >= 30 && row >= 16;
  const height = top + row * numClasses + 40;
  const shapes = [];
  columns.forEach(({ peers, counts }, index) => {
    const x = left + index * cell;
    const tip = (event) =>
      tooltip.show(
        event.clientX,
        event.clientY,
        element("div", { class: "tip-title" }, groupName(peers)),
        element("div", {}, plural(Math.round(10 * totals[index]) / 10, "example"), single ? "" : " in the mean"),
        element(
          "table",
          {},
          counts
            .map((value, label) => ({ value, label }))
            .filter(({ value }) => value > 0)
            .sort((a, b) => b.value - a.value)
            .slice(0, 10)
            .map(({ value, label }) =>
              element("tr", {}, element("th", {}, `class ${label}`), element("td", {}, count(value))),
            ),
        ),
      );
    const bar = (totals[index] / tallest) * (top - 24);
    shapes.push(
      shape("rect", {
        class: "total",
        x: x + gap / 2,
        y: top - 6 - bar,
        width: cell - gap,
        height: Math.max(bar, 0.5),
      }),
    );
    if (numbers)
      shapes.push(shape("text", { class: "total-text", x: x + cell / 2, y: top - 13 - bar }, count(totals[index])));
    counts.forEach((value, label) => {
      const share = Math.sqrt(value / peak);
      const y = top + label * row;
      shapes.push(
        shape("rect", {
          class: "heat-cell",
          x: x + gap / 2,
          y: y + gap / 2,
          width: cell - gap,
          height: row - gap,
          rx: cell > 10 && row > 10 ? 2.5 : null,
          style: { fill: `color-mix(in oklab, var(--heat-high) ${(100 * share).toFixed(1)}%, var(--heat-low))` },
        }),
      );
      if (numbers && value > 0)
        shapes.push(
          shape(
            "text",
            { class: share > 0.55 ? "heat-text strong" : "heat-text", x: x + cell / 2, y: y + row / 2 },
            count(value),
          ),
        );
    });
    if (single && index % everyPeer === 0 && cell >= 5)
      shapes.push(
        shape(
          "text",
          { class: "axis-text", x: x + cell / 2, y: top + row * numClasses + 14 },
          peers[0].length > 8 ? `${peers[0].slice(0, 7)}…` : peers[0],
        ),
      );
    shapes.push(
      shape("rect", {
        class: "hit",
        x,
        y: 0,
        width: cell,
        height: top + row * numClasses,
        onpointermove: tip,
        onpointerleave: () => tooltip.hide(),
      }),
    );
  });
  for (let label = 0; label < numClasses; label += everyClass) {
    shapes.push(
      shape(
        "text",
        { class: "axis-text end", x: left - 8, y: top + (label + 0.5) * row },
        label === 0 ? "class 0" : label,
      ),
    );
  }
  const drawn = left + cell * columns.length;
  shapes.push(shape("text", { class: "axis-text end", x: left - 8, y: top - 14 }, "all"));
  shapes.push(
    shape("text", { class: "axis-text", x: left + (drawn - left) / 2, y: height - 8 }, single ? "peer" : "peers"),
  );
  return shape(
    "svg",
    {
      width: Math.ceil(drawn + 2),
      height,
      viewBox: `0 0 ${Math.ceil(drawn + 2)} ${height}`,
      role: "img",
      "aria-label": `Examples per class for ${columns.length} peers`,
    },
    shapes,
  );
}
