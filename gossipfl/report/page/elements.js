// The few ways in which this page makes elements. Text always goes in as text, never as markup.

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// Attributes: on* are listeners, `style` is an object (CSP forbids style text), false and null leave an attribute out.
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const byId = (id) => document.getElementById(id);

function sectionHead(title, ...explanation) {
  return element(
    "div",
    { class: "section-head" },
    element("h2", {}, title),
    explanation.length ? element("p", {}, ...explanation) : null,
  );
}

// The head of a table of figures: [title, hint] for each column.
const tableHead = (columns) =>
  element(
    "thead",
    {},
    element(
      "tr",
      {},
      columns.map(([title, hint]) => element("th", { scope: "col", title: hint }, title)),
    ),
  );

const tableRow = (name, cells) =>
  element(
    "tr",
    {},
    element("th", { scope: "row" }, name),
    cells.map((cell) => element("td", {}, cell)),
  );

// A group of buttons of which one is pressed.
function segmented(name, options, chosen, onchoose) {
  const buttons = options.map(([value, text]) =>
    element("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text),
  );
  function choose(value) {
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(options[index][0] === value)));
    onchoose(value);
  }
  return element("div", { class: "segmented", role: "group", "aria-label": name }, buttons);
}

function toggle(text, on, onchange) {
  const button = element("button", { type: "button", class: "toggle", "aria-pressed": String(on) }, text);
  button.addEventListener("click", () => {
    on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    onchange(on);
  });
  return button;
}

function chooser(name, options, chosen, onchoose) {
  const select = element(
    "select",
    { "aria-label": name, onchange: () => onchoose(select.value) },
    options.map((option) => element("option", { value: option, selected: option === chosen }, option)),
  );
  return select;
}

// One tooltip for the whole page, beside the pointer and inside the window.
const tooltip = {
  show(x, y, ...content) {
    const box = byId("tooltip");
    box.replaceChildren(...content);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = x + 16 + width > innerWidth - 8 ? x - 16 - width : x + 16;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${Math.max(8, Math.min(y - height / 2, innerHeight - height - 8))}px`;
  },
  hide() {
    byId("tooltip").hidden = true;
  },
};

// Colors that a canvas can use: custom properties resolved for the theme that is shown now.
const probe = document.body.appendChild(element("span", { class: "probe", "aria-hidden": "true" }));
function themeColor(property, opacity = 1) {
  probe.style.color = `var(${property})`;
  const channels = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .slice(0, 3)
    .join(", ");
  return opacity === 1 ? `rgb(${channels})` : `rgba(${channels}, ${opacity})`;
}

// Redraw when the theme changes, in print always in light colors.
const redraws = [];
const onTheme = (redraw) => redraws.push(redraw);
const redrawAll = () => redraws.forEach((redraw) => redraw());
function setTheme(theme) {
  if (theme === null) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  redrawAll();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
let themeBeforePrint = null;
addEventListener("beforeprint", () => {
  themeBeforePrint = document.documentElement.dataset.theme ?? null;
  setTheme("light");
});
addEventListener("afterprint", () => setTheme(themeBeforePrint));

// Draw into a box now and whenever its width changes.
function drawnToWidth(box, draw) {
  let width = 0;
  const redraw = () => {
    const now = Math.floor(box.clientWidth);
    if (now > 0 && now !== width) draw((width = now));
  };
  new ResizeObserver(redraw).observe(box);
  redraw();
}
