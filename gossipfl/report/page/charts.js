// Which charts there are: metrics, their spread over peers, consensus distance and loss, and the legend that they share.

// The lines of one measure for all visible algorithms.
function algorithmLines(measure, against, x, y = {}) {
  return LABELS.filter((label) => visible.has(label) && !(against === "num_bytes" && isSilent(label))).map((label) => {
    const points = smoothed(curve(label, measure, against)).filter(
      (point) => (!x.log || point.x > 0) && (!y.log || point.y === null || point.y > 0),
    );
    return {
      label,
      name: label,
      points,
      ...LOOK[label],
      band: RUN.histories[label].length > 1 && points.length > 1 ? bandStrength() : 0,
    };
  });
}

// Many bands over each other would hide the lines.
const bandStrength = () => Math.min(0.14, 0.9 / visible.size);

// Bounds send nothing: against bytes they have no curve, only a level.
const isSilent = (label) =>
  ALGORITHM[label].bound && curve(label, "num_bytes", "round").every((point) => !(point.y > 0));

function silentLevels(measure) {
  return MEASURED.filter((label) => visible.has(label) && isSilent(label))
    .map((label) => ({ value: curve(label, measure, "round").at(-1).y, text: `${label}, at the end, without a byte` }))
    .filter(({ value }) => isNumber(value));
}

const seedsCaption = () =>
  (NUM_SEEDS > 1 ? `Lines: mean over ${NUM_SEEDS} seeds; bands: the range they span. ` : "") +
  (smoothing > 1 ? `Curves are smoothed: the mean of ${smoothing} evaluations around each; tables are not. ` : "");

function xAxis(against, log) {
  const known = {
    round: { kind: "count", title: "round", name: "round" },
    num_bytes: { kind: "bytes", title: "bytes sent by all", name: "bytes" },
    time: { kind: "seconds", title: CLOCK, name: "time" },
    epsilon: { kind: "number", title: "epsilon spent, at the peer that spent most", name: "epsilon" },
  }[against];
  return {
    ...known,
    log: log && against !== "round",
    title: known.title + (log && against !== "round" ? " (logarithmic)" : ""),
  };
}

function metricChart(metric) {
  const aspects = [
    ["deployed", "Deployed"],
    ["average", "Average model"],
    ["mean", "Mean of peers"],
    ["worst", "Worst peer"],
    ["training", "Training"],
    ...(Object.keys(RUN.agreed).length ? [["agreed_mean", "As peers know it"]] : []),
  ];
  const title = capitalized(metric.words);
  let aspect = "deployed";
  let against = "round";
  let log = false;
  const logToggle = toggle("log x", log, (on) => {
    log = on;
    chart.draw();
  });
  logToggle.hidden = true;
  const controls = [
    segmented(`${title} of`, aspects, aspect, (value) => {
      aspect = value;
      chart.draw();
    }),
    segmented(
      "Against",
      [
        ["round", "Rounds"],
        ["num_bytes", "Bytes"],
        ["time", CLOCK_TITLE],
        ...(IS_PRIVATE ? [["epsilon", "Epsilon"]] : []),
      ],
      against,
      (value) => {
        against = value;
        logToggle.hidden = value === "round";
        chart.draw();
      },
    ),
    logToggle,
  ];
  const explained = {
    deployed: `${capitalized(metric.measured)} of what is deployed: the server’s model, or else each peer’s own weights, averaged over peers.`,
    average: `${capitalized(metric.measured)} of the average of all peers’ weights, which nobody has until it is gathered; of an algorithm with a server, of the server’s model.`,
    mean: `${capitalized(metric.measured)} of each peer’s own weights, averaged over peers.`,
    worst: `${capitalized(metric.measured)} of the peer that does worst.`,
    training: `${title} over the examples of the local training since the previous evaluation, before each step’s update.`,
    agreed_mean: `${title} of all peers in the mean, as the peers themselves agree on it: against rounds where the models were then, against bytes and time where the first peer knew it.`,
  };
  const chart = chartCard(
    title,
    controls,
    () => {
      const x = xAxis(against, log);
      const measure = `${aspect}_${metric.name}`;
      const targets = TARGETS.filter((target) => target.metric === metric);
      return {
        lines: algorithmLines(measure, against, x),
        x,
        y: { kind: metric.kind, top: metric.top },
        marks: [
          ...targets.map((target) => ({ value: target.value, text: `target ${shownTarget(target)}` })),
          ...(against === "num_bytes" ? silentLevels(measure) : []),
        ],
        caption: `${explained[aspect]} ${seedsCaption()}Drag to zoom, double-click to return.`,
        empty: `No ${aspect === "training" ? "training " : ""}${metric.words} was measured for the algorithms shown.`,
      };
    },
    { tall: true },
  );
  return chart;
}

const isMeasured = (label, measure) => curve(label, measure, "round").some((point) => isNumber(point.y));

function lossChart() {
  const measures = [
    ["average_loss", "Average model"],
    ["training_loss", "Training"],
  ];
  // Peers on separate hosts have no average model to measure while they run.
  let [measure] = measures.find(([key]) => MEASURED.some((label) => isMeasured(label, key))) ?? measures[0];
  const controls = [
    segmented(
      "Loss of",
      measures,
      measure,
      (value) => {
        measure = value;
        chart.draw();
      },
    ),
  ];
  const chart = chartCard("Loss", controls, () => {
    const x = xAxis("round", false);
    return {
      lines: algorithmLines(measure, "round", x),
      x,
      y: { kind: "number" },
      caption: `${measure === "average_loss" ? `On ${MAIN.on}.` : "Over the examples of the local training."} ${seedsCaption()}`,
      empty: "No loss was measured for the algorithms shown.",
    };
  });
  return chart;
}

function consensusChart() {
  let log = true;
  const controls = [
    toggle("log y", log, (on) => {
      log = on;
      chart.draw();
    }),
  ];
  const chart = chartCard("Consensus distance", controls, () => {
    const x = xAxis("round", false);
    const y = { kind: "number", log };
    const measured = MEASURED.filter((label) => visible.has(label) && isMeasured(label, "consensus_distance"));
    const zero = measured.filter((label) =>
      curve(label, "consensus_distance", "round").every((point) => !(point.y > 0)),
    );
    return {
      lines: algorithmLines("consensus_distance", "round", x, y),
      x,
      y,
      caption: `How far peers’ weights are from their mean: √(meanᵢ ‖xᵢ − x̄‖²). ${seedsCaption()}${log && zero.length ? `Exactly zero, so not on a logarithmic axis: ${zero.join(", ")}. ` : ""}`,
      empty: measured.length
        ? "All peers hold the same weights at every evaluation: the distance is exactly zero."
        : "No consensus distance was measured for the algorithms shown.",
    };
  });
  return chart;
}

const MANY_PEERS = 60; // more peers than this are shown as a distribution

function spreadChart(metric) {
  const withPeers = LABELS.filter((label) => metric.ofPeers[label]?.rounds.length);
  const measured = withPeers.length ? withPeers : MEASURED;
  let chosen = measured.find((label) => !ALGORITHM[label].bound) ?? measured[0];
  const controls =
    measured.length > 1
      ? [
          chooser("Algorithm", measured, chosen, (label) => {
            chosen = label;
            chart.draw();
          }),
        ]
      : [];
  const chart = chartCard(metric === MAIN ? "Spread over peers" : `Spread over peers: ${metric.words}`, controls, () => {
    const x = xAxis("round", false);
    const y = { kind: metric.kind, top: metric.top };
    if (chosen === undefined) return { lines: [], x, y };
    const { property } = LOOK[chosen];
    const seen = metric.ofPeers[chosen];
    if (!seen) return { lines: spreadFromSummary(chosen, metric), x, y, caption: "Mean, best and worst peer." };
    const rows = seen.values
      .map((values, index) => ({ x: seen.rounds[index], sorted: values.filter(isNumber).sort((a, b) => a - b) }))
      .filter(({ sorted }) => sorted.length);
    if (rows.length === 0) return { lines: [], x, y };
    const numPeers = Math.max(...rows.map(({ sorted }) => sorted.length));
    const between = (low, high) =>
      rows.map(({ x: at, sorted }) => ({ x: at, y: null, low: quantile(sorted, low), high: quantile(sorted, high) }));
    const summary = (name, value, style) => ({
      name,
      points: rows.map(({ x: at, sorted }) => ({ x: at, y: value(sorted) })),
      property,
      ...style,
    });
    const band = (low, high, strength) => ({
      name: "",
      quiet: true,
      points: between(low, high),
      property,
      width: 0,
      band: strength,
    });
    const many = numPeers > MANY_PEERS;
    const sampled = numPeers < RUN.peers.length ? " evaluated" : "";
    const detail = many
      ? [band(0, 1, 0.14), band(0.1, 0.9, 0.18), band(0.25, 0.75, 0.25)]
      : [
          band(0, 1, 0.13),
          ...RUN.peers.map((_, peer) => ({
            name: "",
            quiet: true,
            property,
            width: 1,
            opacity: 0.35,
            points: seen.rounds.map((round, index) => ({ x: round, y: seen.values[index][peer] })),
          })),
        ];
    return {
      lines: [
        ...detail,
        summary("best peer", (sorted) => bestOf(metric, sorted), { width: 1, opacity: 0.8 }),
        ...(many ? [summary("median peer", (sorted) => quantile(sorted, 0.5), { width: 1.5, dash: [6, 4] })] : []),
        summary("mean of peers", mean, { width: 3 }),
        summary("worst peer", (sorted) => worstOf(metric, sorted), { width: 1, opacity: 0.8 }),
      ],
      x,
      y,
      caption: `${many ? `Bands: all ${count(numPeers)} peers${sampled}, the middle 80${SPACE}% and the middle half; dashed line: their median` : `Thin lines: each of ${plural(numPeers, "peer")}${sampled}`}; thick line: their mean${NUM_SEEDS > 1 ? ` (seed ${seen.seed})` : ""}.`,
    };
  });
  return chart;
}

function spreadFromSummary(label, metric) {
  const [one, other] = ["worst", "best"].map((aspect) => curve(label, `${aspect}_${metric.name}`, "round"));
  const points = curve(label, `mean_${metric.name}`, "round").map((point, index) => {
    const ends = [one[index].y, other[index].y].filter(isNumber);
    return { ...point, low: ends.length ? Math.min(...ends) : null, high: ends.length ? Math.max(...ends) : null };
  });
  return [{ name: "mean of peers", points, property: LOOK[label].property, width: 3, band: 0.15 }];
}

// Chips that show and hide algorithms in all charts; pointing at one brings its line to the front.
function legend() {
  const chips = LABELS.map((label) => {
    const none = RUN.histories[label].length === 0;
    return element(
      "button",
      {
        type: "button",
        class: ALGORITHM[label].bound ? "chip bound" : "chip",
        "aria-pressed": "true",
        disabled: none,
        title: none ? "Nothing was measured" : "Click: show or hide. Double-click: show only this one",
        onclick: () =>
          setVisible(
            visible.has(label) ? LABELS.filter((other) => visible.has(other) && other !== label) : [...visible, label],
          ),
        ondblclick: () => setVisible([label]),
        onmouseenter: () => setFocus(label),
        onmouseleave: () => setFocus(null),
        onfocus: () => setFocus(label),
        onblur: () => setFocus(null),
      },
      swatch(label),
      element("span", {}, label),
    );
  });
  const all = element("button", { type: "button", class: "link", onclick: () => setVisible(LABELS) }, "Show all");
  // In charts by their lines, in tables by the style sheet.
  const bounds = toggle("Bounds", true, (on) => {
    document.documentElement.dataset.bounds = on ? "on" : "off";
    setVisible(LABELS.filter((label) => (ALGORITHM[label].bound ? on : visible.has(label))));
  });
  const update = () => {
    chips.forEach((chip, index) => chip.setAttribute("aria-pressed", String(visible.has(LABELS[index]))));
    all.hidden = visible.size === LABELS.length;
    bounds.setAttribute("aria-pressed", String(BOUNDS.some((label) => visible.has(label))));
  };
  onVisible.push(update);
  update();
  // Of many algorithms it takes several lines: kept in sight, it would cover the charts.
  const kind = LABELS.length > 10 ? "legend many" : "legend";
  return element("div", { class: kind, role: "group", "aria-label": "Algorithms shown" }, chips, all, BOUNDS.length && COMPETITORS.length ? bounds : "");
}

// A choice for all curves; two evaluations have nothing between them.
function smoothingChoice() {
  const longest = Math.max(0, ...MEASURED.map((label) => curve(label, "round", "round").length));
  const windows = [1, 3, 5, 9, 15, 25].filter((window) => window === 1 || window < longest);
  if (windows.length === 1) return "";
  const words = (window) => (window === 1 ? "not smoothed" : `smoothed over ${window} evaluations`);
  return element(
    "div",
    { class: "controls" },
    chooser("Smoothing", windows.map(words), words(1), (chosen) => setSmoothing(windows.find((window) => words(window) === chosen))),
  );
}

function drawCurves(section) {
  const followed = SHOWN.filter((metric) => !metric.isTest);
  const leads = followed.map(metricChart);
  const others = [...followed.map(spreadChart), consensusChart(), ...(MAIN === LOSS ? [] : [lossChart()])];
  section.append(
    sectionHead("Learning curves"),
    LABELS.length > 1 ? legend() : "",
    smoothingChoice(),
    ...leads.map((chart) => chart.card),
    element(
      "div",
      { class: "grid" },
      others.map((chart) => chart.card),
      trafficCard(),
    ),
  );
  [...leads, ...others].forEach((chart) => chart.draw());
}
