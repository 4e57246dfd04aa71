// Load of each expert over time, as a picture of one pixel per expert and stretch of steps.
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
