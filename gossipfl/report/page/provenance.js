// Where the numbers come from: command, scenario, versions, digests, and all measurements as figures.

function drawProvenance(section) {
  const { manifest } = RUN;
  const partition = manifest.partition ?? {};
  const blocks = [
    ["Data", { ...(manifest.data ?? {}) }],
    ["Partition", { name: partition.name, ...(partition.parameters ?? {}), digest: partition.digest }],
    ["Model", manifest.model ?? {}],
    ["Versions", { gossipfl: manifest.gossipfl, ...(manifest.versions ?? {}) }],
    ["Machine", manifest.machine ?? {}],
    ["Flags", manifest.flags ?? {}],
  ]
    .map(([title, facts]) => [
      title,
      Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== ""),
    ])
    .filter(([, facts]) => facts.length);
  section.append(
    sectionHead(
      "How this was made",
      IS_REAL
        ? "Enough to run it again; times, and whatever depends on the order of messages, are never quite the same."
        : "Enough to run it again and get the same numbers.",
    ),
    manifest.command ? element("pre", { class: "command" }, manifest.command.split("\n").join("\n$ ")) : "",
    element(
      "div",
      { class: "facts-grid" },
      blocks.map(([title, facts]) =>
        element(
          "article",
          { class: "card" },
          element("h3", {}, title),
          element(
            "dl",
            {},
            facts.map(([name, value]) => [
              element("dt", {}, name.replaceAll("_", " ")),
              element("dd", { class: /digest/.test(name) ? "digest" : null }, shownFact(value)),
            ]),
          ),
        ),
      ),
    ),
    manifest.scenario
      ? element(
          "details",
          { class: "card" },
          element("summary", {}, "Scenario"),
          IS_REAL
            ? element("p", { class: "caption" }, "The network and the speeds in it are the simulator’s; this run had real ones.")
            : "",
          element("pre", {}, JSON.stringify(manifest.scenario, null, 2)),
        )
      : "",
    measurements(),
  );
}

function shownFact(value) {
  if (isNumber(value)) return count(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
