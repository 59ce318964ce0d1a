// Which peers could not reach each other, and when: a sentence, a timeline and a table for each algorithm.

const ROW = 24; // height of a row of the timeline, and of a line of text above it where there is no room beside it
const NAME_ROOM = 0.38; // names beside the bars take at most this share of the width

function drawContact(section) {
  const labels = LABELS.filter((label) => RUN.contact[label]);
  if (labels.length === 0) return;
  section.append(
    sectionHead("Contact between peers", "When one peer could not reach another, and who said goodbye before the end."),
    ...labels.map(contactCard),
  );
}

function contactCard(label) {
  const found = RUN.contact[label];
  const box = element("div", { class: "timeline" });
  const rows = [...found.links.map(linkRow), ...found.departures.map(departureRow)];
  const seeds =
    found.num_seeds > 1
      ? element("span", { class: "soft" }, `seed ${found.seed}, the first of ${count(found.num_seeds)}`)
      : "";
  const saved = saveButtons(`contact ${label}`, {
    svg: () => standalone(box.querySelector("svg")),
    csv: () => [
      ["link", "from_seconds", "to_seconds"],
      ...rows.flatMap((row) => row.bars.map((bar) => [rowName(row), ...bar])),
    ],
  });
  const card = element(
    "article",
    { class: "card" },
    element("div", { class: "card-head" }, element("h3", {}, swatch(label), label), seeds),
    element("p", { class: "finding" }, contactSentence(label, found)),
    rows.length ? [box, element("p", { class: "caption" }, timelineCaption(found)), contactTable(found), saved] : null,
  );
  if (rows.length) drawnToWidth(box, (width) => box.replaceChildren(timeline(label, rows, found, width)));
  return card;
}

// A peer in a sentence: names that are numbers need a noun.
const inWords = (peer) => (/^\d+$/.test(peer) ? `peer ${peer}` : peer);

// A row: peers and how to write them, bars from ... to, what a tooltip tells.
function linkRow({ peers, ways, bars, ...facts }) {
  const arrow = ways.length > 1 ? " ↔ " : " → ";
  const told = [
    `${plural(facts.num_interruptions, "interruption")}, ${shown(facts.seconds, "seconds")} in all`,
    facts.num_interruptions > 1 ? `the longest ${shown(facts.longest, "seconds")}` : null,
    facts.is_open ? "still out at the end" : null,
  ];
  return {
    peers: ways.length > 1 ? peers : ways[0],
    worded: (names) => names.join(arrow),
    kind: "outage",
    bars,
    told: told.filter(Boolean),
    explained: ways.map(([from, to]) => `${inWords(from)} could not reach ${inWords(to)}`),
  };
}

function departureRow({ peer, start, end }) {
  return {
    peers: [peer],
    worded: ([name]) => `${name} left`,
    kind: "gone",
    bars: [[start, end]],
    told: [`at ${shown(start, "seconds")}`],
    explained: [],
  };
}

const rowName = ({ peers, worded }) => worded(peers);

function contactSentence(label, found) {
  const parts = [];
  if (found.num_links === 0) {
    parts.push("No link was interrupted.");
  } else {
    const all = RUN.drawings.find((drawing) => drawing.algorithms.includes(label))?.num_links;
    const links =
      all >= found.num_links ? `${count(found.num_links)} of ${plural(all, "link")}` : plural(found.num_links, "link");
    const were = found.num_links === 1 ? "was" : "were";
    const times =
      found.num_interruptions > found.num_links ? `, ${plural(found.num_interruptions, "time")} in all` : "";
    const { peer, neighbor, start, seconds, is_open: isOpen } = found.longest;
    const when = isOpen
      ? `from ${shown(start, "seconds")} until the end (${shown(seconds, "seconds")})`
      : `for ${shown(seconds, "seconds")}, from ${shown(start, "seconds")} on`;
    parts.push(
      `${links} ${were} interrupted${times}${found.num_interruptions > 1 ? ". The longest: " : ": "}${inWords(peer)} could not reach ${inWords(neighbor)} ${when}.`,
    );
  }
  if (found.num_departures) {
    const named = found.departures.slice(0, 5).map(({ peer, start }) => `${inWords(peer)} at ${shown(start, "seconds")}`);
    const others = found.num_departures - named.length;
    parts.push(
      `${plural(found.num_departures, "peer")} left before the end: ${named.join(", ")}${others ? ` and ${count(others)} more` : ""}.`,
    );
  }
  return parts.join(" ");
}

function timelineCaption(found) {
  const more = (all, drawn, word) => (all > drawn ? `and ${plural(all - drawn, `more ${word}`)}` : null);
  const left = [
    more(found.num_links, found.links.length, "link"),
    more(found.num_departures, found.departures.length, "departure"),
  ].filter(Boolean);
  return [
    left.length ? `… ${left.join(" ")}. ` : "",
    found.num_links ? "Filled: a peer could not reach the other; the longest interrupted link first. " : "",
    found.num_departures ? "Outlined: the peer had left. " : "",
    `Over ${CLOCK}, ${shown(found.end, "seconds")} in all.`,
  ].join("");
}

// One row per link and departure, over the whole run. Names stand beside the bars, or above them in a narrow window.
function timeline(label, rows, found, width) {
  const measured = textMeasure();
  const room = Math.ceil(Math.max(...rows.map((row) => measured(rowName(row))))) + 12;
  const stacked = room > NAME_ROOM * width;
  const left = stacked ? 0 : room;
  const right = Math.max(left + 40, width - 8);
  const step = stacked ? 1.7 * ROW : ROW;
  const bottom = 4 + rows.length * step;
  const end = found.end > 0 ? found.end : 1;
  const x = (time) => left + ((right - left) * Math.min(time, end)) / end;
  const shapes = [];
  const ticks = timeTicks(end, Math.max(3, Math.floor((right - left) / 84)));
  const texts = tickLabels("seconds", false)(null, ticks);
  ticks.forEach((tick, index) => {
    const at = x(tick);
    const text = texts[index];
    const half = measured(text) / 2;
    shapes.push(
      shape("line", { class: "grid-line", x1: at, x2: at, y1: 2, y2: bottom }),
      shape("text", { x: Math.min(Math.max(at, half), width - half), y: bottom + 13, class: "middle" }, text),
    );
  });
  rows.forEach((row, index) => {
    const top = 4 + index * step;
    const middle = top + step - ROW / 2;
    const tip = (event) =>
      tooltip.show(
        event.clientX,
        event.clientY,
        element("div", { class: "tip-title" }, rowName(row)),
        ...row.told.map((text) => element("div", {}, text)),
        ...row.explained.map((text) => element("div", { class: "soft" }, text)),
      );
    shapes.push(
      shape(
        "text",
        { class: "name", x: 0, y: stacked ? top + 0.4 * ROW : middle },
        shortened(row, stacked ? width : room, measured),
      ),
      shape("line", { class: "whole", x1: left, x2: right, y1: middle, y2: middle }),
      row.bars.map(([from, to]) => {
        const at = Math.min(x(from), right - 2);
        return shape("rect", {
          class: row.kind,
          x: at,
          y: middle - 6,
          width: Math.max(2, x(to) - at),
          height: 12,
          rx: 2.5,
        });
      }),
      shape("rect", {
        class: "hit",
        x: 0,
        y: top,
        width,
        height: step,
        onpointermove: tip,
        onpointerleave: () => tooltip.hide(),
      }),
    );
  });
  const height = bottom + 24;
  return shape(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `When peers were out of reach: ${label}` },
    shape("desc", {}, rows.map((row) => `${rowName(row)}: ${row.told.join(", ")}.`).join(" ")),
    shapes,
  );
}

// Round times from 0 to the end, at most `most` intervals.
function timeTicks(end, most) {
  const step = TIME_STEPS.find((size) => end / size <= most) ?? end / most;
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => Number((index * step).toPrecision(9)));
}

function textMeasure() {
  const context = document.createElement("canvas").getContext("2d");
  context.font = CHART_FONT;
  return (text) => context.measureText(text).width;
}

// The name of a row, its longest peer cut until it fits.
function shortened({ peers, worded }, room, measured) {
  const kept = [...peers];
  while (measured(worded(kept)) > room && kept.some((name) => name.length > 2)) {
    const longest = kept.reduce((best, name, index) => (name.length > kept[best].length ? index : best), 0);
    kept[longest] = `${kept[longest].replace(/…$/, "").slice(0, -1)}…`;
  }
  return worded(kept);
}

function contactTable(found) {
  const columns = ["Link", "Interruptions", "Out of reach", "Longest", "First at", "At the end"];
  const links = found.links.map((link) => [
    rowName(linkRow(link)),
    count(link.num_interruptions),
    ...[link.seconds, link.longest, link.start].map((seconds) => shown(seconds, "seconds")),
    link.is_open ? "out of reach" : "in reach",
  ]);
  const departures = found.departures.map(({ peer, start, end }) => [
    `${peer} left`,
    NONE,
    shown(end - start, "seconds"),
    shown(end - start, "seconds"),
    shown(start, "seconds"),
    end < found.end ? "in reach" : "away",
  ]);
  return element(
    "details",
    { class: "as-table" },
    element("summary", {}, "The same as a table"),
    element(
      "div",
      { class: "scroll", tabindex: "0" },
      element(
        "table",
        { class: "facts" },
        tableHead(columns.map((title) => [title])),
        element(
          "tbody",
          {},
          [...links, ...departures].map(([name, ...cells]) => tableRow(name, cells)),
        ),
      ),
    ),
  );
}
