// What the peers know themselves of how good all of them are, beside what an engine measured that sees them all.

const AGREED = LABELS.filter((label) => RUN.agreed[label]);

// The newest agreement of each seed, with the value that an engine measured of the same round, if there is one.
function newest(label, value) {
  const values = RUN.agreed[label].map((table) => value(table, table.round.length - 1)).filter(isNumber);
  return values.length ? { mean: mean(values), std: null } : null;
}

function engineOf(label, metric) {
  return (table, last) => {
    const own = RUN.histories[label].find(({ seed }) => seed === table.seed);
    return own?.[`deployed_${metric.name}`][own.round.indexOf(table.round[last])] ?? null;
  };
}

function agreedColumns() {
  const of = (value) => (label) => (RUN.agreed[label] ? newest(label, value(label)) : null);
  const column = (key) => of(() => (table, last) => table[key][last]);
  return [
    { group: "Newest agreement", title: "After round", kind: "count", number: column("round") },
    { group: "Newest agreement", title: "Known in round", kind: "count", number: column("known_in") },
    { group: "Newest agreement", title: "Peers in it", kind: "count", number: column("num_peers") },
    { group: "Newest agreement", title: "Of peers", kind: "count", number: column("of_peers") },
    ...SHOWN.filter((metric) => !metric.isTest).flatMap((metric) => [
      ...[
        ["mean", "Mean"],
        ["worst", "Worst"],
        ["decile1", "Decile 1"],
        ["decile5", "Median"],
        ["decile9", "Decile 9"],
        ["best", "Best"],
      ].map(([aspect, title]) => ({
        group: capitalized(metric.words),
        title,
        kind: metric.kind,
        number: column(`agreed_${aspect}_${metric.name}`),
      })),
      {
        group: capitalized(metric.words),
        title: "Engine’s own",
        kind: metric.kind,
        number: of((label) => engineOf(label, metric)),
        hint: "Of what is deployed, by an engine that sees all peers, when that round was over in the mean: peers may be in different ones then; a dash where it did not measure",
      },
    ]),
  ];
}

function drawAgreed(section) {
  if (AGREED.length === 0) return;
  section.append(
    sectionHead(
      "What the peers know",
      "Peers score their models themselves and tell each other, without anybody who sees them all: this is what they know at the end.",
    ),
    sortableTable(agreedColumns(), "agreed", AGREED),
  );
}
