// Draws the plots of a report: the legend, which charts there are, and when to draw them again. The
// four scripts are one when they reach the page, in this order: helpers, chart, heat_map, report.
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
