// The head of the page: what was compared, what is wrong with it, and who won by the numbers.

function drawHead(box) {
  const { manifest } = RUN;
  const facts = [
    IS_REAL ? `${CLOCK}, over HTTP` : CLOCK,
    manifest.created ? shownDate(manifest.created) : null,
    manifest.gossipfl ? `gossipfl ${manifest.gossipfl}` : null,
  ].filter(Boolean);
  const themes = segmented(
    "Theme",
    [
      [null, "Auto"],
      ["light", "Light"],
      ["dark", "Dark"],
    ],
    null,
    setTheme,
  );
  themes.classList.add("themes");
  box.append(
    element("div", { class: "eyebrow" }, element("span", {}, facts.join(" · ")), themes),
    element("h1", {}, manifest.name),
    manifest.description ? element("p", { class: "lead" }, manifest.description) : "",
    element("p", { class: "compared" }, comparedSentence()),
  );
}

function shownDate(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

function comparedSentence() {
  const { data = {}, partition = {} } = RUN.manifest;
  const parts = [
    plural(COMPETITORS.length, "algorithm") + (BOUNDS.length ? ` and ${plural(BOUNDS.length, "bound")}` : ""),
  ];
  if (RUN.peers.length) {
    const sampled = NUM_EVALUATED > 0 && NUM_EVALUATED < RUN.peers.length;
    parts.push(plural(RUN.peers.length, "peer") + (sampled ? ` (${count(NUM_EVALUATED)} evaluated)` : ""));
  }
  if (data.source) {
    const classes = data.num_classes ? `, ${plural(data.num_classes, "class", "classes")}` : "";
    const chosen = data.num_validation ? `, ${count(data.num_validation)} validation` : "";
    const size = isNumber(data.num_train)
      ? ` (${count(data.num_train)} training${chosen} and ${count(data.num_test)} test examples${classes})`
      : "";
    parts.push(data.source + size);
  }
  if (partition.name) {
    const parameters = Object.entries(partition.parameters ?? {})
      .map(([name, value]) => `${name} = ${value}`)
      .join(", ");
    const skew = RUN.manifest.scenario?.data?.skew ? ", features skewed" : "";
    parts.push(`partition ${partition.name}${parameters ? ` (${parameters})` : ""}${skew}`);
  }
  parts.push(plural(NUM_SEEDS, "seed"));
  return parts.join(" · ");
}

function drawNotices(box) {
  const { interrupted, failures = [], differences = [] } = RUN.manifest;
  const empty = LABELS.filter((label) => RUN.histories[label].length === 0);
  const notice = (kind, title, ...text) =>
    element("p", { class: `notice ${kind}` }, element("strong", {}, title), " ", ...text);
  if (interrupted) {
    box.append(
      notice(
        "warning",
        "The run was interrupted.",
        "What was measured until then is shown; algorithms may have come to different rounds.",
        empty.length ? ` Nothing was measured for ${empty.join(", ")}.` : "",
      ),
    );
  } else if (empty.length) {
    box.append(notice("warning", "Not everything was measured.", `There is no evaluation of ${empty.join(", ")}.`));
  }
  if (failures.length) {
    box.append(notice("warning", "Ended early:", `${failures.join("; ").replace(/\.$/, "")}.`));
  }
  if (differences.length) {
    box.append(notice("", "Please note:", differences.map((text) => text.replace(/\.?$/, ".")).join(" ")));
  }
}

// The best competitor by one figure of the table: { label, number, second }.
function best(figure, better) {
  const ranked = COMPETITORS.map((label) => ({ label, number: SUMMARY[label] ? figure(SUMMARY[label]) : null }))
    .filter(({ number }) => number && isNumber(number.mean))
    .sort((a, b) => (better === "high" ? b.number.mean - a.number.mean : a.number.mean - b.number.mean));
  return ranked.length ? { ...ranked[0], second: ranked[1] ?? null } : null;
}

// The best target by the first metric that somebody reached with every seed, else with any.
function decisiveTarget() {
  const reached = (whole) =>
    TARGETS.filter(({ metric }) => metric === MAIN).filter((target) =>
      COMPETITORS.some((label) => {
        const row = targetRow(label, target);
        return row && row.reached > 0 && (!whole || isWhole(row));
      }),
    );
  const candidates = reached(true).length ? reached(true) : reached(false);
  const highest = bestOf(MAIN, candidates.map(({ value }) => value));
  return candidates.find(({ value }) => value === highest) ?? null;
}

const isWhole = (row) => row !== null && row.reached > 0 && row.reached === row.of;

const isOf = (row, { metric, value }) => row.metric === metric.name && row.target === value;
const targetRow = (label, target) => SUMMARY[label]?.targets.find((row) => isOf(row, target)) ?? null;

// Only those that reached the target with every seed compete for the fewest bytes to it, when there are any.
function toTarget(target, cost) {
  const whole = COMPETITORS.some((label) => isWhole(targetRow(label, target)));
  return (row) => {
    const entry = row.targets.find((candidate) => isOf(candidate, target));
    return entry && entry.reached > 0 && (!whole || isWhole(entry)) ? entry[cost] : null;
  };
}

// Who did fewer rounds spent less, which is no merit: then nobody is the best by what a whole run cost.
const DID_AS_MUCH = new Set(COMPETITORS.map((label) => SUMMARY[label]?.rounds?.mean).filter(isNumber)).size < 2;

function findings() {
  const target = decisiveTarget();
  const alone = COMPETITORS.length === 1;
  const judging = SHOWN.filter(({ better }) => better);
  const reported = judging.filter(({ isTest }) => isTest);
  const list = (reported.length ? reported : judging).flatMap(({ name, words, kind, better }) =>
    [
      ["deployed", "what is deployed"],
      ["worst", "the worst peer"],
    ].map(([aspect, whose]) => ({
      title: `${alone ? capitalized(words) : `Best ${words}`} of ${whose}`,
      kind,
      found: best((row) => row[`${aspect}_${name}`], better),
    })),
  );
  if (target !== null) {
    list.push({
      title: `${alone ? "Bytes" : "Fewest bytes"} to ${target.metric.words} ${shownTarget(target)}`,
      kind: "bytes",
      found: best(toTarget(target, "num_bytes"), "low"),
    });
    list.push({
      title: `${alone ? CLOCK_TITLE : `Least ${CLOCK}`} to ${target.metric.words} ${shownTarget(target)}`,
      kind: "seconds",
      found: best(toTarget(target, "time"), "low"),
    });
  } else if (DID_AS_MUCH) {
    list.push({
      title: alone ? "Bytes in all" : "Fewest bytes in all",
      kind: "bytes",
      found: best((row) => row.num_bytes, "low"),
    });
    list.push({
      title: alone ? "Bytes at the busiest participant" : "Lightest busiest participant",
      kind: "bytes",
      found: best((row) => row.busiest_peer_bytes, "low"),
    });
  }
  return list.filter(({ found }) => found !== null);
}

function drawFindings(section) {
  const list = findings();
  if (list.length === 0 || !IS_FAIR) return;
  section.append(
    element(
      "div",
      { class: "tiles" },
      list.map(({ title, kind, found }) =>
        element(
          "div",
          { class: "tile", style: { "--hue": `var(${LOOK[found.label].property})` } },
          element("div", { class: "tile-title" }, title),
          element("div", { class: "tile-value" }, shown(found.number.mean, kind)),
          element("div", { class: "tile-name" }, swatch(found.label), found.label),
          element("div", { class: "soft" }, tileNote(found, kind)),
        ),
      ),
    ),
    element("p", { class: "verdict" }, verdict(list)),
  );
}

function tileNote({ number, second }, kind) {
  if (!second) return isNumber(number.std) ? `± ${shown(number.std, kind)} over seeds` : "";
  const gap = Math.abs(number.mean - second.number.mean);
  const close = isNumber(number.std) && gap <= Math.max(number.std, second.number.std ?? 0);
  const relation = gap === 0 ? "the same as" : close ? "within the spread of" : "next:";
  return `${relation} ${second.label}, ${shown(second.number.mean, kind)}`;
}

function verdict(list) {
  const alone = COMPETITORS.length === 1;
  const parts = list.map(({ title, kind, found }, index) => {
    const name = index === 0 && !alone ? title : title[0].toLowerCase() + title.slice(1);
    return alone
      ? `${name} ${shownWithSpread(found.number, kind)}`
      : `${name}: ${found.label}, ${shownWithSpread(found.number, kind)}`;
  });
  const sentence = (alone ? `${COMPETITORS[0]}: ` : "") + parts.join("; ");
  const deployed = (label) => SUMMARY[label]?.[`deployed_${REPORTED.name}`]?.mean;
  const bounds = BOUNDS.filter((label) => isNumber(deployed(label)));
  const limits = bounds.map((label) => `${label} ${shown(deployed(label), REPORTED.kind)}`).join(", ");
  return `${sentence}.${limits ? ` For reference: ${limits}.` : ""}`;
}
