// Lines against steps, tokens or training time.
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

const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
/// For each value, whether it lies far below its neighbours, measured by how they usually scatter.
function unusuallyLow(values) {
  const around = 15, enough = 8;
  const below = values.map((value, i) => finite(value) ?
      median(values.slice(Math.max(0, i - around), i + around + 1).filter(finite)) - value : null);
  const usual = median(below.filter(finite).map(Math.abs));
  return below.map(gap => finite(gap) && gap > enough * usual);
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
      const crowded = line.style === 'faint' && line.y.length > 600 ? 'crowded' : '';
      element('path', {class: `line ${line.style} ${crowded} ${styleOf(line.group)}`, d: this.path(line)}, null, area);
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
    const from = entered + this.maxX * 0.03, unusual = unusuallyLow(line.y);
    let last = -100;
    line.x.forEach((x, i) => {
      if (!finite(x) || !unusual[i] || x < from || line.y[i] >= low) return;
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
