// What the network carries: all bytes, and the bytes at the busiest participant, as bars.

function trafficCard() {
  const rows = element("div", { class: "bars" });
  function draw() {
    const sizes = COMPETITORS.filter((label) => visible.has(label) && SUMMARY[label])
      .map((label) => ({
        label,
        total: SUMMARY[label].num_bytes?.mean,
        busiest: SUMMARY[label].busiest_peer_bytes?.mean,
      }))
      .filter(({ total, busiest }) => isNumber(total) || isNumber(busiest));
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
  );
}
