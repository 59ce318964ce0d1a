// Who reached each target with the least, with every seed; a run of an earlier version does not say it.

const CONTESTS = [
  ["num_bytes", "Fewest bytes", "bytes"],
  ["time", `Least ${CLOCK}`, "seconds"],
  ["busiest_peer_bytes", "Least at the busiest", "bytes"],
  ["spread", "Closest peers"],
];

function winnersTable() {
  const winners = RUN.winners.filter((row) => CONTESTS.some(([contest]) => row[contest] !== null));
  if (winners.length === 0 || COMPETITORS.length < 2) return "";
  return element(
    "div",
    { class: "card flush scroll", tabindex: "0" },
    element(
      "table",
      { class: "facts winners" },
      tableHead([["Cheapest way"], ...CONTESTS.map(([contest, title]) => [title, contest === "spread" ? APART : null])]),
      element(
        "tbody",
        {},
        winners.map((row) => {
          const target = { metric: metricOf(row.metric), value: row.target };
          return tableRow(
            [
              `to ${target.metric.words} ${shownTarget(target)}`,
              element("div", { class: "soft" }, row.of > 1 ? `with all ${plural(row.of, "seed")}` : ""),
            ],
            CONTESTS.map(([contest, , kind]) => winnerCell(row[contest], target, contest, kind)),
          );
        }),
      ),
    ),
    saveButtons("winners", {
      csv: () => [
        ["metric", "target", ...CONTESTS.map(([contest]) => contest)],
        ...winners.map((row) => [row.metric, row.target, ...CONTESTS.map(([contest]) => row[contest])]),
      ],
    }),
  );
}

function winnerCell(label, target, contest, kind) {
  if (label === null) return NONE;
  const row = targetRow(label, target);
  const apart = contest === "spread" ? "" : `peers ${shownWithSpread(row.spread, target.metric.apartKind)} apart`;
  return [
    element("div", { class: "winner" }, swatch(label), label),
    element("div", {}, shownWithSpread(row[contest], kind ?? target.metric.apartKind), contest === "spread" ? " apart" : ""),
    element("div", { class: "soft" }, apart),
  ];
}
