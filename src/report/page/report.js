// Draws the plots of a report from the JSON in #data. No library; every text from a run goes through
// textContent or setAttribute, never through markup.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const state = {x: 'step', detail: true, hidden: new Set()};
  const charts = [];

  // ---- small helpers ----
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
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) list.push(i * step);
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

  // ---- the axis that the reader chooses ----
  function timeUnit(seconds) {
    if (seconds > 3 * 86400) return [86400, 'days'];
    if (seconds > 3 * 3600) return [3600, 'hours'];
    if (seconds > 180) return [60, 'minutes'];
    return [1, 'seconds'];
  }
  const longest = Math.max(1, ...data.runs.flatMap(
      run => [...run.eval.seconds, ...run.train.seconds].filter(finite).slice(-1)));
  const [timeScale, timeName] = timeUnit(longest);
  const axis = {
    step: {label: 'steps', of: curve => curve.step},
    tokens: {label: 'tokens', of: curve => curve.tokens},
    seconds: {
      label: `training time (${timeName})`,
      of: curve => curve.seconds.map(s => finite(s) ? s / timeScale : null),
    },
  };
  const crossingAt = reach =>
      ({step: reach.steps, tokens: reach.tokens, seconds: reach.seconds / timeScale})[state.x];

  const PRINT_WIDTH = 340;  // of one of two columns on A4, at the text size of the screen

  // ---- curves of a chart ----
  /// Lines of one number: a run's own, and the mean of each group of seeds.
  function curves(part, key, kind = '', factor = 1) {
    const list = [];
    data.groups.forEach((group, g) => {
      const add = (name, curve, style) => {
        if (!curve || !curve[key] || !curve[key].some(finite)) return;
        list.push({
          name, group: g, style, x: () => axis[state.x].of(curve),
          y: curve[key].map(value => finite(value) ? value * factor : null),
        });
      };
      for (const r of group.runs) {
        add(data.runs[r].name, data.runs[r][part], kind || (group.mean ? 'member' : ''));
      }
      if (part === 'eval' && group.mean) add(`${group.name} (mean)`, group.mean, '');
    });
    return list;
  }

  class Chart {
    /// `spec`: title, label (of y), lines, and optionally height, log, floor (lowest y at most),
    /// level, crossings, detail (leave out what early training alone needs).
    constructor(parent, spec) {
      this.spec = spec;
      this.figure = element('figure', {}, null, parent);
      element('figcaption', {}, spec.title, this.figure);
      this.svg = element('svg', {class: 'plot', tabindex: '0', role: 'img'}, null, this.figure);
      this.tip = element('div', {class: 'tip hidden', role: 'status'}, null, this.figure);
      this.clip = `clip-${charts.length}`;
      this.svg.addEventListener('pointermove', event => this.point(event));
      this.svg.addEventListener('pointerleave', () => this.unhover());
      this.svg.addEventListener('blur', () => this.unhover());
      this.svg.addEventListener('keydown', event => this.key(event));
      charts.push(this);
    }

    shown() {
      return this.spec.lines.filter(line => !state.hidden.has(line.group))
          .map(line => ({...line, x: line.x()}));
    }

    /// Least and greatest of the values to show; `from`: x below which they may be left out.
    rangeY(lines, from) {
      let values = [];
      for (const line of lines) {
        line.x.forEach((x, i) => {
          if (finite(x) && finite(line.y[i]) && x >= from) values.push(line.y[i]);
        });
      }
      if (this.spec.log) values = values.filter(value => value > 0);
      if (finite(this.spec.level) && values.length) values.push(this.spec.level);
      if (finite(this.spec.floor) && values.length) values.push(this.spec.floor);
      if (!values.length) return [0, 1];
      const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
      if (this.spec.log) return low < high ? [low / 1.1, high * 1.1] : [low / 2, high * 2];
      const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
      return [low === this.spec.floor ? low : low - margin, high + margin];
    }

    draw(printing = false) {
      const spec = this.spec, lines = this.shown();
      const width = printing ? spec.printWidth || PRINT_WIDTH : Math.max(280, this.figure.clientWidth);
      const height = (spec.height || 240) * (printing ? 0.8 : 1);
      const box = {left: 62, right: width - 14, top: 8, bottom: height - 40};
      this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
      this.svg.setAttribute('aria-label', `${spec.title}: ${spec.label} against ${axis[state.x].label}`);
      this.svg.replaceChildren();
      const maxX = lines.flatMap(line => line.x.filter(finite)).reduce((a, b) => Math.max(a, b), 0) || 1;
      const detail = spec.detail && state.detail;
      const main = detail ? lines.filter(line => line.style !== 'faint') : lines;
      let [low, high] = this.rangeY(main.length ? main : lines, detail ? maxX * 0.1 : -1);
      const up = spec.log ? Math.log : value => value;
      this.x = value => box.left + value / maxX * (box.right - box.left);
      this.y = value =>
          box.bottom - (up(value) - up(low)) / (up(high) - up(low)) * (box.bottom - box.top);
      Object.assign(this, {lines, box, width, height, maxX});
      this.drawAxes(low, high);
      const area = element('g', {'clip-path': `url(#${this.clip})`}, null, this.svg);
      if (finite(spec.level)) {
        element('line', {class: 'level', x1: box.left, x2: box.right, y1: this.y(spec.level), y2: this.y(spec.level)}, null, area);
      }
      const order = line => ['faint', 'train', 'member', ''].indexOf(line.style);
      for (const line of [...lines].sort((a, b) => order(a) - order(b))) {
        element('path', {class: `line ${line.style} ${styleOf(line.group)}`, d: this.path(line)}, null, area);
        if (detail && line.style === 'faint') this.drawSpikes(line, low, area);
      }
      if (spec.crossings) this.drawCrossings(area);
      this.hair = element('g', {}, null, this.svg);
    }

    drawAxes(low, high) {
      const {box, svg, spec} = this;
      const rect = element('clipPath', {id: this.clip}, null, element('defs', {}, null, svg));
      element('rect', {x: box.left, y: box.top - 2, width: box.right - box.left + 6, height: box.bottom - box.top + 4}, null, rect);
      const listY = spec.log ? logMarks(low, high) : marks(low, high, box.bottom - box.top > 250 ? 7 : 5);
      for (const mark of listY) {
        const y = this.y(mark);
        element('line', {class: 'grid-line', x1: box.left, x2: box.right, y1: y, y2: y}, null, svg);
        element('text', {x: box.left - 6, y: y + 4, 'text-anchor': 'end'}, spec.log ? short(mark) : markText(mark, listY), svg);
      }
      const listX = marks(0, this.maxX, Math.max(2, Math.floor((box.right - box.left) / 90)));
      for (const mark of listX) {
        const x = this.x(mark);
        element('line', {class: 'axis', x1: x, x2: x, y1: box.bottom, y2: box.bottom + 4}, null, svg);
        element('text', {x, y: box.bottom + 17, 'text-anchor': x > box.right - 12 ? 'end' : 'middle'},
                state.x === 'seconds' ? markText(mark, listX) : short(mark), svg);
      }
      element('path', {class: 'axis', d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`}, null, svg);
      element('text', {x: (box.left + box.right) / 2, y: this.height - 6, 'text-anchor': 'middle'}, axis[state.x].label, svg);
      element('text', {transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, spec.label, svg);
    }

    path(line) {
      let d = '', pen = 'M';
      line.x.forEach((x, i) => {
        const y = line.y[i];
        if (!finite(x) || !finite(y) || (this.spec.log && y <= 0)) {
          pen = 'M';
          return;
        }
        d += `${pen}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`;
        pen = 'L';
      });
      return d;
    }

    /// A triangle at the lower edge where a training line leaves the range after the run's held-out
    /// line has entered it, one per few pixels.
    drawSpikes(line, low, area) {
      const held = this.lines.find(one => one.group === line.group && one.style !== 'faint');
      const entered = held ? held.x[held.y.findIndex(y => finite(y) && y >= low)] : 0;
      if (!finite(entered)) return;
      const from = entered + this.maxX * 0.03;
      let last = -100;
      line.x.forEach((x, i) => {
        if (!finite(x) || !finite(line.y[i]) || x < from || line.y[i] >= low) return;
        const at = this.x(x);
        if (at - last < 9) return;
        last = at;
        const y = this.box.bottom;
        element('path', {class: `spike ${styleOf(line.group)}`, d: `M${at - 4} ${y - 7}h8l-4 7z`}, null, area);
      });
    }

    drawCrossings(area) {
      data.groups.forEach((group, g) => {
        if (state.hidden.has(g)) return;
        for (const r of group.runs) {
          const reach = data.runs[r].reach;
          if (!reach.reached || !finite(crossingAt(reach))) continue;
          element('circle', {class: `crossing c${g % 8}`, r: 4.5, cx: this.x(crossingAt(reach)), cy: this.y(this.spec.level)}, null, area);
        }
      });
    }

    // ---- reading values ----
    point(event) {
      const rect = this.svg.getBoundingClientRect();
      const x = (event.clientX - rect.left) / rect.width * this.width;
      this.hover((x - this.box.left) / (this.box.right - this.box.left) * this.maxX);
    }

    key(event) {
      const moves = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9};
      if (event.key === 'Escape') this.unhover();
      if (!(event.key in moves)) return;
      event.preventDefault();
      const line = this.lines.find(one => one.style !== 'faint') || this.lines[0];
      if (!line) return;
      const at = finite(this.at) ? Math.max(0, nearest(line.x, this.at)) : -1;
      const next = Math.min(line.x.length - 1, Math.max(0, at + moves[event.key]));
      this.hover(line.x[next]);
    }

    hover(value) {
      const x = Math.min(this.maxX, Math.max(0, value));
      this.at = x;
      this.hair.replaceChildren();
      const at = this.x(x);
      element('line', {class: 'cross-hair', x1: at, x2: at, y1: this.box.top, y2: this.box.bottom}, null, this.hair);
      const rows = [];
      for (const line of this.lines) {
        const i = nearest(line.x, x, line.y);
        if (i < 0) continue;
        const y = this.y(line.y[i]);
        if (y >= this.box.top - 2 && y <= this.box.bottom + 2) {
          element('circle', {class: `point c${line.group % 8}`, r: 3, cx: this.x(line.x[i]), cy: y}, null, this.hair);
        }
        rows.push([line.name + (line.style === 'faint' ? ' (training)' : ''), valueText(line.y[i]), line.group]);
      }
      const head = state.x === 'seconds' ? `${x.toPrecision(4)} ${timeName}` : `${Math.round(x).toLocaleString('en')} ${axis[state.x].label}`;
      showTip(this.tip, this.figure, this.svg, at / this.width, 0, head, rows);
    }

    unhover() {
      this.at = null;
      if (this.hair) this.hair.replaceChildren();
      this.tip.classList.add('hidden');
    }
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

  // ---- heat maps of expert load ----
  const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  function share(layer, column, expert) {
    const at = 2 * (column * layer.experts + expert);
    return ((DIGITS.indexOf(layer.load[at]) * 64 + DIGITS.indexOf(layer.load[at + 1])) / 4095) ** 2;
  }
  function colour(name) {
    const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  }
  const PRINT = {'--heat-low': [33, 102, 172], '--heat-even': [243, 242, 238], '--heat-high': [179, 88, 6]};

  class HeatMap {
    constructor(parent, run, group) {
      this.run = run;
      this.group = group;
      this.figure = element('figure', {}, null, parent);
      const caption = element('figcaption', {}, null, this.figure);
      element('span', {}, run.name, caption);
      const label = element('label', {}, 'layer ', caption);
      this.select = element('select', {}, null, label);
      run.layers.forEach((layer, i) => element('option', {value: i}, layer.layer, this.select));
      this.select.addEventListener('change', () => this.draw());
      this.svg = element('svg', {class: 'plot', tabindex: '0', role: 'img'}, null, this.figure);
      this.tip = element('div', {class: 'tip hidden', role: 'status'}, null, this.figure);
      this.svg.addEventListener('pointermove', event => this.point(event));
      this.svg.addEventListener('pointerleave', () => this.unhover());
      this.svg.addEventListener('blur', () => this.unhover());
      this.svg.addEventListener('keydown', event => this.key(event));
      charts.push(this);
    }

    draw(printing = false) {
      this.figure.classList.toggle('hidden', state.hidden.has(this.group));
      const layer = this.layer = this.run.layers[Number(this.select.value)];
      const experts = layer.experts, cell = Math.min(18, Math.max(2, Math.round(280 / experts)));
      const width = printing ? PRINT_WIDTH : Math.max(280, this.figure.clientWidth), height = cell * experts + 48;
      this.box = {left: 62, right: width - 14, top: 6, bottom: 6 + cell * experts};
      Object.assign(this, {width, height, cell, last: layer.step[layer.step.length - 1]});
      const {box, svg} = this;
      svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
      svg.setAttribute('aria-label', `Load of ${experts} experts over time, layer ${layer.layer} of ${this.run.name}`);
      svg.replaceChildren();
      element('image', {href: this.image(printing), x: box.left, y: box.top, width: box.right - box.left,
                        height: box.bottom - box.top, preserveAspectRatio: 'none'}, null, svg);
      const every = Math.max(1, Math.ceil(16 / cell)), round = 2 ** Math.ceil(Math.log2(every));
      for (let e = 0; e < experts; e += round) {
        element('text', {x: box.left - 6, y: box.top + (e + 0.5) * cell + 4, 'text-anchor': 'end'}, String(e), svg);
      }
      for (const mark of marks(0, this.last, Math.max(2, Math.floor((box.right - box.left) / 90)))) {
        const x = box.left + mark / this.last * (box.right - box.left);
        element('line', {class: 'axis', x1: x, x2: x, y1: box.bottom, y2: box.bottom + 4}, null, svg);
        element('text', {x, y: box.bottom + 17, 'text-anchor': x > box.right - 12 ? 'end' : 'middle'}, short(mark), svg);
      }
      element('path', {class: 'axis', d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`}, null, svg);
      element('text', {x: (box.left + box.right) / 2, y: height - 4, 'text-anchor': 'middle'}, 'steps', svg);
      element('text', {transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, 'expert', svg);
      this.hair = element('g', {}, null, svg);
    }

    columnAt(step) {
      const at = this.layer.step.findIndex(end => end >= step);
      return at < 0 ? this.layer.step.length - 1 : at;
    }

    /// One pixel a cell in height; in width, time in equal parts.
    image(printing) {
      const layer = this.layer, wide = Math.min(640, Math.max(layer.step.length, 320));
      const canvas = element('canvas', {width: wide, height: layer.experts});
      const context = canvas.getContext('2d'), image = context.createImageData(wide, layer.experts);
      const [low, even, high] =
          ['--heat-low', '--heat-even', '--heat-high'].map(name => printing ? PRINT[name] : colour(name));
      for (let x = 0; x < wide; ++x) {
        const column = this.columnAt((x + 0.5) / wide * layer.step[layer.step.length - 1]);
        for (let e = 0; e < layer.experts; ++e) {
          const level = Math.max(-1, Math.min(1, Math.log2(share(layer, column, e) * layer.experts) / 2));
          const end = level < 0 ? low : high;
          const at = 4 * (e * wide + x);
          for (let i = 0; i < 3; ++i) image.data[at + i] = even[i] + (end[i] - even[i]) * Math.abs(level);
          image.data[at + 3] = 255;
        }
      }
      context.putImageData(image, 0, 0);
      return canvas.toDataURL();
    }

    point(event) {
      const rect = this.svg.getBoundingClientRect(), scale = this.width / rect.width, box = this.box;
      const x = (event.clientX - rect.left) * scale, y = (event.clientY - rect.top) * scale;
      if (x < box.left || x > box.right || y < box.top || y >= box.bottom) return this.unhover();
      this.hover(this.columnAt((x - box.left) / (box.right - box.left) * this.last),
                 Math.floor((y - box.top) / this.cell));
    }

    key(event) {
      const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
      if (event.key === 'Escape') this.unhover();
      if (!(event.key in moves)) return;
      event.preventDefault();
      const [column, expert] = this.at || [-moves[event.key][0], -moves[event.key][1]];
      const limit = (value, count) => Math.min(count - 1, Math.max(0, value));
      this.hover(limit(column + moves[event.key][0], this.layer.step.length),
                 limit(expert + moves[event.key][1], this.layer.experts));
    }

    hover(column, expert) {
      this.at = [column, expert];
      const layer = this.layer, box = this.box, wide = box.right - box.left;
      const start = column > 0 ? layer.step[column - 1] : 0, end = layer.step[column];
      const x = box.left + start / this.last * wide, load = share(layer, column, expert);
      this.hair.replaceChildren();
      element('rect', {class: 'cell-mark', x, y: box.top + expert * this.cell, width: Math.max(2, (end - start) / this.last * wide), height: this.cell}, null, this.hair);
      showTip(this.tip, this.figure, this.svg, x / this.width, (box.top + expert * this.cell) / this.height, `expert ${expert}`, [
        ['steps', `${(start + 1).toLocaleString('en')} to ${end.toLocaleString('en')}`, -1],
        ['load', `${(100 * load).toPrecision(3)} %`, -1],
        ['of an even share', `${(load * layer.experts).toFixed(2)} ×`, -1],
      ]);
    }

    unhover() {
      this.at = null;
      if (this.hair) this.hair.replaceChildren();
      this.tip.classList.add('hidden');
    }
  }

  // ---- the page ----
  function drawAll(printing = false) {
    for (const chart of charts) {
      chart.unhover();
      chart.draw(printing === true);
    }
  }

  function makeLegend() {
    const legend = document.getElementById('legend');
    data.groups.forEach((group, g) => {
      const button = element('button', {type: 'button', 'aria-pressed': 'true'}, null, legend);
      const swatch = element('svg', {viewBox: '0 0 26 10', 'aria-hidden': 'true'}, null, button);
      element('line', {class: `line ${styleOf(g)}`, x1: 0, x2: 26, y1: 5, y2: 5}, null, swatch);
      const seeds = group.runs.length > 1 ? ` (${group.runs.length} seeds)` : '';
      element('span', {}, group.name + seeds + (g === data.baseline ? ', baseline' : ''), button);
      button.addEventListener('click', () => {
        const show = state.hidden.has(g);
        if (show) state.hidden.delete(g);
        else state.hidden.add(g);
        button.setAttribute('aria-pressed', String(show));
        drawAll();
      });
    });
  }

  function makeCharts() {
    new Chart(document.getElementById('plot-nlp'), {
      title: 'Negative log perplexity', label: 'NLP (nats per target)', height: 420, printWidth: 690, detail: true,
      lines: [...curves('eval', 'nlp'), ...curves('train', 'nlp', 'faint')],
      level: data.level, crossings: true,
    });
    const add = (parent, spec) => {
      if (spec.lines.length) new Chart(document.getElementById(parent), spec);
      return spec.lines.length > 0;
    };
    const train = (key, factor = 1) => curves('train', key, 'train', factor);
    const percent = key => train(key, 100);
    add('plots-train', {title: 'Training loss', label: 'nats per target', lines: train('loss')});
    add('plots-train', {title: 'Gradient norm before clipping', label: 'L2 norm, log scale', log: true, lines: train('gradient_norm')});
    add('plots-train', {title: 'Learning rate', label: 'rate', floor: 0, lines: train('learning_rate')});
    add('plots-train', {title: 'Held-out accuracy', label: '% of targets', lines: curves('eval', 'accuracy', '', 100)});
    add('plots-train', {title: 'Throughput', label: 'tokens per second', floor: 0, lines: train('tokens_per_second')});
    add('plots-train', {title: 'Share of the GEMM rate', label: '%', floor: 0, lines: percent('gemm_share')});
    const routed = [
      add('plots-router', {title: 'Dropped tokens', label: '% of routed tokens', floor: 0, lines: percent('dropped_share')}),
      add('plots-router', {title: 'Router entropy', label: 'nats', lines: train('router_entropy')}),
      add('plots-router', {title: 'Router confidence', label: 'probability of first choice', lines: train('router_confidence')}),
    ];
    let heatMaps = 0;
    data.groups.forEach((group, g) => {
      for (const r of group.runs) {
        if (!data.runs[r].layers.length) continue;
        new HeatMap(document.getElementById('plots-load'), data.runs[r], g);
        ++heatMaps;
      }
    });
    if (!heatMaps && !routed.some(drawn => drawn)) document.getElementById('router').classList.add('hidden');
  }

  document.documentElement.classList.add('with-script');
  makeLegend();
  makeCharts();
  document.getElementById('controls').addEventListener('change', event => {
    if (event.target.name === 'x') state.x = event.target.value;
    if (event.target.name === 'range') state.detail = event.target.value === 'detail';
    drawAll();
  });
  let pending = 0, width = document.body.clientWidth;
  addEventListener('resize', () => {
    if (document.body.clientWidth === width) return;  // a phone's tool bar came or went
    width = document.body.clientWidth;
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(drawAll);
  });
  addEventListener('beforeprint', () => drawAll(true));
  addEventListener('afterprint', () => drawAll());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawAll());
  drawAll();
})();
