"use strict";
// Numbers for people: four significant digits, units that fit, a dash for what was not measured.

const NONE = "–";
const SPACE = "\u00a0"; // keeps number and unit on one line

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function significant(value, digits = 4) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) return value.toExponential(2).replace("e+", "e");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return grouped(value.toFixed(decimals));
}

// 12345.6 -> 12 345.6, with thin spaces, from five digits on.
function grouped(text) {
  const [whole, fraction] = text.split(".");
  const spaced = whole.replace("-", "").length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") : whole;
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}

const count = (value) => (isNumber(value) ? grouped(Number.isInteger(value) ? String(value) : value.toFixed(1)) : NONE);

function unitAmong(units, size) {
  return units.find(([scale]) => size >= scale) ?? units[units.length - 1];
}

const BYTE_UNITS = [
  [1e12, "TB"],
  [1e9, "GB"],
  [1e6, "MB"],
  [1e3, "kB"],
  [1, "B"],
];
const TIME_UNITS = [
  [2 * 86400, "d", 86400],
  [7200, "h", 3600],
  [120, "min", 60],
  [1, "s", 1],
  [1e-3, "ms", 1e-3],
  [0, "µs", 1e-6],
];

// A format knows how to show a value: { divide, suffix, text(number) }; it depends on the size of what is shown.
const FORMATS = {
  percent: () => ({ divide: 0.01, suffix: `${SPACE}%`, text: (number) => number.toFixed(2) }),
  points: () => ({ divide: 0.01, suffix: `${SPACE}pp`, text: (number) => number.toFixed(2) }),
  bytes: (size) => {
    const [scale, name] = unitAmong(BYTE_UNITS, size);
    return { divide: scale, suffix: SPACE + name, text: name === "B" ? count : significant };
  },
  seconds: (size) => {
    const [, name, scale] = unitAmong(TIME_UNITS, size || 1);
    return { divide: scale, suffix: SPACE + name, text: significant };
  },
  count: () => ({ divide: 1, suffix: "", text: count }),
  number: () => ({ divide: 1, suffix: "", text: significant }),
};

function shown(value, kind) {
  if (!isNumber(value)) return NONE;
  const { divide, suffix, text } = FORMATS[kind](Math.abs(value));
  return text(value / divide) + suffix;
}

// "0.31": a spread in the unit of its mean and with as many decimals; empty when there is none.
function shownSpread({ mean, std }, kind) {
  if (!isNumber(mean) || !isNumber(std) || std === 0) return "";
  const { divide, text } = FORMATS[kind](Math.abs(mean));
  const decimals = (text(mean / divide).split(".")[1] ?? "").length;
  return /e/.test(text(mean / divide))
    ? significant(std / divide, 2)
    : (std / divide).toFixed(Math.max(decimals, kind === "count" ? 1 : 0));
}

// "97.22 ± 0.31 %".
function shownWithSpread(number, kind) {
  if (!number || !isNumber(number.mean)) return NONE;
  const spread = shownSpread(number, kind);
  if (spread === "") return shown(number.mean, kind);
  const { divide, suffix, text } = FORMATS[kind](Math.abs(number.mean));
  return `${text(number.mean / divide)}${SPACE}±${SPACE}${spread}${suffix}`;
}

const shownTarget = ({ metric, value }) =>
  metric.kind === "percent" ? `${Number((100 * value).toFixed(2))}${SPACE}%` : significant(value);

// Tick labels of an axis: one unit for all of them, no more decimals than the ticks need.
function tickLabels(kind, logarithmic) {
  return (_, ticks) => {
    const drawn = ticks.filter(isNumber);
    const largest = Math.max(...drawn.map(Math.abs), 0);
    return ticks.map((tick) => {
      if (!isNumber(tick)) return "";
      if (tick === 0) return "0";
      const { divide, suffix } = FORMATS[kind](logarithmic ? Math.abs(tick) : largest);
      const number = tick / divide;
      const size = Math.abs(number);
      const text =
        size < 1e-3 || size >= 1e6
          ? number.toExponential(0).replace("e+", "e")
          : grouped(String(Number(number.toPrecision(4))));
      return text + suffix;
    });
  };
}

function plural(number, word, words = `${word}s`) {
  return `${count(number)}${SPACE}${number === 1 ? word : words}`;
}
