// The lanes of a simulated step and the memory beside them, on two canvases that share one range of time.
const all = JSON.parse(document.getElementById('data').textContent).traceEvents;
const events = all.filter((e) => e.ph === 'X');
const memory = all.filter((e) => e.ph === 'C');
const ranks = [...new Set(events.map((e) => e.pid))].sort((a, b) => a - b);
const end = events.reduce((most, e) => Math.max(most, e.ts + e.dur), 1e-9);
const lanes = document.getElementById('lanes');
const curve = document.getElementById('memory');
const told = document.getElementById('told');
const kLane = 22, kGap = 10, kLeft = 70, kAxis = 22, kCurve = 150;
let from = 0, to = end;

// What operations have in common, and their colours of the style sheet.
const kinds = [
  ['products', '--c0', /linear|cross-entropy/],
  ['experts', '--c2', /^(gated )?experts/],
  ['attention', '--c4', /^attention/],
  ['transfers', '--c1', /^all-|^reduce/],
  ['update', '--c3', /^ada|gradient norm/],
  ['other', '--c6', /./],
];
const kindOf = (event) => kinds.find((kind) => kind[2].test(event.name));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function timeText(us) {
  if (us >= 1e6) return (us / 1e6).toFixed(3) + ' s';
  return us >= 1e3 ? (us / 1e3).toFixed(2) + ' ms' : us.toFixed(1) + ' µs';
}
function bytesText(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; bytes >= 1024 && i < units.length - 1; ++i) bytes /= 1024;
  return bytes.toFixed(i ? 1 : 0) + ' ' + units[i];
}

function prepared(canvas, height) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = height + 'px';
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  context.clearRect(0, 0, width, height);
  context.font = '12px system-ui, sans-serif';
  return [context, width];
}
const xOf = (time, width) => kLeft + (time - from) / (to - from) * (width - kLeft);
const topOf = (rank, thread) => kAxis + ranks.indexOf(rank) * (2 * kLane + kGap) + thread * kLane;

function drawAxis(context, width, height) {
  context.strokeStyle = colour('--grid');
  context.fillStyle = colour('--soft');
  for (let i = 0; i <= 5; ++i) {
    const time = from + (to - from) * i / 5, x = xOf(time, width);
    context.beginPath();
    context.moveTo(x, kAxis - 4);
    context.lineTo(x, height);
    context.stroke();
    context.textAlign = i === 5 ? 'right' : i ? 'center' : 'left';
    context.fillText(timeText(time), x, 12);
  }
}

function drawLanes() {
  const height = kAxis + ranks.length * (2 * kLane + kGap);
  const [context, width] = prepared(lanes, height);
  drawAxis(context, width, height);
  context.textAlign = 'left';
  for (const rank of ranks) {
    context.fillStyle = colour('--ink');
    context.fillText('rank ' + rank, 0, topOf(rank, 0) + kLane);
  }
  const colours = new Map(kinds.map((kind) => [kind, colour(kind[1])]));
  for (const event of events) {
    if (event.ts > to || event.ts + event.dur < from) continue;
    const x = Math.max(kLeft, xOf(event.ts, width));
    const right = Math.min(width, xOf(event.ts + event.dur, width));
    context.fillStyle = colours.get(kindOf(event));
    context.fillRect(x, topOf(event.pid, event.tid) + 1, Math.max(0.5, right - x), kLane - 2);
  }
}

function drawMemory() {
  const [context, width] = prepared(curve, kCurve);
  drawAxis(context, width, kCurve);
  const most = memory.reduce((m, e) => Math.max(m, e.args.bytes), 1);
  context.fillStyle = colour('--soft');
  context.textAlign = 'left';
  context.fillText(bytesText(most), 0, kAxis + 8);
  context.fillText('0', 0, kCurve - 2);
  context.strokeStyle = colour('--c0');
  context.beginPath();
  let before = null;
  for (const event of memory) {
    const x = Math.min(width, Math.max(kLeft, xOf(event.ts, width)));
    const y = kCurve - event.args.bytes / most * (kCurve - kAxis);
    if (before === null) context.moveTo(x, y);
    else { context.lineTo(x, before); context.lineTo(x, y); }
    before = y;
  }
  context.stroke();
}
function draw() { drawLanes(); drawMemory(); }

function zoom(factor, centre) {
  const span = Math.min(end, Math.max(end * 1e-6, (to - from) * factor));
  from = Math.max(0, centre - (centre - from) / (to - from) * span);
  to = Math.min(end, from + span);
  from = to - span;
  draw();
}
function move(by) {
  const span = to - from;
  from = Math.min(end - span, Math.max(0, from + by));
  to = from + span;
  draw();
}
function timeAt(x) { return from + (x - kLeft) / (lanes.clientWidth - kLeft) * (to - from); }

lanes.addEventListener('wheel', (e) => {
  e.preventDefault();
  zoom(e.deltaY > 0 ? 1.25 : 0.8, timeAt(e.offsetX));
}, { passive: false });
lanes.addEventListener('dblclick', () => { from = 0; to = end; draw(); });
lanes.addEventListener('mousemove', (e) => {
  if (e.buttons & 1) {
    move(-e.movementX / (lanes.clientWidth - kLeft) * (to - from));
    return;
  }
  const time = timeAt(e.offsetX);
  const hit = events.find((event) => event.ts <= time && time <= event.ts + event.dur &&
      e.offsetY >= topOf(event.pid, event.tid) && e.offsetY < topOf(event.pid, event.tid) + kLane);
  told.textContent = !hit ? '' : `rank ${hit.pid}: ${hit.args.place}, ${hit.name}` +
      (hit.args.of && hit.tid === 0 ? ` of ${hit.args.of}` : '') + `, ${timeText(hit.dur)}` +
      (hit.args.bytes ? `, ${bytesText(hit.args.bytes)} over ${hit.args.over}` : '') +
      (hit.args.times ? `, ${hit.args.times} times` : '');
});
lanes.addEventListener('keydown', (e) => {
  const span = to - from;
  const keys = {
    '+': () => zoom(0.8, (from + to) / 2), '-': () => zoom(1.25, (from + to) / 2),
    ArrowLeft: () => move(-span / 5), ArrowRight: () => move(span / 5),
    0: () => { from = 0; to = end; draw(); },
  };
  if (!keys[e.key]) return;
  e.preventDefault();
  keys[e.key]();
});
window.addEventListener('resize', draw);

for (const [name, variable] of kinds) {
  const entry = document.createElement('span');
  entry.textContent = '■ ' + name;
  entry.style.color = `var(${variable})`;
  document.getElementById('legend').append(entry);
}
document.documentElement.classList.add('with-script');
draw();
