// Tables of what the routed layers did. `routing` is the field of that name in an answer.

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Neighbouring experts get far apart hues.
function setHue(cell, expert) {
  cell.style.setProperty("--hue", String((expert * 137.508 + 20) % 360));
}

// "decoder.1.attention" within the table of the output: "block 1 attention".
function nameInTable(layer) {
  return layer.name.replace(/^\w+\./, "block ").replace(".", " ");
}

function readable(token) {
  return token.replaceAll("\u2581", "\u00b7");
}

function routeCell(token, layer, routes) {
  const cell = element("td", "cell");
  if (routes.length === 0) {
    cell.textContent = "–";
    cell.title = `${token}, ${layer}: not routed`;
    return cell;
  }
  const first = routes[0], dropped = routes.every((route) => route.dropped);
  cell.classList.add(dropped ? "dropped" : "expert");
  setHue(cell, first.expert);
  cell.append(element("span", "number", routes.map((route) => route.expert).join("+")),
              element("small", "", first.gate.toFixed(2)));
  cell.title = routes.map((route) => `${token}, ${layer}: expert ${route.expert}, gate ` +
      `${route.gate.toFixed(3)}${route.dropped ? ", dropped" : ""}`).join("\n");
  cell.setAttribute("aria-label", cell.title);
  if (!dropped) {
    const gate = element("span", "gate");
    gate.style.width = `${Math.min(1, first.gate) * 100}%`;
    cell.append(gate);
  }
  return cell;
}

function headRow(names) {
  const head = element("thead"), row = element("tr");
  for (const name of names) {
    const cell = element("th", "", name);
    cell.scope = "col";
    row.append(cell);
  }
  head.append(row);
  return head;
}

function rowHead(text) {
  const cell = element("th", "", text);
  cell.scope = "row";
  cell.title = text;
  return cell;
}

function inScroller(table, label) {
  const scroller = element("div", "scroll");
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", label);
  scroller.append(table);
  return scroller;
}

function routeTable(title, tokens, layers) {
  const table = element("table"), body = element("tbody");
  table.append(element("caption", "", title),
      headRow(["", ...layers.map(nameInTable)]), body);
  tokens.forEach((token, position) => {
    const row = element("tr");
    row.append(rowHead(readable(token)));
    for (const layer of layers) {
      row.append(routeCell(readable(token), layer.name, layer.tokens[position]));
    }
    body.append(row);
  });
  return inScroller(table, title);
}

// Tokens per expert of a layer, and how many were dropped.
function loadOf(layer, numExperts) {
  const load = {tokens: new Array(numExperts).fill(0), dropped: 0, most: 1};
  for (const route of layer.tokens.flat()) {
    if (route.dropped) ++load.dropped;
    else ++load.tokens[route.expert];
  }
  load.most = Math.max(1, ...load.tokens);
  return load;
}

function loadTable(routing) {
  const experts = [...Array(routing.num_experts).keys()];
  const table = element("table"), body = element("tbody");
  table.append(headRow(["layer", ...experts, "dropped"]), body);
  for (const layer of routing.layers) {
    const load = loadOf(layer, routing.num_experts), row = element("tr");
    row.append(rowHead(layer.name));
    for (const expert of experts) {
      const cell = element("td", "cell"), share = element("span", "share");
      setHue(cell, expert);
      cell.classList.add(load.tokens[expert] > 0 ? "expert" : "none");
      cell.append(element("span", "", String(load.tokens[expert])), share);
      share.style.width = `${load.tokens[expert] / load.most * 100}%`;
      cell.title = `${layer.name}, expert ${expert}: ${load.tokens[expert]} tokens`;
      row.append(cell);
    }
    row.append(element("td", load.dropped > 0 ? "cell dropped" : "cell", String(load.dropped)));
    body.append(row);
  }
  return table;
}

function showRouting(routing, section, tables, load) {
  section.hidden = false;
  const sides = [["Input", routing.input_tokens, "input"], ["Output", routing.output_tokens, "output"]];
  tables.replaceChildren(...sides.map(([title, tokens, of]) =>
      [title, tokens, routing.layers.filter((layer) => layer.of === of)])
      .filter(([, , layers]) => layers.length > 0)
      .map(([title, tokens, layers]) => routeTable(title, tokens, layers)));
  load.replaceChildren(loadTable(routing));
}
