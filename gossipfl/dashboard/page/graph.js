// The peers as they are at this moment: who talks to whom, who waits for whom, who cannot reach whom.

const ENDED = new Set(["over", "lingering"]);

function healthOf(card) {
  if (card.answers === undefined) return "unknown";
  if (!card.answers || card.state === "failed") return "down";
  if (ENDED.has(card.state)) return "over";
  return card.num_awaits > 0 ? "waiting" : "up";
}

function stateOf(card) {
  if (card.answers === undefined) return "not heard of yet";
  if (!card.answers) return card.why;
  if (card.stopped) return `${card.state}, stopped early`;
  if (!card.num_awaits) return card.state;
  const others = card.num_awaits > 1 ? ` and ${count(card.num_awaits - 1)} more` : "";
  return `${card.state} for ${card.first_awaited}${others}`;
}

// The place of a name is on the outer side of its peer, where the fewest links are.
function besides([x, y], radius) {
  const far = Math.hypot(x, y);
  const [outX, outY] = far < 0.1 ? [0, 1] : [x / far, y / far];
  const anchor = outX > 0.3 ? "start" : outX < -0.3 ? "end" : "middle";
  const gap = radius + (anchor === "middle" ? 0.055 : 0.035);
  return { x: x + gap * outX, y: y + gap * outY, "font-size": 0.065, style: { "text-anchor": anchor } };
}

// A drawing that is made once for each graph; `paint()` then changes what has changed.
function liveGraph(cards) {
  const card = element("article", { class: "card" });
  let paint = () => {};
  function draw({ positions, links, num_links: numLinks }) {
    const head = element("div", { class: "card-head" }, element("h3", {}, "Who talks to whom"));
    if (!positions.length) {
      const why = cards.length > 0 ? "The graph is not drawn yet, or too large to be drawn." : "There are no peers yet.";
      card.replaceChildren(head, element("p", { class: "empty" }, why));
      paint = () => {};
      return;
    }
    const radius = peerRadius(positions);
    const isNamed = positions.length <= 40;
    const paths = Object.fromEntries(
      ["all", "awaiting", "talking", "lost"].map((kind) => [kind, shape("path", { class: `links ${kind}` })]),
    );
    const between = (pairs) => pairs.map(([a, b]) => `M${positions[a]}L${positions[b]}`).join("");
    const strength = Math.max(0.12, Math.min(0.6, 60 / Math.max(1, links.length) + 0.15));
    paths.all.setAttribute("d", between(links));
    paths.all.style.opacity = strength;
    paths.all.style.strokeWidth = Math.min(0.009, 0.2 / Math.sqrt(Math.max(1, links.length)));
    const dots = positions.map(([x, y], place) => {
      const width = Math.min(0.02, 0.25 * radius);
      const dot = shape("circle", { class: "peer", cx: x, cy: y, r: radius, style: { "stroke-width": width } });
      const text = isNamed ? shape("text", besides([x, y], radius)) : null;
      const tip = (event) => tooltip.show(event.clientX, event.clientY, ...tipOf(cards[place]));
      return { dot, text, group: shape("g", { onpointermove: tip, onpointerleave: tooltip.hide }, dot, text) };
    });
    const label = `${plural(positions.length, "peer")}, ${plural(numLinks, "link")}`;
    card.replaceChildren(
      head,
      shape(
        "svg",
        {
          class: isNamed ? "drawing named" : "drawing",
          viewBox: isNamed ? "-1.7 -1.25 3.4 2.5" : "-1.15 -1.15 2.3 2.3",
          role: "img",
          "aria-label": label,
        },
        Object.values(paths),
        dots.map(({ group }) => group),
      ),
      element(
        "p",
        { class: "key" },
        element("span", { class: "line" }, "messages since the last look"),
        element("span", { class: "line awaiting" }, "waits for"),
        element("span", { class: "line lost" }, "cannot reach"),
        element("span", {}, links.length < numLinks ? `${count(links.length)} of ${label} drawn` : label),
      ),
    );
    paint = () => {
      const pairs = { awaiting: [], talking: [], lost: [] };
      cards.forEach((seen, place) => {
        const { dot, text } = dots[place] ?? {};
        if (!dot) return;
        const health = healthOf(seen);
        if (dot.dataset.health !== health) dot.dataset.health = health;
        const name = seen.name.length > 14 ? `${seen.name.slice(0, 13)}…` : seen.name;
        if (text && text.textContent !== name) text.textContent = name;
        const to = (others) => (others ?? []).filter((other) => dots[other]).map((other) => [place, other]);
        pairs.awaiting.push(...to(seen.awaits));
        pairs.talking.push(...to(seen.talks));
        pairs.lost.push(...to(seen.lost));
      });
      for (const [kind, found] of Object.entries(pairs)) {
        const path = between(found.slice(0, 4000));
        if (paths[kind].getAttribute("d") !== path) paths[kind].setAttribute("d", path);
      }
    };
    paint();
  }
  return { card, draw, paint: () => paint() };
}

function tipOf(card) {
  const rows = [
    ["state", stateOf(card)],
    card.answers === undefined ? null : ["round", `${shown(card.round, "count")} of ${shown(card.rounds, "count")}`],
    ["loss", shown(card.loss, "number")],
    ...METRICS.filter((metric) => metric !== LOSS).map((metric) => [metric.words, shown(card.metrics?.[metric.name], metric.kind)]),
  ].filter(Boolean);
  return [
    element("div", { class: "tip-title" }, inWords(card.name)),
    element(
      "table",
      {},
      rows.map(([name, value]) => element("tr", {}, element("th", {}, name), element("td", {}, value))),
    ),
  ];
}
