// Tables of the algorithms that sort by any column; bounds stay below the competitors.

const DEPLOYED = "The server’s model, or else the peers’ own, averaged over peers";
const AVERAGE = "Nobody has the average of the peers’ models until it is gathered; a server has its own";
const DECILES = [
  ["decile1", "Decile 1", "A tenth of the peers do worse, on shares of their own"],
  ["decile5", "Median"],
  ["decile9", "Decile 9", "A tenth of the peers do better"],
];
const CHOSEN = RUN.manifest.data?.num_validation
  ? ""
  : " Read off the test part: with data.validation, off a part that is held out to choose by.";
const BUSIEST = "Bytes sent and received by the busiest participant";
const APART = "How far the best and the worst peer were apart, of shares in percentage points, when the target was reached";

const WHOLE_RUN = "Cost of the whole run";
const IS_PRIVATE = Object.values(SUMMARY).some((row) => isNumber(row.epsilon?.mean));

function comparisonColumns() {
  const own = (key) => (label) => SUMMARY[label]?.[key] ?? null;
  const byMetric = ({ name, measured, kind, better, top, by_share }) =>
    [
      ["deployed", "Deployed", DEPLOYED],
      ["worst", "Worst peer"],
      ...(by_share ? DECILES : []),
      ["best", "Best peer"],
      ["average", "Average model", AVERAGE],
    ].map(([aspect, title, hint]) => ({
      group: capitalized(measured),
      title,
      kind,
      better,
      number: own(`${aspect}_${name}`),
      top,
      hint,
    }));
  const columns = [
    ...SHOWN.flatMap(byMetric),
    { group: "Agreement", title: "Consensus distance", kind: "number", number: own("consensus_distance") },
    { group: WHOLE_RUN, title: "Rounds", kind: "count", number: own("rounds") },
    {
      group: WHOLE_RUN,
      title: "Epochs",
      kind: "number",
      number: own("epochs"),
      hint: "Passes over the own examples, per peer in the mean: the local work that was done (examples: see below)",
    },
    { group: WHOLE_RUN, title: CLOCK_TITLE, kind: "seconds", better: "low", number: own("time") },
    { group: WHOLE_RUN, title: "Bytes", kind: "bytes", better: "low", number: own("num_bytes") },
    {
      group: WHOLE_RUN,
      title: "Busiest",
      kind: "bytes",
      better: "low",
      number: own("busiest_peer_bytes"),
      hint: BUSIEST,
    },
  ];
  if (IS_PRIVATE)
    columns.push({
      group: "Privacy",
      title: "Epsilon",
      kind: "number",
      number: own("epsilon"),
      hint: "Spent by the end, at the peer that spent most",
    });
  if (commonRounds() !== null)
    columns.splice(
      columns.findIndex((column) => column.title === "Rounds"),
      1,
    );
  return columns;
}

// What it took to reach each target; what earlier versions did not note has no column.
function targetColumns() {
  return TARGETS.flatMap((target) => {
    const cost = (key) => (label) => targetRow(label, target)?.[key] ?? null;
    const group = `To reach ${target.metric.words} ${shownTarget(target)}`;
    return [
      { title: "Rounds", kind: "count", number: cost("rounds") },
      { title: "Time", kind: "seconds", number: cost("time"), hint: CLOCK_TITLE },
      { title: "Bytes", kind: "bytes", number: cost("num_bytes") },
      { title: "Busiest", kind: "bytes", number: cost("busiest_peer_bytes"), hint: BUSIEST, optional: true },
      { title: "Peers apart", kind: target.metric.apartKind, number: cost("spread"), hint: APART, optional: true },
    ]
      .filter((column) => !column.optional || LABELS.some(column.number))
      .map((column) => ({ ...column, group, better: "low", target }));
  });
}

// The number of rounds when it is the same for all: it then needs no column.
function commonRounds() {
  const rounds = new Set(LABELS.map((label) => SUMMARY[label]?.rounds?.mean).filter(isNumber));
  return rounds.size === 1 ? [...rounds][0] : null;
}

function drawComparison(section) {
  const rounds = commonRounds();
  const contained = RUN.manifest.spread ? `${RUN.manifest.spread} ` : "";
  const seeds = NUM_SEEDS > 1 ? `Mean and standard deviation over ${NUM_SEEDS} seeds. ${contained}` : "";
  const champions =
    IS_FAIR && COMPETITORS.length > 1
      ? `Bold with a dot: best of its column${BOUNDS.length ? "; bounds do not compete" : ""}. `
      : "";
  section.append(
    sectionHead(
      "Comparison",
      `${seeds}${rounds !== null ? `All ran ${plural(rounds, "round")}. ` : ""}${champions}Click a heading to sort.`,
    ),
    sortableTable(comparisonColumns(), "comparison"),
  );
  const columns = targetColumns();
  if (columns.length === 0) return;
  section.append(
    sectionHead("Reaching a target", "What was spent when what is deployed (the server’s model, or else the peers’ own in the mean) had first come to it." + CHOSEN),
    winnersTable(),
    sortableTable(columns, "reaching a target"),
  );
}

function sortableTable(columns, name, shownLabels = LABELS) {
  const groups = [...new Set(columns.map((column) => column.group))];
  let sorted = { column: null, down: true };
  const heads = columns.map((column) => {
    const first = columns.find((other) => other.group === column.group) === column;
    const button = element("button", { type: "button", onclick: () => sortBy(column) }, column.title);
    return element(
      "th",
      { scope: "col", class: first ? "first" : null, title: column.hint ?? null, "aria-sort": "none" },
      button,
    );
  });
  const corner = element(
    "th",
    { scope: "col", class: "name", "aria-sort": "none" },
    element("button", { type: "button", onclick: () => sortBy(null) }, "Algorithm"),
  );
  const bodies = [COMPETITORS, BOUNDS].map((labels) => ({
    labels: labels.filter((label) => shownLabels.includes(label)),
    body: element("tbody", { class: labels === BOUNDS ? "bounds" : null }),
  }));
  function sortBy(column) {
    const down = sorted.column === column ? !sorted.down : column?.better === "high";
    sorted = { column, down };
    fill();
  }
  function fill() {
    heads.forEach((head, index) =>
      head.setAttribute(
        "aria-sort",
        columns[index] === sorted.column ? (sorted.down ? "descending" : "ascending") : "none",
      ),
    );
    for (const { labels, body } of bodies) {
      const value = (label) => sorted.column.number(label)?.mean ?? null;
      const order =
        sorted.column === null
          ? labels
          : [...labels].sort((a, b) => {
              const [x, y] = [value(a), value(b)];
              if (!isNumber(x) || !isNumber(y)) return isNumber(y) - isNumber(x);
              return sorted.down ? y - x : x - y;
            });
      body.replaceChildren(
        ...order.map((label) =>
          element(
            "tr",
            {},
            element(
              "th",
              { scope: "row", class: "name" },
              element("span", {}, swatch(label), element("span", {}, label)),
            ),
            columns.map((column, index) =>
              tableCell(column, label, index > 0 && columns[index - 1].group === column.group),
            ),
          ),
        ),
      );
    }
  }
  fill();
  return element(
    "div",
    { class: "card flush scroll", tabindex: "0" },
    element(
      "table",
      { class: "comparison" },
      element(
        "thead",
        {},
        element(
          "tr",
          { class: "groups" },
          element("td", { class: "name" }),
          groups.map((group) =>
            element(
              "th",
              {
                colspan: columns.filter((column) => column.group === group).length,
                scope: "colgroup",
                class: "first",
              },
              group,
            ),
          ),
        ),
        element("tr", {}, corner, heads),
      ),
      bodies.filter(({ labels }) => labels.length).map(({ body }) => body),
    ),
    saveButtons(name, { csv: () => comparisonRows(columns, shownLabels.filter((label) => visible.has(label))) }),
  );
}

// Every digit of what a table rounds.
const comparisonRows = (columns, labels) => [
  [
    "algorithm",
    "bound",
    ...columns.flatMap(({ group, title }) => ["mean", "std"].map((part) => `${group}: ${title}, ${part}`)),
  ],
  ...labels.map((label) => [
    label,
    String(ALGORITHM[label].bound),
    ...columns.flatMap(({ number }) => [number(label)?.mean ?? null, number(label)?.std ?? null]),
  ]),
];

function tableCell(column, label, inner) {
  const number = column.number(label);
  // With a target those compete that reached it with every seed, as in the table of winners, when there are any.
  const whole = (other) => column.target === undefined || isWhole(targetRow(other, column.target));
  const competing = COMPETITORS.some(whole) ? COMPETITORS.filter(whole) : COMPETITORS;
  const all = competing.map((other) => column.number(other)?.mean).filter(isNumber);
  const contested = column.group !== WHOLE_RUN || DID_AS_MUCH;
  const champion =
    IS_FAIR &&
    contested &&
    column.better &&
    all.length > 1 &&
    new Set(all).size > 1 &&
    competing.includes(label) &&
    isNumber(number?.mean) &&
    number.mean === (column.better === "high" ? Math.max(...all) : Math.min(...all));
  const row = column.target === undefined ? null : targetRow(label, column.target);
  const partial = row && row.reached > 0 && row.reached < row.of;
  const content =
    !number && row && row.of > 0 && column.title === "Rounds"
      ? element(
          "span",
          { class: "soft", title: `Target not reached with any of ${plural(row.of, "seed")}` },
          "not reached",
        )
      : [
          shown(number?.mean, column.kind),
          partial && column.title === "Rounds"
            ? element("span", { class: "soft" }, ` (${row.reached} of ${row.of})`)
            : null,
        ];
  const spread = number ? shownSpread(number, column.kind) : "";
  const top = column.top ?? Math.max(...(all.length ? all : [number?.mean ?? 0]));
  const bar =
    column.better && isNumber(number?.mean) && top > 0
      ? element("i", {
          class: "mini",
          style: { width: `${Math.min(100, (100 * number.mean) / top)}%`, background: `var(${LOOK[label].property})` },
        })
      : null;
  return element(
    "td",
    { class: [champion ? "best" : "", inner ? "" : "first"].join(" ").trim() || null },
    element("div", {}, content),
    NUM_SEEDS > 1 ? element("div", { class: "spread" }, spread && `± ${spread}`) : null,
    bar,
  );
}

// All measurements of one algorithm, round by round, for those who want the figures behind the curves.
function measurements() {
  const columns = [
    ["round", "Round", "count"],
    ["epochs", "Epochs", "number"],
    ["num_examples", "Examples", "count"],
    ["time", CLOCK_TITLE, "seconds"],
    ["num_bytes", "Bytes", "bytes"],
    ["training_loss", "Training loss", "number"],
    ["average_loss", "Average loss", "number"],
    ...SHOWN.flatMap(({ name, words, kind }) => [
      [`training_${name}`, `Training ${words}`, kind],
      [`deployed_${name}`, SHOWN.length > 1 ? `Deployed ${words}` : "Deployed", kind],
      [`average_${name}`, "Average model", kind],
      [`mean_${name}`, "Mean of peers", kind],
      [`worst_${name}`, "Worst peer", kind],
      [`best_${name}`, "Best peer", kind],
    ]),
    ["consensus_distance", "Consensus distance", "number"],
    ...(IS_PRIVATE ? [["epsilon", "Epsilon", "number"]] : []),
  ];
  const measurementRows = () => {
    const values = columns.map(([key]) => curve(chosen, key, "round").map((point) => point.y));
    return [
      ["algorithm", ...columns.map(([key]) => key)],
      ...values[0].map((_, index) => [chosen, ...values.map((column) => column[index])]),
    ];
  };
  let chosen = MEASURED[0];
  const body = element("tbody");
  function fill() {
    const values = columns.map(([key]) => curve(chosen, key, "round").map((point) => point.y));
    const rounds = curve(chosen, "round", "round").map((point) => point.x);
    body.replaceChildren(
      ...rounds.map((round, index) =>
        element(
          "tr",
          {},
          columns.map(([key, , kind], column) =>
            element("td", {}, shown(key === "round" ? round : values[column][index], kind)),
          ),
        ),
      ),
    );
  }
  const details = element(
    "details",
    {
      class: "card",
      ontoggle: () => {
        if (details.open) fill();
      },
    },
    element("summary", {}, "Measurements, round by round"),
    element(
      "div",
      { class: "controls" },
      chooser("Algorithm", MEASURED, chosen, (label) => {
        chosen = label;
        fill();
      }),
      NUM_SEEDS > 1 ? element("span", { class: "soft" }, "mean over seeds") : "",
    ),
    element(
      "div",
      { class: "scroll" },
      element(
        "table",
        { class: "facts" },
        tableHead(columns.map(([, title]) => [title])),
        body,
      ),
    ),
    saveButtons("measurements", { csv: measurementRows }),
  );
  return MEASURED.length ? details : "";
}
