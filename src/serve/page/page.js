const byId = (id) => document.getElementById(id);
const ui = Object.fromEntries(
    ["form", "prompt", "run", "stop", "fill", "max_tokens", "temperature", "top_p", "top_k", "seed",
     "key", "key_label", "output", "status", "routing", "tables", "load", "model"]
        .map((id) => [id, byId(id)]));
let described = false, sparse = false, running = null;

function headers() {
  const made = {"Content-Type": "application/json"};
  if (ui.key.value) made.Authorization = `Bearer ${ui.key.value}`;
  return made;
}

async function describeModel() {
  const answer = await fetch("v1/models", {headers: headers()});
  if (answer.status === 401) ui.key_label.hidden = false;
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  const [model] = (await answer.json()).data;
  described = true;
  sparse = model.num_experts > 0;
  ui.max_tokens.max = model.max_output_tokens;
  ui.model.textContent = sparse
      ? `${model.id}: ${model.num_experts} experts in ${model.routed_layers.length} layers`
      : `${model.id}: dense, nothing is routed`;
}

function requestBody() {
  const body = {
    prompt: ui.prompt.value,
    max_tokens: Number(ui.max_tokens.value),
    temperature: Number(ui.temperature.value),
    stream: true,
    stream_options: {include_usage: true},
    routing: sparse,
  };
  for (const name of ["top_p", "top_k", "seed"]) {
    if (ui[name].value !== "") body[name] = Number(ui[name].value);
  }
  return body;
}

// Yields the data of server-sent events.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  while (true) {
    const {done, value} = await reader.read();
    if (done) return;
    const parts = (unread + value).split("\n\n");
    unread = parts.pop();
    for (const part of parts) yield part.slice("data: ".length);
  }
}

function showText(prompt, text) {
  if (!ui.fill.checked) {
    ui.output.textContent = text;
    return;
  }
  ui.output.replaceChildren(...fillPrompt(prompt, text).map(
      (part) => part.filled ? element("mark", "", part.text) : document.createTextNode(part.text)));
}

function showError(message) {
  ui.output.replaceChildren(element("span", "error", message));
  ui.status.textContent = "";
}

async function stream(answer, prompt) {
  const start = performance.now();
  let text = "", reason = "", usage = null;
  for await (const data of events(answer)) {
    if (data === "[DONE]") break;
    const part = JSON.parse(data);
    if (part.error) throw new Error(part.error.message);
    if (part.usage) usage = part.usage;
    for (const choice of part.choices) {
      text += choice.text;
      reason = choice.finish_reason ?? reason;
      if (choice.routing) showRouting(choice.routing, ui.routing, ui.tables, ui.load);
    }
    showText(prompt, text);
  }
  const seconds = (performance.now() - start) / 1000;
  const ended = reason === "length" ? "cut at the most tokens" : "ended by itself";
  ui.status.textContent = `${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out, ` +
      `${seconds.toFixed(2)} s; ${ended}`;
}

async function run() {
  if (running) return;
  running = new AbortController();
  ui.run.disabled = true;
  ui.stop.disabled = false;
  ui.routing.hidden = true;
  ui.output.replaceChildren();
  ui.output.setAttribute("aria-busy", "true");
  ui.status.textContent = "Running …";
  try {
    if (!described) await describeModel();
    const body = requestBody();
    const answer = await fetch("v1/completions", {
      method: "POST", headers: headers(), body: JSON.stringify(body), signal: running.signal,
    });
    if (answer.status === 401) ui.key_label.hidden = false;
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    await stream(answer, body.prompt);
  } catch (error) {
    if (error.name === "AbortError") ui.status.textContent = "Stopped.";
    else showError(error.message);
  }
  ui.output.removeAttribute("aria-busy");
  ui.run.disabled = false;
  ui.stop.disabled = true;
  running = null;
}

// Settings in the address, so that a run can be linked to: ?prompt=...&max_tokens=20&run=1
function readAddress() {
  const given = new URLSearchParams(location.search);
  for (const name of ["prompt", "max_tokens", "temperature", "top_p", "top_k", "seed"]) {
    if (given.has(name)) ui[name].value = given.get(name);
  }
  if (given.has("fill")) ui.fill.checked = given.get("fill") === "1";
  return given.get("run") === "1";
}

ui.form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
ui.stop.addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ui.form.requestSubmit();
});
const runAtOnce = readAddress();
describeModel().then(() => runAtOnce && run(), (error) => showError(error.message));
