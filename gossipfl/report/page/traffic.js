// What the network carries: all bytes, and the bytes at the busiest participant, as bars.

const trafficSizes = () =>
  COMPETITORS.filter((label) => visible.has(label) && SUMMARY[label])
    .map((label) => ({
      label,
      total: SUMMARY[label].num_bytes?.mean,
      busiest: SUMMARY[label].busiest_peer_bytes?.mean,
    }))
    .filter(({ total, busiest }) => isNumber(total) || isNumber(busiest));

// The bars as a picture: names above them, as the page has them.
function trafficSvg(sizes) {
  if (sizes.length === 0) return null;
  const wide = 300;
  const height = 30 + 40 * sizes.length;
  const text = (words, x, y) => shape("text", { x, y, "font-size": 12, fill: themeColor("--ink") }, words);
  const column = (key, title, left) => {
    const top = Math.max(...sizes.map((size) => size[key] ?? 0), 1);
    return [
      text(title, left, 16),
      ...sizes.map(({ label, [key]: value }, index) => {
        const y = 30 + 40 * index;
        const width = ((wide - 80) * (value ?? 0)) / top;
        return [
          shape("rect", { x: left, y: y + 16, width, height: 14, fill: themeColor(LOOK[label].property) }),
          text(shown(value, "bytes"), left + width + 6, y + 28),
          key === "total" ? text(label, left, y + 10) : null,
        ];
      }),
    ];
  };
  return shape(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      width: 2 * wide + 20,
      height,
      viewBox: `0 0 ${2 * wide + 20} ${height}`,
      "font-family": "system-ui, Liberation Sans, Arial, sans-serif",
    },
    shape("rect", { width: 2 * wide + 20, height, fill: "#ffffff" }),
    column("total", "All traffic", 10),
    column("busiest", "Busiest participant", wide + 20),
  );
}

function trafficCard() {
  const rows = element("div", { class: "bars" });
  function draw() {
    const sizes = trafficSizes();
    const largest = (key) => Math.max(...sizes.map((size) => size[key] ?? 0), 1);
    const tops = { total: largest("total"), busiest: largest("busiest") };
    const bar = (label, key, value) =>
      element(
        "div",
        { class: "bar" },
        element(
          "div",
          { class: "track" },
          element("div", {
            class: "fill",
            style: { width: `${(100 * (value ?? 0)) / tops[key]}%`, background: `var(${LOOK[label].property})` },
          }),
        ),
        element("span", { class: "figure" }, shown(value, "bytes")),
      );
    rows.replaceChildren(
      ...(sizes.length === 0
        ? [element("p", { class: "empty" }, "No bytes were counted.")]
        : [
            element("div", { class: "bar-head" }, "All traffic"),
            element("div", { class: "bar-head" }, "Busiest participant"),
            ...sizes.flatMap(({ label, total, busiest }) => [
              element(
                "div",
                { class: "bar-name" },
                swatch(label),
                label,
                total > 0 && isNumber(busiest)
                  ? element(
                      "span",
                      { class: "soft" },
                      ` the busiest handles ${significant((100 * busiest) / total, 3)}${SPACE}% of it`,
                    )
                  : "",
              ),
              bar(label, "total", total),
              bar(label, "busiest", busiest),
            ]),
          ]),
    );
  }
  onVisible.push(draw);
  draw();
  return element(
    "article",
    { class: "card" },
    element("div", { class: "card-head" }, element("h3", {}, "Traffic")),
    rows,
    element(
      "p",
      { class: "caption" },
      "Bytes sent in all, and sent plus received by whoever handles most (for FedAvg, the server). Each column has its own scale.",
    ),
    saveButtons("traffic", {
      svg: () => trafficSvg(trafficSizes()),
      csv: () => [
        ["algorithm", "bytes sent by all", "bytes at the busiest"],
        ...trafficSizes().map(({ label, total, busiest }) => [label, total ?? null, busiest ?? null]),
      ],
    }),
  );
}
