// The page of one binder. Whatever a server can write goes into textContent or an attribute's
// value, never into markup. An operator's token is in a variable and nowhere else.
"use strict";

// Limits; times in ms.
const CELLS_MAX = 20000; // cells at once
const SERVICES_MAX = 500; // services at once
const PAGE_ROWS = 1000; // rows of one answer, as many as the binder gives
const BLOCK_CELLS = 250; // cells that are laid out together
const FRAME_WORK = 8; // for cells that have changed, between two frames
const EVENTS_MAX = 200; // lines of the timeline
const GONE_SHOWN = 30000; // how long a cell is kept of what is gone
const GONE_MAX = 2000; // cells of what is gone
const SILENCE = 45000; // three heartbeats: the connection is lost
const PAUSE_MIN = 500, PAUSE_MAX = 15000; // between two attempts to connect
const ANSWER_LIMIT = 10000; // for any other answer
const HIDDEN_PAUSE = 1000; // between two drawings while nobody sees them
const STEADY = 10000; // a connection that lasted so long was a good one: pauses begin anew
const POLL = 2000; // between two looks at the metrics and the binders
const POINTS_MAX = 150; // of a plot: five minutes
const LINE_MAX = 65536; // characters of an event: one has some 400

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function make(tag, text, attributes = {}) {
  const one = document.createElement(tag);
  if (text !== "") one.textContent = text;
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  return one;
}

function clock(seconds) {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString([], { hour12: false });
  return `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

// ---- Asking the binder

let token = "";

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

function explain(error) {
  if (error.status === 401) return "Needs an operator's token: enter it at the top of the page.";
  return error.message;
}

async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body) sent["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method, headers: sent, body: body && JSON.stringify(body), cache: "no-store",
    signal: signal ?? AbortSignal.timeout(ANSWER_LIMIT),
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? `the binder answered ${answer.status}`);
}

const askJson = async (path, how) => (await ask(path, how)).json();
const pathOf = (...parts) => `v1/${parts.map(encodeURIComponent).join("/")}`;

async function* pages(path, key) {
  let cursor = null;
  do {
    const from = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await askJson(`${path}?limit=${PAGE_ROWS}${from}`);
    yield page[key];
    cursor = page.next;
  } while (cursor !== null);
}

// ---- Services and their cells

const STATES = ["up", "suspect", "disputed", "drained", "gone"];
const services = new Map(); // name -> { name, cells, blocks, counts, ... }
const pending = new Map(); // service and address -> the newest change, not drawn yet
const gone = new Map(); // cell -> when it may go; the oldest first
let cellCount = 0;
let notShown = false;
let generation = 0; // of the lists: what an older one has and the newest lacks is not there
let frame = 0, timer = 0; // when it is drawn next: one of them

function serviceOf(name) {
  let service = services.get(name);
  if (service || services.size >= SERVICES_MAX) return service;
  const section = make("section", "", { class: "service" });
  const heading = make("h3", name);
  const counts = make("span", "");
  heading.append(counts);
  const group = make("div", "", { role: "group", "aria-label": `instances of ${name}` });
  section.append(heading, group);
  service = { name, section, counts, group, cells: new Map(), states: {}, entry: null };
  const after = [...services.values()].find((one) => isBefore(name, one.name));
  $("list").insertBefore(section, after?.section ?? null);
  services.set(name, service);
  return service;
}

const isBefore = (one, other) => one.localeCompare(other, "en", { numeric: true }) < 0;

function addCell(service, address) {
  let block = service.group.lastElementChild;
  if (!block || block.childElementCount >= BLOCK_CELLS) {
    block = make("div", "", { class: "block" });
    service.group.append(block);
  }
  const cell = make("button", "", { class: "cell", type: "button", tabindex: "-1" });
  cell.service = service;
  cell.address = address;
  cell.state = null;
  service.cells.set(address, cell);
  cellCount += 1;
  block.append(cell);
  if (!service.entry) enterAt(cell);
  return cell;
}

function removeCell(cell) {
  const { service } = cell;
  const hadFocus = cell === document.activeElement;
  const next = service.entry === cell ? neighbour(cell, 1) ?? neighbour(cell, -1) : null;
  service.states[cell.state] -= 1;
  service.cells.delete(cell.address);
  gone.delete(cell);
  cellCount -= 1;
  const block = cell.parentElement;
  cell.remove();
  if (!block.childElementCount) block.remove();
  if (service.entry === cell) enterAt(next, service);
  if (hadFocus) next?.focus();
  if (service.cells.size) return;
  service.section.remove();
  services.delete(service.name);
}

function draw({ service: name, address, state }, when) {
  let service = services.get(name);
  if (!service?.cells.has(address)) {
    if (state === "gone") return null;
    service = cellCount < CELLS_MAX ? serviceOf(name) : null;
    notShown ||= !service;
    if (!service) return null;
  }
  const cell = service.cells.get(address) ?? addCell(service, address);
  cell.generation = generation;
  if (cell.state === state) return service;
  if (cell.state) service.states[cell.state] -= 1;
  service.states[state] = (service.states[state] ?? 0) + 1;
  cell.classList.toggle("returned", cell.state !== null && state === "up");
  cell.state = state;
  cell.dataset.state = state;
  cell.setAttribute("aria-label", `${address}, ${state}`);
  gone.delete(cell);
  if (state === "gone") gone.set(cell, when + GONE_SHOWN);
  return service;
}

function count(service) {
  const known = STATES.filter((state) => service.states[state] > 0);
  service.counts.textContent = known.map((state) => `${service.states[state]} ${state}`).join(", ");
}

// A page that nobody sees has no frames; it keeps up all the same, slowly.
function schedule() {
  if (document.hidden) timer ||= setTimeout(drawFrame, HIDDEN_PAUSE);
  else frame ||= requestAnimationFrame(drawFrame);
}

document.addEventListener("visibilitychange", schedule);

// All that has come since the last frame, or as much as a frame has time for.
function drawFrame() {
  cancelAnimationFrame(frame);
  clearTimeout(timer);
  frame = timer = 0;
  const now = performance.now(), touched = new Set();
  for (const [key, row] of pending) {
    if (performance.now() - now > FRAME_WORK) break;
    pending.delete(key);
    touched.add(draw(row, now));
  }
  touched.delete(null);
  for (const service of touched) count(service);
  if (touched.size) total();
  drawEvents();
  if (pending.size) schedule();
}

function total() {
  const here = cellCount - gone.size;
  const inAll = `${here.toLocaleString("en")} instances of ${services.size} services`;
  $("totals").textContent = here ? inAll : "";
  $("nothing").hidden = here > 0;
  $("more").hidden = !notShown;
  if (notShown) {
    $("more").textContent = `There is more than this page shows, at most ${CELLS_MAX} instances ` +
      `of ${SERVICES_MAX} services; /v1/services has all of it.`;
  }
}

function put(row) {
  const key = `${row.service} ${row.address}`;
  pending.delete(key); // so that it comes behind what has changed before
  pending.set(key, row);
}

function forgetGone() {
  const now = performance.now();
  const touched = new Set();
  for (const [cell, until] of gone) {
    if (until > now && gone.size <= GONE_MAX) break;
    touched.add(cell.service);
    removeCell(cell);
  }
  for (const service of touched) count(service);
  if (touched.size) total();
}

// What is there. Changes that come meanwhile are newer than any row of a list, and are kept apart.
let listing = null;

async function list() {
  const newer = new Map();
  listing = newer;
  generation += 1;
  notShown = false;
  try {
    await listServices(newer);
    while (pending.size) { check(newer); await sleep(20); }
    check(newer);
  } catch (error) {
    if (listing === newer) watching.abort(error); // and so from the beginning
    return;
  }
  listing = null;
  for (const row of newer.values()) put(row);
  dropOld();
  schedule();
}

function check(newer) {
  if (listing !== newer) throw new Error("another list was begun, or the connection is lost");
}

async function listServices(newer) {
  let cells = 0, named = 0;
  for await (const page of pages("v1/services", "services")) {
    for (const { service } of page) {
      notShown ||= ++named > SERVICES_MAX || cells >= CELLS_MAX;
      if (notShown) return;
      cells += await listService(service, CELLS_MAX - cells, newer);
    }
  }
}

async function listService(name, room, newer) {
  let rows = 0;
  try {
    for await (const page of pages(pathOf("services", name), "instances")) {
      check(newer);
      for (const row of page) put(row);
      schedule();
      rows += page.length;
      if (rows >= room) return rows;
    }
  } catch (error) {
    if (error.status !== 404) throw error; // its last instance has gone meanwhile
  }
  return rows;
}

function dropOld() {
  for (const service of [...services.values()]) {
    const old = [...service.cells.values()].filter((one) => one.generation < generation);
    for (const cell of old) removeCell(cell);
    count(service);
  }
  total();
}

// ---- The timeline

const news = []; // events that are not drawn yet, the oldest first
let changed = 0; // since the page has come

function drawEvents() {
  if (!news.length) return;
  const lines = news.splice(0).map((row) => {
    const line = make("li", "", { "data-state": row.state });
    line.append(make("small", clock(row.at)), " ", make("b", row.state), " ");
    line.append(`${row.service} ${row.address} `, make("small", `${row.event}: ${row.why}`));
    return line;
  });
  $("events").prepend(...lines.reverse());
  while ($("events").childElementCount > EVENTS_MAX) $("events").lastElementChild.remove();
}

// ---- Watching: with fetch, as EventSource sends no token, and pauses as it likes.

let watching = new AbortController();
let lastId = "";

function banner(state, text) {
  if ($("banner").textContent !== text) $("banner").textContent = text;
  $("banner").dataset.state = state;
}

async function* events(answer, alive) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", said = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    if (rest.length > LINE_MAX) throw new Error("an event is too long");
    for (const line of lines) {
      if (line) {
        const [key, ...parts] = line.split(": ");
        said[key] = parts.join(": ");
      } else {
        if (said.event) yield said;
        said = {};
      }
    }
  }
}

function hear({ event, id, data }) {
  lastId = id;
  if (event !== "change") {
    list();
    return;
  }
  const row = JSON.parse(data);
  changed += 1;
  news.push(row);
  if (news.length > EVENTS_MAX) news.shift();
  if (listing) listing.set(`${row.service} ${row.address}`, row);
  else put(row);
  const isTooMuch = listing?.size > CELLS_MAX || pending.size > 2 * CELLS_MAX;
  if (isTooMuch) throw new Error("more has changed than this page can hold");
  schedule();
}

async function watchOnce(connected) {
  const control = new AbortController();
  watching = control;
  let silence = 0;
  const alive = () => {
    clearTimeout(silence);
    silence = setTimeout(() => control.abort(new Error("nothing was heard for long")), SILENCE);
  };
  alive();
  try {
    const headers = lastId ? { "Last-Event-ID": lastId } : {};
    const answer = await ask("v1/watch", { headers, signal: control.signal });
    connected();
    for await (const event of events(answer, alive)) hear(event);
  } finally {
    clearTimeout(silence);
    control.abort();
    if (listing) { listing = null; lastId = ""; } // what was not listed whole is listed again
  }
}

let wake = () => {};

async function watch() {
  let pause = PAUSE_MIN;
  for (;;) {
    const since = performance.now();
    let why = "the binder has ended it";
    try {
      await watchOnce(() => banner("live", `Live from ${location.host}`));
    } catch (error) {
      why = error instanceof TypeError ? "the binder is not reached" : explain(error);
    }
    if (performance.now() - since > STEADY) pause = PAUSE_MIN;
    const next = `Next attempt in ${pause / 1000} s.`;
    banner("lost", `Connection lost: ${why}. What is shown may be old. ${next}`);
    await Promise.race([sleep(pause), new Promise((resolve) => { wake = resolve; })]);
    pause = Math.min(pause * 2, PAUSE_MAX);
  }
}

// ---- Binders

let isRefused = false; // until there is another token

async function lookAtBinders() {
  if (isRefused) return;
  const note = $("binders-note");
  try {
    const said = await askJson("v1/binders");
    const self = said.degraded.length ? `degraded: ${said.degraded.join("; ")}` : "ok";
    const lines = [binder(said.ok ? "agrees" : "differs", "this one", said.identity, self)];
    for (const peer of said.peers) lines.push(binder(...describe(peer)));
    $("binders").replaceChildren(...lines);
    const known = said.peers.filter((one) => one.agrees !== null);
    const apart = known.filter((one) => !one.agrees).length;
    note.textContent = apart ? `${apart} of ${known.length} peers differ; it is being mended.`
      : known.length ? "All of them agree." : "";
  } catch (error) {
    if (!(error instanceof Refused)) return; // the banner says so
    isRefused = error.status === 401 || error.status === 403;
    $("binders").replaceChildren();
    note.textContent = explain(error);
  }
  note.hidden = !note.textContent;
}

function describe(peer) {
  const trip = peer.round_trip_ms === null ? "" : `, ${peer.round_trip_ms.toFixed(1)} ms away`;
  const agrees = { true: "agrees", false: "differs", null: "not compared yet" }[peer.agrees];
  const isSilent = !["up", "quiet"].includes(peer.state);
  const state = isSilent ? "silent" : peer.agrees === false ? "differs" : "agrees";
  return [state, peer.address, peer.kind, `${peer.state}, ${agrees}${trip}`];
}

function binder(state, name, kind, text) {
  const line = make("li", "", { "data-state": state });
  const said = make("span", `${name} `);
  said.append(make("small", `${kind ?? ""} ${text}`));
  line.append(said);
  return line;
}

// ---- Plots of the last minutes, from /metrics

class Plot {
  constructor(title, unit, digits) {
    this.unit = unit;
    this.digits = digits;
    this.points = [];
    this.canvas = make("canvas", "", { role: "img" });
    this.title = title;
    this.now = make("b", "–");
    const caption = make("figcaption", title);
    caption.append(this.now);
    const figure = make("figure", "");
    figure.append(caption, this.canvas);
    $("plots").append(figure);
  }

  text(value) {
    return value === null ? "–" : `${value.toLocaleString("en",
      { maximumFractionDigits: this.digits })} ${this.unit}`;
  }

  add(value) {
    this.points.push(value);
    if (this.points.length > POINTS_MAX) this.points.shift();
    const known = this.points.filter((one) => one !== null);
    const most = Math.max(...known, 0);
    this.now.textContent = this.text(value);
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.text(value)} now, ` +
      `${this.text(most)} at most`);
    this.draw(most || 1);
  }

  draw(most) {
    const ratio = devicePixelRatio || 1;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.strokeStyle = getComputedStyle(this.now).color;
    pen.lineWidth = 1.5;
    const step = width / (POINTS_MAX - 1), first = POINTS_MAX - this.points.length;
    let isDown = false;
    this.points.forEach((value, index) => {
      if (value === null) { isDown = false; return; }
      const x = (first + index) * step, y = height - 2 - (value / most) * (height - 6);
      if (isDown) pen.lineTo(x, y);
      else { pen.moveTo(x - step / 2, y); pen.lineTo(x, y); }
      isDown = true;
    });
    pen.stroke();
  }
}

// Sums of all samples of a metric, whatever their labels.
function samples(text) {
  const sums = new Map();
  for (const line of text.split("\n")) {
    if (!line || line[0] === "#") continue;
    const [name] = line.split(/[{ ]/, 1);
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    sums.set(name, (sums.get(name) ?? 0) + value);
  }
  return sums;
}

const plots = [
  [new Plot("lookups", "/s", 0), (rise, seconds) => rise("prr_lookups_total") / seconds],
  [new Plot("changes", "/s", 1), (rise, seconds) => rise("changes") / seconds],
  [new Plot("verification, mean", "ms", 1), (rise) => mean(rise, "prr_verification_seconds")],
  [new Plot("event loop late, mean", "ms", 2), (rise) => mean(rise, "prr_loop_lag_seconds")],
];
let before = null;

function mean(rise, name) {
  const number = rise(`${name}_count`);
  return number > 0 ? (1000 * rise(`${name}_sum`)) / number : null;
}

async function lookAtMetrics() {
  try {
    const sums = samples(await (await ask("metrics")).text());
    sums.set("changes", changed);
    const now = { at: performance.now(), up: sums.get("prr_uptime_seconds"), sums };
    const [last, seconds] = [before, (now.at - (before?.at ?? 0)) / 1000];
    before = now;
    if (!last || now.up < last.up) return; // another process counts from zero
    const rise = (name) => (sums.get(name) ?? 0) - (last.sums.get(name) ?? 0);
    for (const [plot, value] of plots) plot.add(value(rise, seconds));
  } catch {
    before = null;
    for (const [plot] of plots) plot.add(null);
  }
}

async function poll() {
  for (;;) {
    forgetGone();
    if (!document.hidden) await Promise.all([lookAtBinders(), lookAtMetrics()]);
    await sleep(POLL);
  }
}

// ---- The keyboard: one cell of each service is reached by Tab, the others by arrows.

function enterAt(cell, service = cell.service) {
  service.entry?.setAttribute("tabindex", "-1");
  service.entry = cell;
  cell?.setAttribute("tabindex", "0");
}

function neighbour(cell, way) {
  const side = way > 0 ? "nextElementSibling" : "previousElementSibling";
  const end = way > 0 ? "firstElementChild" : "lastElementChild";
  return cell[side] ?? cell.parentElement[side]?.[end] ?? null;
}

function walk(cell, steps) {
  for (let at = cell, left = Math.abs(steps); ; left -= 1) {
    const next = left > 0 ? neighbour(at, Math.sign(steps)) : null;
    if (!next) return at;
    at = next;
  }
}

function target(cell, key) {
  const pitch = cell.offsetWidth + 3;
  const columns = Math.max(1, Math.floor((cell.parentElement.clientWidth - 3) / pitch));
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
    Home: -CELLS_MAX, End: CELLS_MAX }[key];
  return steps === undefined ? null : walk(cell, steps);
}

$("list").addEventListener("keydown", (event) => {
  const cell = event.target.closest(".cell");
  const next = cell && target(cell, event.key);
  if (!next) return;
  event.preventDefault();
  enterAt(next);
  next.focus();
});

$("list").addEventListener("pointerover", (event) => {
  const cell = event.target.closest(".cell");
  if (cell) cell.title = cell.getAttribute("aria-label");
});

$("list").addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (cell) open(cell);
});

// ---- One instance: its history, and draining it

let shown = null; // { service, address } of the instance in the dialog

function open(cell) {
  enterAt(cell);
  shown = { service: cell.service.name, address: cell.address };
  $("details-title").textContent = `${shown.service} at ${shown.address}`;
  for (const id of ["facts", "history"]) $(id).replaceChildren();
  $("problem").textContent = "";
  $("last").checked = false;
  $("details").showModal();
  $("close").focus();
  look();
}

async function look() {
  const what = shown;
  const isShown = () => what === shown;
  find(what).then((row) => isShown() && facts(row)).catch(() => {});
  try {
    const said = await askJson(pathOf("history", what.service, what.address));
    if (!isShown()) return;
    const lines = said.events.map(({ at, event, why }) => {
      const line = make("li", "");
      const day = new Date(at * 1000).toLocaleDateString();
      line.append(make("small", `${day} ${clock(at)}`), " ", make("b", event), ` ${why}`);
      return line;
    });
    $("history").replaceChildren(...lines.reverse());
  } catch (error) {
    if (isShown()) $("history").replaceChildren(make("li", explain(error)));
  }
}

// Its row, as it is now: there is no other way to it than through its service's pages.
async function find({ service, address }) {
  for await (const page of pages(pathOf("services", service), "instances")) {
    const row = page.find((one) => one.address === address);
    if (row) return row;
  }
  return null;
}

function facts(row) {
  const said = [["state", row?.state ?? "not held"]];
  if (row) {
    said.push(["weight", row.weight], ["zone", row.zone ?? "none"]);
    for (const [key, value] of Object.entries(row.tags)) said.push([`tag ${key}`, value]);
    if (row.drained_until) said.push(["drained until", clock(row.drained_until)]);
    if (row.drained_why) said.push(["drained because", row.drained_why]);
    const owner = row.owner_address ?? row.owner ?? "none";
    const heard = row.heard_s_ago;
    said.push(["last heard", heard === null ? "never by this binder" : `${heard.toFixed(1)} s ago`]);
    said.push(["lease owner", row.is_owner ? "this binder" : owner]);
  }
  const lines = said.flatMap(([key, value]) => [make("dt", key), make("dd", value)]);
  $("facts").replaceChildren(...lines);
}

async function change(path, how) {
  $("problem").textContent = "";
  try {
    await ask(path, how);
    look();
  } catch (error) {
    $("problem").textContent = explain(error);
  }
}

$("draining").addEventListener("submit", (event) => {
  event.preventDefault();
  const seconds = Number($("seconds").value);
  const body = { ...shown, seconds, why: $("why").value, last: $("last").checked };
  change("v1/drains", { method: "POST", body });
});
$("undrain").addEventListener("click", () => {
  change(pathOf("drains", shown.service, shown.address), { method: "DELETE" });
});
$("close").addEventListener("click", () => $("details").close());
$("details").addEventListener("close", () => {
  const cell = services.get(shown.service)?.cells.get(shown.address);
  shown = null;
  cell?.focus();
});

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  $("use-token").textContent = token ? "In use" : "Use";
  isRefused = false;
  lookAtBinders();
  wake();
});

watch();
poll();
