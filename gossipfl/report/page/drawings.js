// Topologies, drawn with peers colored by the first metric, at the end or at any round.

const PEER_INDEX = new Map(RUN.peers.map((peer, index) => [peer, index]));

// Values at the last evaluation until `round`, in the order of RUN.peers; empty when there is none.
function valuesAt(label, round) {
  const seen = MAIN?.ofPeers[label];
  if (!seen) return [];
  let index = seen.rounds.length - 1;
  while (index > 0 && seen.rounds[index] > round) index -= 1;
  return seen.values[index];
}

function drawTopologies(section) {
  if (RUN.drawings.length === 0) return;
  const scale = metricScale();
  const rounds = [
    ...new Set(
      RUN.drawings.flatMap((drawing) => drawing.algorithms.flatMap((label) => MAIN?.ofPeers[label]?.rounds ?? [])),
    ),
  ].sort((a, b) => a - b);
  const state = { round: rounds.at(-1) ?? 0 };
  const cards = RUN.drawings.map((drawing) => drawingCard(drawing, scale, state));
  const update = () => cards.forEach((card) => card.paint());
  section.append(
    sectionHead(
      "Topologies",
      "Who talks to whom. ",
      RUN.drawings.some(({ nodes }) => nodes.length)
        ? `Point at a peer for its ${MAIN ? `${MAIN.words}, its ` : ""}neighbors and its data.`
        : "",
    ),
    scale
      ? element(
          "div",
          { class: "scale-bar" },
          colorScale(scale),
          rounds.length > 1 ? player(rounds, state, update) : "",
        )
      : "",
    element(
      "div",
      { class: "grid drawings" },
      cards.map((card) => card.card),
    ),
    topologyFacts(),
  );
  update();
}

// A slider over rounds, and a button that moves it.
function player(rounds, state, update) {
  const slider = element("input", {
    type: "range",
    min: 0,
    max: rounds.length - 1,
    value: rounds.length - 1,
    "aria-label": "Round",
    oninput: () => go(Number(slider.value)),
  });
  const text = element("output", {}, `round ${rounds.at(-1)}`);
  const button = element(
    "button",
    { type: "button", class: "toggle", onclick: () => (timer === null ? play() : stop()) },
    "▶ Play",
  );
  let timer = null;
  function go(index) {
    state.round = rounds[index];
    slider.value = index;
    text.textContent = `round ${state.round}`;
    update();
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "▶ Play";
  }
  function play() {
    if (Number(slider.value) === rounds.length - 1) go(0);
    button.textContent = "❚❚ Pause";
    timer = setInterval(
      () => {
        const next = Number(slider.value) + 1;
        if (next >= rounds.length) stop();
        else go(next);
      },
      Math.max(40, Math.min(350, 6000 / rounds.length)),
    );
  }
  return element("div", { class: "player" }, button, slider, text);
}

function drawingCard(drawing, scale, state) {
  const { nodes, positions, links, hub, num_nodes: numNodes } = drawing;
  const colored = drawing.algorithms.filter((label) => MAIN?.ofPeers[label]);
  let chosen = colored[0] ?? null;
  const radius = peerRadius(positions);
  const hubSize = Math.max(0.1, 2.6 * radius);
  const neighbors = nodes.map(() => new Set());
  links.forEach(([a, b]) => {
    neighbors[a].add(b);
    neighbors[b].add(a);
  });
  const path = (pairs) => pairs.map(([a, b]) => `M${positions[a]}L${positions[b]}`).join("");
  // An arrow's head: two short strokes from where the link meets the receiver's circle.
  const head = ([a, b]) => {
    const [[x, y], [toX, toY]] = [positions[a], positions[b]];
    const angle = Math.atan2(toY - y, toX - x);
    const tip = [toX - radius * Math.cos(angle), toY - radius * Math.sin(angle)];
    return [2.7, -2.7]
      .map((turn) => `M${tip}l${0.6 * radius * Math.cos(angle + turn)},${0.6 * radius * Math.sin(angle + turn)}`)
      .join("");
  };
  const heads = drawing.directed ? links.map(head).join("") : "";
  const near = shape("path", { class: "links near" });
  const named = nodes.length <= 40;
  const dots = nodes.map((node, index) => {
    const [x, y] = positions[index];
    const isHub = node === hub;
    const dot = isHub
      ? shape("rect", {
          class: "hub",
          x: x - hubSize / 2,
          y: y - hubSize / 2,
          width: hubSize,
          height: hubSize,
          rx: 0.15 * hubSize,
        })
      : shape("circle", {
          class: "peer",
          cx: x,
          cy: y,
          r: radius,
          style: { "stroke-width": Math.min(0.012, 0.3 * radius) },
        });
    const text =
      named && !isHub && node.length <= 4
        ? shape("text", { x, y, "font-size": (radius * (node.length > 2 ? 0.75 : 0.95)).toFixed(3) }, node)
        : null;
    const beside = nodes.length <= MAX_NAMED && (isHub || node.length > 4);
    const name = beside
      ? shape("text", { class: "node-name", x, y: y + (isHub ? 0.5 * hubSize : radius) + 0.055 }, shortName(node))
      : null;
    return {
      node,
      index,
      dot,
      text,
      group: shape(
        "g",
        {
          onpointerenter: (event) => point(index, event),
          onpointermove: (event) => point(index, event),
          onpointerleave: leave,
        },
        dot,
        text,
        name,
      ),
    };
  });
  const style = {
    opacity: Math.max(0.12, Math.min(0.75, 60 / Math.max(1, links.length) + 0.15)),
    "stroke-width": Math.min(0.009, 0.2 / Math.sqrt(Math.max(1, links.length))),
  };
  const picture = shape(
    "svg",
    {
      class: "drawing",
      viewBox: "-1.15 -1.15 2.3 2.3",
      role: "img",
      "aria-label": `${drawing.title}: ${numNodes} nodes${drawing.has_own_links ? "" : `, ${drawing.num_links} links`}`,
    },
    shape("path", { class: "links", d: path(links) + heads, style }),
    near,
    dots.map(({ group }) => group),
  );
  const note = element("p", { class: "caption" });
  const histogram = numNodes > MANY_PEERS && scale && colored.length ? element("div", { class: "histogram" }) : null;

  function paint() {
    const ofPeers = chosen === null ? [] : valuesAt(chosen, state.round);
    const values = ofPeers.filter(isNumber);
    const faint = numNodes > MANY_PEERS && values.length > 0; // else a sample is lost among the others
    for (const { node, dot, text } of dots) {
      if (node === hub) continue;
      const value = ofPeers[PEER_INDEX.get(node)];
      const color = isNumber(value) && scale ? viridis(scale.share(value)) : null;
      dot.classList.toggle("unmeasured", color === null && !faint);
      dot.style.fill = color ? `rgb(${color})` : faint ? "var(--line)" : "var(--card)";
      if (text) text.style.fill = color ? (luminance(color) > 0.36 ? "#10151c" : "#ffffff") : "var(--ink)";
    }
    const size = drawing.has_own_links
      ? `${plural(numNodes, "peer")}; whom they meet is up to the algorithm`
      : hub === null
        ? `${plural(numNodes, "peer")}, ${plural(drawing.num_links, drawing.directed ? "one-way link" : "link")}`
        : `${plural(numNodes - 1, "client")} and the ${hub}`;
    const shownLinks = !nodes.length
      ? ", too many to be drawn"
      : links.length < drawing.num_links
        ? ` (${count(links.length)} drawn)`
        : "";
    note.textContent = size + shownLinks + (values.length ? ` · ${peersSummary(ofPeers, values)}` : "");
    histogram?.replaceChildren(...metricBars(values, scale));
  }
  function peerRows() {
    const ofPeers = chosen === null ? [] : valuesAt(chosen, state.round);
    return [
      ["peer", MAIN.name, "x", "y", "neighbors"],
      ...nodes.map((node, index) => [
        node,
        ofPeers[PEER_INDEX.get(node)] ?? null,
        ...positions[index],
        [...neighbors[index]].map((other) => nodes[other]).join(" "),
      ]),
    ];
  }
  function point(index, event) {
    near.setAttribute("d", path([...neighbors[index]].map((other) => [index, other])));
    const node = nodes[index];
    const value = chosen === null ? null : valuesAt(chosen, state.round)[PEER_INDEX.get(node)];
    tooltip.show(
      event.clientX,
      event.clientY,
      element("div", { class: "tip-title" }, node === hub ? node : `peer ${node}`),
      isNumber(value) ? element("div", {}, `${MAIN.words} ${shown(value, MAIN.kind)}`) : "",
      drawing.has_own_links
        ? ""
        : element(
            "div",
            { class: "soft" },
            plural(neighbors[index].size, "neighbor") +
              (links.length < drawing.num_links ? " among the links drawn" : ""),
          ),
      labelBars(node),
    );
  }
  function leave() {
    near.removeAttribute("d");
    tooltip.hide();
  }
  const choice =
    colored.length > 1
      ? chooser("Colored by", colored, chosen, (label) => {
          chosen = label;
          paint();
        })
      : element("span", { class: "soft" }, drawing.algorithms.join(", ") || "no algorithm ran on it");
  const card = element(
    "article",
    { class: "card" },
    element("div", { class: "card-head" }, element("h3", {}, drawing.title), choice),
    nodes.length ? picture : "",
    histogram,
    note,
    nodes.length
      ? saveButtons(drawing.title, {
          svg: () => standalone(picture),
          csv: peerRows,
        })
      : "",
  );
  return { card, paint };
}

const MAX_NAMED = 24; // names beside more peers would lie over each other
const shortName = (name) => (name.length > 16 ? `${name.slice(0, 15)}…` : name);

// Of many peers the worst is named: among so many dots nobody finds it.
function peersSummary(ofPeers, values) {
  const worst = worstOf(MAIN, values);
  const text = `mean ${shown(mean(values), MAIN.kind)}, worst ${shown(worst, MAIN.kind)}`;
  if (values.length <= MANY_PEERS) return text;
  const sampled = values.length < RUN.peers.length ? `${plural(values.length, "peer")} evaluated: ` : "";
  const named = bestOf(MAIN, values) !== worst ? ` (${inWords(RUN.peers[ofPeers.indexOf(worst)])})` : "";
  return sampled + text + named;
}

// As large as peers can be without covering each other, up to a few in crowded places.
function peerRadius(positions) {
  if (positions.length === 0) return 0;
  const gaps = positions.map(([x, y], index) =>
    Math.min(...positions.map(([a, b], other) => (other === index ? 9 : Math.hypot(a - x, b - y)))),
  );
  const usual = quantile(
    gaps.sort((a, b) => a - b),
    0.3,
  );
  return Math.max(0.009, Math.min(0.085, 0.36 / Math.sqrt(positions.length), 0.47 * usual));
}

// A tiny bar chart of a peer's labels, for tooltips.
function labelBars(peer) {
  const counts = PEER_INDEX.has(peer) ? RUN.label_counts[PEER_INDEX.get(peer)] : null;
  if (!counts || counts.length < 2) return ""; // none, or a number of examples without classes
  const top = Math.max(...counts, 1);
  const width = Math.max(2, Math.min(14, 160 / counts.length));
  return element(
    "div",
    { class: "tip-labels" },
    element(
      "div",
      { class: "soft" },
      `${plural(
        counts.reduce((sum, value) => sum + value, 0),
        "example",
      )}, by class`,
    ),
    shape(
      "svg",
      { width: width * counts.length, height: counts.length <= 12 ? 44 : 32 },
      counts.map((value, index) =>
        shape("rect", {
          class: "label-bar",
          x: index * width + 0.5,
          width: Math.max(1, width - 1.5),
          y: 31 - (30 * value) / top,
          height: (30 * value) / top + 1,
        }),
      ),
      counts.length <= 12
        ? counts.map((_, index) =>
            shape("text", { class: "label-name", x: (index + 0.5) * width - 0.25, y: 42 }, index),
          )
        : null,
    ),
  );
}

function topologyFacts() {
  const names = Object.keys(RUN.manifest.topologies ?? {});
  if (names.length === 0) return "";
  const columns = [
    ["num_peers", "Peers", "count"],
    ["num_edges", "Links", "count"],
    ["min_degree", "Min degree", "count"],
    ["mean_degree", "Mean degree", "number"],
    ["max_degree", "Max degree", "count"],
    ["diameter", "Diameter", "count"],
    [
      "rho",
      "ρ",
      "number",
      "Second-largest absolute eigenvalue of the mixing matrix: per round, disagreement shrinks by at least this factor",
    ],
    ["spectral_gap", "Spectral gap", "number", "1 − ρ: larger is faster"],
    ["predicted_rounds", "Predicted rounds", "count", "Rounds of mixing until consensus, as predicted from ρ"],
  ];
  return element(
    "div",
    { class: "card flush scroll", tabindex: "0" },
    element(
      "table",
      { class: "facts" },
      tableHead([["Topology"], ...columns.map(([, title, , hint]) => [title, hint])]),
      element(
        "tbody",
        {},
        names.map((name) =>
          tableRow(
            name,
            columns.map(([key, , kind]) => shown(RUN.manifest.topologies[name][key], kind)),
          ),
        ),
      ),
    ),
    saveButtons("topologies", {
      csv: () => [
        ["topology", ...columns.map(([key]) => key)],
        ...names.map((name) => [name, ...columns.map(([key]) => RUN.manifest.topologies[name][key])]),
      ],
    }),
  );
}
