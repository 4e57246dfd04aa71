// Shared by all plots: the data, what the reader chose, elements, numbers as text, tips. All texts from
// runs go through textContent or setAttribute, never through markup.
const data = JSON.parse(document.getElementById('data').textContent);
const state = {x: 'step', detail: true, hidden: new Set()};
const charts = [];
const PRINT_WIDTH = 340;  // of one of two columns on A4, at the text size of the screen

const SVG = 'http://www.w3.org/2000/svg';
function element(name, attributes = {}, text = null, parent = null) {
  const svg = ['svg', 'g', 'line', 'path', 'circle', 'rect', 'text', 'clipPath', 'image', 'defs']
      .includes(name);
  const node = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}
const finite = value => typeof value === 'number' && Number.isFinite(value);
const styleOf = group => `c${group % 8} dash${Math.floor(group / 8) % 4}`;

/// 1234567 -> "1.23M"; for axes and tips.
function short(value) {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    ++unit;
  }
  return String(Number(value.toPrecision(3))) + units[unit];
}
/// Round marks within [low, high].
function marks(low, high, count) {
  const rough = (high - low) / count;
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough * 0.999);
  const list = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && list.length < 50; ++i) {
    list.push(i * step + 0);
  }
  return list;
}
function logMarks(low, high) {
  const list = [];
  const wide = Math.log10(high / low) > 3;
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power) {
    for (const digit of wide ? [1] : [1, 2, 5]) {
      const mark = digit * 10 ** power;
      if (mark >= low && mark <= high) list.push(mark);
    }
  }
  return list;
}
function markText(value, list) {
  const largest = Math.max(...list.map(Math.abs));
  if (largest >= 10000) return short(value);
  if (largest < 0.001 && largest > 0) return value === 0 ? '0' : value.toExponential(1);
  const step = list.length > 1 ? Math.min(...list.slice(1).map((m, i) => m - list[i])) : largest;
  return value.toFixed(Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))));
}
function valueText(value) {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(3);
  return Math.abs(value) >= 10000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(5)));
}
/// Index of the x (ascending) nearest to `value` that has a y; -1 where the line has ended or not
/// begun.
function nearest(xs, value, ys = xs) {
  let best = -1, first = null, last = null;
  xs.forEach((x, i) => {
    if (!finite(x) || !finite(ys[i])) return;
    if (first === null) first = x;
    last = x;
    if (best < 0 || Math.abs(x - value) < Math.abs(xs[best] - value)) best = i;
  });
  const slack = 0.01 * last;
  return best < 0 || value < first - slack || value > last + slack ? -1 : best;
}
/// `share`, `top`: where to show it, as shares of the plot's size.
function showTip(tip, figure, svg, share, top, head, rows) {
  tip.replaceChildren();
  element('b', {}, head, tip);
  const most = 14;
  for (const [name, value, group] of rows.slice(0, most)) {
    const row = element('div', {}, null, tip);
    const label = element('span', {class: group >= 0 ? `key c${group % 8}` : ''}, null, row);
    element('span', {style: 'color: var(--ink)'}, name, label);
    element('span', {}, value, row);
  }
  if (rows.length > most) element('div', {}, `and ${rows.length - most} more`, tip);
  tip.classList.remove('hidden');
  const x = share * svg.clientWidth, flip = x > svg.clientWidth / 2;
  tip.style.left = flip ? 'auto' : `${x + 14}px`;
  tip.style.right = flip ? `${figure.clientWidth - x + 14}px` : 'auto';
  tip.style.top = `${svg.getBoundingClientRect().top - figure.getBoundingClientRect().top + 10 + top * svg.clientHeight}px`;
}
