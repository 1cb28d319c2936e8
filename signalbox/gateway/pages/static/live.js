// The live picture: dots along its lines, levels and counts. At most so many dots move at once, whatever the rate:
// beyond that messages are counted, not drawn, so that the page never stalls.
"use strict";

const MAX_DOTS = 60;
const TRAVEL_MS = 900;
const STEPS = 40;
const MAX_LINES = 14;
const RATE_SECONDS = 5;
const SVG = "http://www.w3.org/2000/svg";

const place = document.getElementById("stream");
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const counts = new Map();
const paths = new Map();
const arrivals = [];
let lines = new Map();
let dots = [];
let isDrawing = false;
let known = "";

function read() {
  // Where each line goes is asked once: asking for a point costs more than moving a dot.
  lines = new Map();
  for (const path of document.querySelectorAll("[data-edge]")) {
    const length = path.getTotalLength();
    const points = [];
    for (let step = 0; step <= STEPS; step++) points.push(path.getPointAtLength((length * step) / STEPS));
    lines.set(path.dataset.edge, { path, points });
  }
  dots = [];
  for (const [name, count] of counts) show(name, count);
}

function edgeOf(name) {
  if (lines.has(name)) return name;
  const [way, agent] = name.split(":");
  return agent ? `${way}:*` : name;
}

function move(name, number) {
  const line = lines.get(name);
  if (!line) return;
  if (isCalm) return;
  const free = Math.min(number, 6, MAX_DOTS - dots.length);
  for (let one = 0; one < free; one++) {
    const dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("r", "4");
    dot.setAttribute("class", `dot is-${name.split(":")[0]}`);
    document.getElementById("dots").append(dot);
    dots.push({ dot, line, from: performance.now() + one * 90 });
  }
  if (dots.length && !isDrawing) {
    isDrawing = true;
    requestAnimationFrame(draw);
  }
}

function draw(now) {
  dots = dots.filter(({ dot, line, from }) => {
    const share = (now - from) / TRAVEL_MS;
    if (share >= 1) {
      dot.remove();
      return false;
    }
    const point = line.points[Math.max(0, Math.floor(share * STEPS))];
    dot.setAttribute("cx", point.x);
    dot.setAttribute("cy", point.y);
    return true;
  });
  isDrawing = dots.length > 0;
  if (isDrawing) requestAnimationFrame(draw);
}

function show(name, count) {
  const shown = document.querySelector(`[data-count="${CSS.escape(name)}"]`);
  if (shown) shown.textContent = count.toLocaleString("en");
}

function count(name, number) {
  const total = (counts.get(name) ?? 0) + number;
  counts.set(name, total);
  show(name, total);
}

function cell(row, text, address) {
  const made = row.insertCell();
  if (!address) {
    made.textContent = text ?? "–";
    return;
  }
  const link = document.createElement("a");
  link.href = address;
  link.textContent = text;
  made.append(link);
}

function list(found) {
  const table = document.getElementById("lines");
  for (const one of found) {
    const row = table.insertRow(0);
    cell(row, one.at.slice(11, 23));
    cell(row, one.conversation, place.dataset.conversations + encodeURIComponent(one.conversation));
    cell(row, one.type);
    cell(row, one.agent ?? "NONE");
    cell(row, one.path);
    cell(row, one.reason);
  }
  while (table.rows.length > MAX_LINES) table.deleteRow(-1);
  if (found.length) document.getElementById("quiet").hidden = true;
}

function listPaths(found) {
  for (const [name, number] of Object.entries(found)) paths.set(name, (paths.get(name) ?? 0) + number);
  if (!paths.size) return;
  const total = [...paths.values()].reduce((sum, one) => sum + one, 0);
  const rows = [...paths].sort((a, b) => b[1] - a[1]).map(([name, number]) => {
    const row = document.createElement("li");
    const word = document.createElement("span");
    word.className = `path is-${name}`;
    word.textContent = name;
    const bar = document.createElement("progress");
    bar.max = total;
    bar.value = number;
    bar.setAttribute("aria-label", `by ${name}`);
    row.append(word, bar, number.toLocaleString("en"));
    return row;
  });
  document.getElementById("paths").replaceChildren(...rows);
  const decisions = document.querySelector('[data-count="decisions"]');
  if (decisions) decisions.textContent = `${total.toLocaleString("en")} decided`;
}

function rate() {
  const now = performance.now();
  while (arrivals.length && arrivals[0].at < now - RATE_SECONDS * 1000) arrivals.shift();
  const sum = arrivals.reduce((total, one) => total + one.number, 0);
  document.getElementById("rate").textContent = (sum / RATE_SECONDS).toFixed(sum ? 1 : 0);
}

function moved(moves) {
  let number = moves.left_out;
  for (const [name, many] of Object.entries(moves.edges)) {
    const edge = edgeOf(name);
    count(edge, many);
    move(edge, many);
    if (name === "in" || name.startsWith("from:")) number += many;
  }
  arrivals.push({ at: performance.now(), number });
  list(moves.lines);
  listPaths(moves.paths);
  rate();
}

function say(id, value) {
  const shown = document.getElementById(id);
  shown.textContent = value === null ? "–" : typeof value === "number" ? value.toLocaleString("en") : value;
  shown.className = value === "open" || value === "away" ? "is-bad" : "";
}

function levelled(levels) {
  for (const name of ["model_in_flight", "model_waiting", "breaker", "broker", "dead_letters"]) say(name, levels[name]);
  say("active", levels.agents.reduce((sum, one) => sum + one.active, 0));
  say("waiting", levels.agents.reduce((sum, one) => sum + one.waiting, 0));
  const names = levels.agents.map((one) => one.name).join(" ");
  if (known && names !== known) htmx.trigger("#graph", "stale");
  known = names;
  for (const one of levels.agents) {
    const says = document.querySelector(`[data-agent-says="${CSS.escape(one.name)}"]`);
    if (!says) continue;
    const parts = [`${one.active} of ${one.at_most} busy`];
    if (one.waiting) parts.push(`${one.waiting} waiting`);
    if (one.state !== "active") parts.push(one.state);
    says.textContent = parts.join(" · ");
    const node = says.closest(".agent-node");
    node.setAttribute("class", `node agent-node is-${one.state}`);
    const share = one.at_most ? Math.min(1, one.active / one.at_most) : 0;
    node.querySelector(".load").setAttribute("width", String(Math.round(212 * share)));
  }
}

read();
setInterval(rate, 1000);
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id === "graph") read();
});

function state(words) {
  // The same words again would be read out again.
  if (place.textContent !== words) place.textContent = words;
}

const source = new EventSource(place.dataset.address);
source.addEventListener("open", () => state("live"));
source.addEventListener("error", () => {
  // It tries again by itself, but not where it was refused: there are too many, or the key is not known any more.
  const isOver = source.readyState === EventSource.CLOSED;
  state(isOver ? "No news comes any more; load the page again." : "The gateway does not answer; it is tried again.");
});
source.addEventListener("moves", (event) => moved(JSON.parse(event.data)));
source.addEventListener("levels", (event) => levelled(JSON.parse(event.data)));
