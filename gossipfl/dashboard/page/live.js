// What lives on this page: the state that came with it, the stream of what is newer, and what is drawn of both.

const LIVE = JSON.parse(byId("live").textContent);
const CARDS = LIVE.cards;
const MAX_TABLE_ROWS = 300;
const SCORES = METRICS.filter((metric) => metric !== LOSS && !metric.isTest);

// Head, notices

const pulse = element("span", { class: "pulse", role: "status" });

function drawHead() {
  const themes = segmented("Theme", [[null, "Auto"], ["light", "Light"], ["dark", "Dark"]], null, setTheme);
  const { name, description } = RUN.manifest;
  byId("head").append(
    element("div", { class: "eyebrow" }, pulse, themes),
    element("h1", {}, name),
    description ? element("p", { class: "lead" }, description) : "",
    element("p", { class: "compared", id: "running" }),
  );
  byId("foot").append(
    "Made by gossipfl. Charts: uPlot (MIT licence, in this file). This page reads only: it loads nothing from anywhere, and changes nothing.",
  );
}

function setPulse(health, text) {
  pulse.dataset.health = health;
  pulse.textContent = text;
  document.documentElement.toggleAttribute("data-stale", health === "down");
}

function drawRunning() {
  const { label, seed, round, rounds, time, over, num_runs: numRuns } = LIVE.running;
  const seeds = RUN.algorithms.some((algorithm) => algorithm.seeds.length > 1) ? `seed ${seed}` : null;
  const facts = RUN.followed
    ? [round >= 0 ? `the median peer has done ${plural(round, "round")}` : "no peer has answered yet"]
    : [
        label ?? "preparing",
        seeds,
        isNumber(round) ? `round ${count(round)} of ${count(rounds)}` : null,
        isNumber(time) ? `${shown(time, "seconds")} of ${CLOCK}` : null,
      ];
  byId("running").textContent = facts.filter(Boolean).join(" · ");
  const notices = [];
  if (over) notices.push(["", "The run has ended.", "This is the last that was seen of it; its report has all the rest."]);
  if (numRuns > 1)
    notices.push([
      "warning",
      `The peers are of ${count(numRuns)} different runs.`,
      "Means over them say little: those of different runs refuse each other.",
    ]);
  byId("notices").replaceChildren(
    ...notices.map(([kind, title, text]) => element("p", { class: `notice ${kind}` }, element("strong", {}, title), " ", text)),
  );
}

// Tiles

const tiles = {};

function drawTiles() {
  const names = ["Peers", RUN.followed ? "Median round" : "Round", "Traffic", "Waiting", "Refused"];
  for (const name of names) {
    const value = element("div", { class: "tile-value" });
    const more = element("div", { class: "soft" });
    const tile = element("div", { class: "tile" }, element("div", { class: "tile-title" }, name), value, more);
    tiles[name === "Median round" ? "Round" : name] = (text, explained, health) => {
      if (value.textContent !== text) value.textContent = text;
      if (more.textContent !== explained) more.textContent = explained;
      tile.dataset.health = health ?? "";
    };
    byId("tiles").append(tile);
  }
}

const total = (key) => CARDS.reduce((sum, card) => sum + (isNumber(card[key]) ? card[key] : 0), 0);
const rate = { bytes: null, at: 0, perSecond: null };

function fillTiles() {
  const down = CARDS.filter((card) => healthOf(card) === "down").length;
  const heard = CARDS.filter((card) => card.answers !== undefined).length;
  const rounds = CARDS.map((card) => card.round).filter(isNumber);
  tiles.Peers(
    `${count(heard - down)} of ${count(CARDS.length)}`,
    down ? `${plural(down, "does not answer", "do not answer")}` : "are there",
    down ? "down" : heard ? "up" : "",
  );
  const sorted = [...rounds].sort((a, b) => a - b);
  const { round } = LIVE.running;
  tiles.Round(
    isNumber(round) && round >= 0 ? count(round) : NONE,
    sorted.length ? `peers from ${count(sorted[0])} to ${count(sorted.at(-1))}` : "",
  );
  const bytes = total("sent");
  if (bytes !== rate.bytes) {
    const now = performance.now();
    if (rate.bytes !== null && bytes > rate.bytes) rate.perSecond = (1000 * (bytes - rate.bytes)) / (now - rate.at);
    rate.bytes = bytes;
    rate.at = now;
  }
  tiles.Traffic(
    shown(bytes, "bytes"),
    IS_REAL && isNumber(rate.perSecond) ? `${shown(rate.perSecond, "bytes")}/s` : "sent by all",
  );
  const waiting = CARDS.filter((card) => card.num_awaits > 0).length;
  tiles.Waiting(count(waiting), waiting === 1 ? "peer waits for a neighbor" : "peers wait for a neighbor");
  tiles.Refused(count(total("refused")), `messages; ${plural(total("outages"), "outage")}`);
}

// Peers

const COLUMNS = [
  ["State", (card) => element("span", { class: "state", "data-health": healthOf(card), title: stateOf(card) }, stateOf(card)), (card) => stateOf(card) + healthOf(card)],
  ["Round", (card) => (isNumber(card.round) ? `${count(card.round)} / ${count(card.rounds)}` : NONE)],
  ["Loss", (card) => shown(card.loss, "number")],
  ...SCORES.map((metric) => [capitalized(metric.words), (card) => shown(card.metrics?.[metric.name], metric.kind)]),
  ["Neighbors", (card) => (isNumber(card.num_neighbors) ? `${count(card.num_neighbors - card.num_lost)} / ${count(card.num_neighbors)}` : NONE)],
  ["Sent", (card) => shown(card.sent, "bytes")],
  ["Received", (card) => shown(card.received, "bytes")],
  ["Refused", (card) => shown(card.refused, "count")],
  ["Outages", (card) => shown(card.outages, "count")],
];

function peerTable() {
  const rows = CARDS.slice(0, MAX_TABLE_ROWS).map((card) => {
    const name = element("th", { scope: "row", title: card.where || false }, card.name);
    const cells = COLUMNS.map(() => element("td"));
    const seen = [];
    return {
      row: element("tr", {}, name, cells),
      fill(newest) {
        if (name.textContent !== newest.name) name.textContent = newest.name;
        COLUMNS.forEach(([, shownAs, key = shownAs], index) => {
          const value = key(newest);
          if (seen[index] === value) return;
          seen[index] = value;
          cells[index].replaceChildren(shownAs(newest));
        });
      },
    };
  });
  const section = byId("peers");
  section.append(
    sectionHead(
      "Peers",
      CARDS.length > rows.length ? `The first ${count(rows.length)} of ${count(CARDS.length)}.` : "",
    ),
    element(
      "div",
      { class: "card flush scroll", tabindex: "0" },
      element(
        "table",
        { class: "facts" },
        tableHead([["Peer"], ...COLUMNS.map(([title]) => [title])]),
        element("tbody", {}, rows.map(({ row }) => row)),
      ),
    ),
  );
  return rows;
}

// Events

const eventList = element("ol", { class: "events" });

function addEvents(events) {
  const when = (time) => (IS_REAL ? new Date(1000 * time).toTimeString().slice(0, 8) : shown(time, "seconds"));
  const items = events.map(({ time, text }) =>
    element("li", {}, element("span", { class: "soft" }, when(time)), element("span", {}, text)),
  );
  eventList.prepend(...items.reverse());
  while (eventList.children.length > 200) eventList.lastChild.remove();
}

// Curves

function sumUp() {
  if (RUN.followed) {
    const handled = CARDS.map((card) => (card.sent ?? 0) + (card.received ?? 0));
    SUMMARY[LABELS[0]] = { num_bytes: { mean: total("sent") }, busiest_peer_bytes: { mean: Math.max(...handled) } };
    return;
  }
  for (const label of LABELS) {
    const lasts = (column) => RUN.histories[label].map((table) => table[column]?.at(-1)).filter(isNumber);
    const of = (values) => (values.length ? { mean: mean(values) } : null);
    SUMMARY[label] = { num_bytes: of(lasts("num_bytes")), busiest_peer_bytes: of(lasts("busiest_peer_bytes")) };
  }
}

function drawFollowedCurves(section) {
  const training = chartCard("Training loss", [], () => {
    const x = xAxis("round", false);
    return {
      lines: algorithmLines("training_loss", "round", x),
      x,
      y: { kind: "number" },
      caption: "Of the last local round of each peer, in the mean.",
      empty: "No peer has said yet how its training went.",
    };
  });
  const charts = [...METRICS.filter((metric) => metric !== LOSS).map(spreadChart), spreadChart(LOSS), training];
  section.append(
    sectionHead("Learning curves", "Over all peers, as each had said it last when the median round was over, since this page was asked for first; the tiles above are newer."),
    element("div", { class: "grid" }, charts.map((chart) => chart.card), trafficCard()),
  );
  charts.forEach((chart) => chart.draw());
}

const hasRows = () => LABELS.some((label) => RUN.histories[label].length);

function drawAllCurves() {
  if (!hasRows()) return;
  sumUp();
  (RUN.followed ? drawFollowedCurves : drawCurves)(byId("curves"));
}

function addRows(rows) {
  for (const [label, row] of rows) {
    const table = RUN.histories[label].at(-1);
    const known = table.round.length;
    for (const name of Object.keys(row)) table[name] ??= new Array(known).fill(null);
    for (const name of Object.keys(table)) if (name !== "seed") table[name].push(row[name] ?? null);
  }
}

// Charts are drawn anew one in a frame, at most once in a second, and not under the pointer: it may be zooming.
const due = [];
let drawnAt = 0;
function redrawSome(now) {
  if (due.length === 0) return;
  if (document.querySelector(".chart:hover")) return void setTimeout(() => requestAnimationFrame(redrawSome), 500);
  due.shift()();
  requestAnimationFrame(redrawSome);
}
function redrawCurves() {
  if (due.length || !hasRows()) return;
  const wait = Math.max(0, drawnAt + 1000 - performance.now());
  due.push(() => (drawnAt = performance.now()), sumUp, ...onVisible);
  setTimeout(() => requestAnimationFrame(redrawSome), wait);
}

// The stream

function take(news) {
  if (news.again) return void again();
  for (const [place, card] of Object.entries(news.cards ?? {})) CARDS[place] = card;
  if (news.running) LIVE.running = news.running;
  if (news.events) addEvents(news.events);
  if (news.graph) graph.draw(news.graph);
  if (news.rows) {
    addRows(news.rows);
    redrawCurves();
  }
  if (!isDue) requestAnimationFrame(show);
  isDue = true;
}

let isDue = false;
function show() {
  isDue = false;
  drawRunning();
  fillTiles();
  graph.paint();
  table.forEach((row, place) => row.fill(CARDS[place]));
  if (LIVE.running.over) {
    stream.close();
    setPulse("over", "ended");
  }
}

// What there is does not go on from what this page has: begin anew, but not for ever in a circle.
function again() {
  stream.close();
  const last = Number(sessionStorage.getItem("again") ?? 0);
  sessionStorage.setItem("again", Date.now());
  setTimeout(() => location.reload(), Math.max(0, last + 500 - Date.now()));
}

let stream;
function listen(at) {
  stream = new EventSource(`events?from=${at}`);
  stream.onopen = () => setPulse("up", "live");
  stream.onmessage = (message) => {
    at = message.lastEventId;
    take(JSON.parse(message.data));
  };
  stream.onerror = () => {
    setPulse("down", "no connection; trying again");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => listen(at), 2000);
  };
}

drawHead();
drawTiles();
const graph = liveGraph(CARDS);
byId("network").append(
  element(
    "div",
    { class: "network" },
    graph.card,
    element("article", { class: "card" }, element("div", { class: "card-head" }, element("h3", {}, "What has happened")), eventList),
  ),
);
const table = peerTable();
graph.draw(LIVE.graph);
addEvents(LIVE.events);
drawAllCurves();
setPulse("", "connecting");
listen(LIVE.at);
show();
document.documentElement.dataset.ready = "true";
