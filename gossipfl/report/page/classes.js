// Which classes the final models tell apart: accuracy of each class, and what is taken for what.

const MAX_CLASSES = 60; // more rows and columns are one blur; CSV has them all

function drawClasses(section) {
  if (!RUN.classes) return;
  const { models, seed, num_examples: numExamples, class_names: names } = RUN.classes;
  const labels = [...new Set(models.map(({ algorithm }) => algorithm))];
  let [chosen] = labels;
  let which = "average";
  const box = element("div", { class: "heat scroll" });
  const table = element("div", { class: "scroll" });
  const own = () => models.filter(({ algorithm }) => algorithm === chosen);
  const model = () => own().find((one) => one.which === which) ?? own().at(-1);
  const rows = () => [
    ["class", "examples", ...own().map(({ which: name, peer }) => (peer === null ? name : `${name} (${peer})`))],
    ...names.map((name, index) => [
      name,
      own()[0].counts[index].reduce((sum, value) => sum + value, 0),
      ...own().map(({ counts }) => shareRight(counts, index)),
    ]),
  ];
  function fill() {
    const { counts } = model();
    box.replaceChildren(
      names.length > MAX_CLASSES
        ? element("p", { class: "empty" }, `${count(names.length)} classes are too many to be drawn.`)
        : confusionMap(counts, names),
    );
    const [head, ...body] = rows();
    table.replaceChildren(
      element(
        "table",
        { class: "facts" },
        tableHead(head.map((title) => [title])),
        element(
          "tbody",
          {},
          body.map(([name, size, ...shares]) => tableRow(name, [count(size), ...shares.map((share) => shown(share, "percent"))])),
        ),
      ),
    );
  }
  section.append(
    sectionHead(
      "Classes",
      `On ${plural(numExamples, "example")} that ${numExamples === 1 ? "is" : "are"} held out, at the end, seed ${seed}: each row is a class, each column what a model takes its examples for. Worst and median are peers, by ${MAIN.words}.`,
    ),
    element(
      "article",
      { class: "card" },
      element(
        "div",
        { class: "card-head" },
        element("h3", {}, "Confusion matrix"),
        element(
          "div",
          { class: "controls" },
          chooser("Algorithm", labels, chosen, (label) => {
            chosen = label;
            fill();
          }),
          segmented("Model", [["worst", "Worst peer"], ["median", "Median peer"], ["average", "Average model"]], which, (value) => {
            which = value;
            fill();
          }),
        ),
      ),
      box,
      saveButtons("confusion matrix", {
        svg: () => box.querySelector("svg") && standalone(box.querySelector("svg")),
        csv: () => [
          ["true", ...model().counts[0].map((_, index) => names[index] ?? String(index))],
          ...model().counts.map((row, index) => [names[index], ...row]),
        ],
      }),
      element("h3", {}, "Accuracy of each class"),
      table,
      saveButtons("accuracy of each class", { csv: rows }),
    ),
  );
  fill();
}

function shareRight(counts, index) {
  const all = counts[index].reduce((sum, value) => sum + value, 0);
  return all ? counts[index][index] / all : null;
}

function confusionMap(counts, names) {
  const short = (index) => shortName(names[index] ?? String(index));
  const left = 20 + 7.5 * Math.max(...names.map((_, index) => short(index).length));
  const cell = Math.max(12, Math.min(44, 520 / names.length));
  const columns = counts[0].length;
  const width = left + cell * columns + 4;
  const height = cell * names.length + left + 4;
  const shapes = counts.flatMap((row, index) => {
    const all = Math.max(1, row.reduce((sum, value) => sum + value, 0));
    return row.flatMap((value, column) => {
      const share = value / all;
      const [x, y] = [left + column * cell, index * cell];
      return [
        shape("rect", {
          class: "heat-cell",
          x: x + 0.5,
          y: y + 0.5,
          width: cell - 1,
          height: cell - 1,
          style: { fill: `color-mix(in oklab, var(--heat-high) ${(100 * share).toFixed(1)}%, var(--heat-low))` },
          onpointermove: (event) =>
            tooltip.show(
              event.clientX,
              event.clientY,
              element("div", { class: "tip-title" }, `${names[index]} taken for ${names[column] ?? column}`),
              element("div", {}, `${count(value)} of ${count(all)}, ${shown(share, "percent")}`),
            ),
          onpointerleave: () => tooltip.hide(),
        }),
        cell >= 26 && value
          ? shape(
              "text",
              { class: share > 0.55 ? "heat-text strong" : "heat-text", x: x + cell / 2, y: y + cell / 2 },
              count(value),
            )
          : null,
      ];
    });
  });
  names.forEach((_, index) => {
    shapes.push(shape("text", { class: "axis-text end", x: left - 8, y: (index + 0.5) * cell }, short(index)));
  });
  counts[0].forEach((_, column) => {
    const [x, y] = [left + (column + 0.5) * cell, names.length * cell + 10];
    shapes.push(shape("text", { class: "axis-text end", x, y, transform: `rotate(-90 ${x} ${y})` }, short(column)));
  });
  return shape(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Confusion matrix" },
    shapes,
  );
}
