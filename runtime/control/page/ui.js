// SPDX-License-Identifier: Apache-2.0
// The status page: asks /moongate/admin every two seconds and fills ui.html in. What comes from the gateway (names of
// routes, reasons, errors) may be anybody's text, so it only ever becomes textContent. The key is kept in this tab's
// sessionStorage and goes out in a header, nowhere else.
"use strict";

const REFRESH_MS = 2000;
const ANSWER_LIMIT_MS = 8000;
const WINDOW_MS = 15000; // rates and quantiles are of this long
const SHOWN_ROUTES = 100;
const NAME_PAGES = 4; // of 500 routes
const KEY_NAME = "moongate-admin-key";

const byId = (id) => document.getElementById(id);

const page = {
  key: sessionStorage.getItem(KEY_NAME) || "",
  timer: 0,
  generation: 0, // answers to questions of an earlier one do not count
  isPaused: false,
  lostSince: null,
  samples: [],
  status: null,
  snapshots: null,
  names: new Map(),
  namesOf: null, // the snapshot and its hash that the names are of
  comparisons: new Map(),
  rollbackTo: 0,
};

// ---------------------------------------------------------------- asking

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, body) {
  const options = {
    cache: "no-store",
    credentials: "omit",
    headers: { "X-API-KEY": page.key },
    signal: AbortSignal.timeout(body ? 60000 : ANSWER_LIMIT_MS),
  };
  if (body) {
    options.method = "POST";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Refusal(response.status, answer.description || answer.error_msg || String(response.status));
  return answer;
}

async function refresh() {
  clearTimeout(page.timer);
  const generation = ++page.generation;
  try {
    const [status, metrics, snapshots] = await Promise.all(["status", "metrics", "snapshots"].map((what) => ask("/moongate/admin/" + what)));
    if (generation !== page.generation) return;
    page.status = status;
    page.snapshots = snapshots;
    page.lostSince = null;
    addSample(status, metrics);
    showContent();
    loadNames(generation);
  } catch (error) {
    if (generation !== page.generation) return;
    if (error instanceof Refusal && (error.status === 401 || error.status === 403)) return askForKey(refusalText(error));
    page.lostSince = page.lostSince || new Date();
  }
  showState();
  if (!page.isPaused && !document.hidden) page.timer = setTimeout(refresh, REFRESH_MS);
}

function refusalText(error) {
  if (error.message === "wrong apikey") return "This key is not known here. Look for typing errors, or for another instance.";
  return error.message;
}

/** What routes are called and match, once for each snapshot. */
async function loadNames(generation) {
  const of = page.status.snapshot.number + " " + page.status.snapshot.hash;
  if (page.namesOf === of) return;
  page.namesOf = of;
  const names = new Map();
  try {
    for (let at = 1; at <= NAME_PAGES; at++) {
      const answer = await ask(`/apisix/admin/routes?page=${at}&page_size=500`);
      for (const { value } of answer.list) names.set(String(value.id), describeRoute(value));
      if (answer.list.length < 500) break;
    }
  } catch {
    page.namesOf = null; // at the next refresh again
    return;
  }
  if (generation > page.generation || page.namesOf !== of) return;
  page.names = names;
  showRoutes();
}

function describeRoute(route) {
  const hosts = route.hosts || (route.host ? [route.host] : []);
  const uris = route.uris || (route.uri ? [route.uri] : []);
  const methods = route.methods ? route.methods.join(" ") + " " : "";
  return { name: route.name || "", match: `${methods}${hosts.join(", ")}${uris.join(", ")}` };
}

// ---------------------------------------------------------------- numbers

function addSample(status, metrics) {
  const routes = new Map(metrics.routes.map((route) => [routeKey(route.id), route]));
  const plugins = new Map(metrics.plugins.map((plugin) => [plugin.name, plugin]));
  const requests = status.workers.reduce((sum, worker) => sum + worker.requests, 0);
  const sample = { at: metrics.time_ms, bounds: metrics.bounds_s, count: metrics.route_count, routes, plugins, requests };
  const last = page.samples[page.samples.length - 1];
  if (last && (last.requests > requests || last.at > sample.at)) page.samples = []; // another life of the gateway
  page.samples.push(sample);
  while (page.samples.length > 2 && page.samples[0].at < sample.at - WINDOW_MS) page.samples.shift();
}

const routeKey = (id) => (id === null ? "other" : "=" + id);

/** The newest sample, and what it counts since the oldest of the window. */
function recent() {
  const now = page.samples[page.samples.length - 1];
  const then = page.samples[0];
  return { now, then, seconds: (now.at - then.at) / 1000 };
}

function countCodes(route, first) {
  if (!route) return 0;
  let sum = 0;
  for (const [code, count] of Object.entries(route.codes)) if (!first || code[0] === first) sum += count;
  return sum;
}

function measure(now, earlier) {
  // Counters begin at 0 again when a series was given back in between.
  const has_begun_anew = earlier && (countCodes(now) < countCodes(earlier) || now.buckets.some((count, i) => count < (earlier.buckets[i] || 0)));
  const then = has_begun_anew ? undefined : earlier;
  const since = (first) => countCodes(now, first) - countCodes(then, first);
  const before = then ? then.buckets : [];
  return {
    requests: since(),
    client: since("4"),
    server: since("5"),
    total: countCodes(now),
    buckets: now.buckets.map((count, i) => count - (before[i] || 0)),
  };
}

/** Within a bucket the values are taken to lie evenly. Null when there are none. */
function quantile(buckets, bounds, share) {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let left = total * share;
  for (let i = 0; i < buckets.length; i++) {
    if (left > buckets[i]) {
      left -= buckets[i];
      continue;
    }
    if (i === bounds.length) return Infinity;
    const low = i === 0 ? 0 : bounds[i - 1];
    return low + ((bounds[i] - low) * left) / buckets[i];
  }
  return Infinity;
}

function timeText(seconds, bounds) {
  if (seconds === null) return "–";
  if (seconds === Infinity) return `> ${bounds[bounds.length - 1]} s`;
  if (seconds < bounds[0]) return `< ${timeText(bounds[0], [])}`; // the lowest bucket tells no more
  if (seconds < 0.001) return `${Math.max(1, Math.round(seconds * 1e6))} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(2)} s`;
}

function rateText(rate) {
  if (rate === 0) return "0";
  return rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en");
}

function shareText(part, whole) {
  if (whole <= 0) return "–";
  const percent = (100 * part) / whole;
  return percent === 0 ? "0 %" : percent < 10 ? `${percent.toFixed(1)} %` : `${Math.round(percent)} %`;
}

function spanText(seconds) {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

const countText = (count) => count.toLocaleString("en");
const momentText = (iso) => new Date(iso).toLocaleString();

// ---------------------------------------------------------------- elements

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes the children of `parent` those of `items`, by key: what stays is not touched, so that focus stays as well. */
function arrange(parent, items, keyOf, create, update) {
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const key = String(keyOf(item));
    const child = present.get(key) || create(item);
    child.dataset.key = key;
    present.delete(key);
    update(child, item);
    return child;
  });
  for (const child of present.values()) child.remove();
  wanted.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] || null);
  });
}

/** A row whose first cell names it. Cells are [text, class]. */
function makeRow(numbers) {
  const row = make("tr");
  const head = make("th");
  head.scope = "row";
  head.append(make("bdi"), make("span", "", "detail"));
  row.append(head);
  for (const isNumber of numbers) row.append(make("td", "", isNumber ? "number" : ""));
  return row;
}

function fillRow(row, name, detail, cells) {
  setText(row.querySelector("bdi"), name);
  setText(row.querySelector(".detail"), detail);
  cells.forEach(([text, mood], i) => {
    const cell = row.children[i + 1];
    setText(cell, text);
    cell.classList.toggle("bad", mood === "bad");
    cell.classList.toggle("good", mood === "good");
  });
}

// ---------------------------------------------------------------- showing

function showState() {
  const state = byId("state");
  state.classList.toggle("lost", page.lostSince !== null);
  if (page.lostSince !== null) setText(state, `The gateway does not answer since ${page.lostSince.toLocaleTimeString()}; the numbers are from before`);
  else if (page.isPaused) setText(state, "Paused");
  else setText(state, page.status ? "Live, every 2 s" : "");
}

function showContent() {
  byId("login").hidden = true;
  byId("content").hidden = false;
  byId("pause").hidden = false;
  byId("leave").hidden = false;
  setText(byId("version"), page.status.version);
  showTroubles();
  showOverview();
  showRoutes();
  showWorkers();
  showHealth();
  showSnapshots();
  showPlugins();
}

function showTroubles() {
  const { status } = page;
  const texts = [];
  if (status.is_last_good) texts.push("The configuration could not be used at the start; the last good one serves.");
  if (status.last_error) for (const error of status.last_error.errors) texts.push(`A change was refused at ${momentText(status.last_error.time)}: ${error}`);
  for (const name of status.quarantined_plugins) texts.push(`Plugin ${name} is in quarantine: its routes answer 503 until its code or configuration changes.`);
  for (const text of status.quarantined) texts.push(`In quarantine: ${text}`);
  for (const worker of status.workers) if (worker.state !== "serving") texts.push(`Worker ${worker.index} is ${worker.state}.`);
  byId("troubles").hidden = texts.length === 0;
  const items = texts.map((text, i) => ({ text, key: i }));
  arrange(byId("trouble-list"), items, (item) => item.key, () => make("li"), (child, item) => setText(child, item.text));
}

function showOverview() {
  const { status } = page;
  const { now, then, seconds } = recent();
  const all = { requests: 0, server: 0, buckets: now.bounds.map(() => 0).concat(0) };
  for (const [key, route] of now.routes) {
    const one = measure(route, then.routes.get(key));
    all.requests += one.requests;
    all.server += one.server;
    one.buckets.forEach((count, i) => (all.buckets[i] += count));
  }
  const serving = status.workers.filter((worker) => worker.state === "serving").length;
  const tiles = [
    ["Requests/s", seconds > 0 ? rateText((now.requests - then.requests) / seconds) : "–"],
    ["Answered 5xx", shareText(all.server, all.requests), all.server > 0],
    ["p50", timeText(quantile(all.buckets, now.bounds, 0.5), now.bounds)],
    ["p99", timeText(quantile(all.buckets, now.bounds, 0.99), now.bounds)],
    ["Connections", countText(status.workers.reduce((sum, worker) => sum + worker.connections, 0))],
    ["Workers", `${serving} of ${status.workers.length}`, serving < status.workers.length],
    ["Snapshot", String(status.snapshot.number)],
    ["Up", spanText(status.uptime_s)],
  ];
  const create = () => {
    const tile = make("div");
    tile.append(make("dt"), make("dd"));
    return tile;
  };
  arrange(byId("overview"), tiles, ([name]) => name, create, (tile, [name, text, isBad]) => {
    setText(tile.children[0], name);
    setText(tile.children[1], text);
    tile.children[1].classList.toggle("bad", Boolean(isBad));
  });
}

function listRoutes() {
  const { now, then } = recent();
  const rows = [];
  for (const [key, route] of now.routes) {
    const about = page.names.get(route.id) || { name: "", match: "" };
    const name = route.id === null ? "(routes beyond the limit of series)" : route.id === "" ? "(no route)" : about.name || route.id;
    rows.push({ key, name, id: route.id || "", match: about.match, ...measure(route, then.routes.get(key)) });
  }
  for (const [id, about] of page.names) {
    if (now.routes.has(routeKey(id))) continue;
    rows.push({ key: routeKey(id), name: about.name || id, id, match: about.match, requests: 0, client: 0, server: 0, total: 0, buckets: [] });
  }
  return rows.sort((a, b) => b.requests - a.requests || b.total - a.total || a.name.localeCompare(b.name));
}

function showRoutes() {
  if (page.samples.length === 0) return;
  const { now, seconds } = recent();
  const wanted = byId("filter").value.trim().toLowerCase();
  const all = listRoutes();
  const found = all.filter((row) => `${row.name} ${row.id} ${row.match}`.toLowerCase().includes(wanted));
  const shown = found.slice(0, SHOWN_ROUTES);
  arrange(byId("routes"), shown, (row) => row.key, () => makeRow([1, 1, 1, 1, 1, 1]), (child, row) => {
    const detail = row.name === row.id || row.id === "" ? row.match : `${row.id} · ${row.match}`;
    fillRow(child, row.name, detail, [
      [seconds > 0 ? rateText(row.requests / seconds) : "–"],
      [shareText(row.client, row.requests)],
      [shareText(row.server, row.requests), row.server > 0 ? "bad" : ""],
      [timeText(quantile(row.buckets, now.bounds, 0.5), now.bounds)],
      [timeText(quantile(row.buckets, now.bounds, 0.99), now.bounds)],
      [countText(row.total)],
    ]);
  });
  const cut = found.length > shown.length ? `The ${shown.length} busiest of ${countText(found.length)}. ` : "";
  const unseen = now.count > now.routes.size ? `Only the ${now.routes.size} routes with the most requests are measured here; the metrics page has all. ` : "";
  const nothing = all.length === 0 ? "There are no routes." : found.length === 0 ? "No route has this text." : "";
  setText(byId("routes-note"), nothing || `${cut}${unseen}Rates and times are of the last ${Math.round(seconds)} s.`);
}

function showWorkers() {
  arrange(byId("workers"), page.status.workers, (worker) => worker.index, () => makeRow([0, 1, 1, 1, 1, 0]), (row, worker) => {
    fillRow(row, String(worker.index), worker.pid ? `pid ${worker.pid}` : "", [
      [worker.state, worker.state === "serving" ? "good" : "bad"],
      [countText(worker.connections)],
      [countText(worker.requests)],
      [String(worker.snapshot)],
      [countText(worker.restarts), worker.restarts > 0 ? "bad" : ""],
      [worker.last_death || "–"],
    ]);
  });
}

function showHealth() {
  const { checked, left_alone: ill, nodes } = page.status.health;
  byId("health").hidden = checked === 0;
  byId("health-table").hidden = ill === 0;
  const more = ill > nodes.length ? ` ${nodes.length} of them are shown.` : "";
  setText(byId("health-note"), `${countText(checked)} checked, ${ill === 0 ? "all are well" : `${countText(ill)} left alone`}.${more}`);
  arrange(byId("nodes"), nodes, (node) => `${node.upstream} ${node.node}`, () => makeRow([0, 0, 0]), (row, node) => {
    fillRow(row, node.node, node.upstream, [[node.status, "bad"], [node.since ? momentText(node.since) : "–"], [node.reason]]);
  });
}

function showPlugins() {
  const { now, then, seconds } = recent();
  const ill = new Set(page.status.quarantined_plugins);
  const rows = [...now.plugins.values()];
  for (const name of ill) if (!now.plugins.has(name)) rows.push({ name, seconds: 0, errors: 0 });
  rows.sort((a, b) => b.seconds - a.seconds || String(a.name).localeCompare(String(b.name)));
  arrange(byId("plugins"), rows, (plugin) => plugin.name, () => makeRow([1, 1, 1, 0]), (row, plugin) => {
    const before = then.plugins.get(plugin.name) || { seconds: 0 };
    const isIll = ill.has(plugin.name);
    fillRow(row, plugin.name === null ? "(others)" : plugin.name, "", [
      [seconds > 0 ? shareText(plugin.seconds - before.seconds, seconds) : "–"],
      [timeText(plugin.seconds, [])],
      [countText(plugin.errors), plugin.errors > 0 ? "bad" : ""],
      [isIll ? "in quarantine" : "runs", isIll ? "bad" : "good"],
    ]);
  });
  setText(byId("plugins-note"), rows.length ? "CPU is sampled; 100 % is one core." : "No plugin has cost anything yet.");
}

// ---------------------------------------------------------------- snapshots

function showSnapshots() {
  const isViewer = page.status.caller.role === "viewer";
  setText(byId("rollback-note"), isViewer ? `The key is ${page.status.caller.name}'s, a viewer: rolling back needs the key of an admin.` : "");
  const list = [...page.snapshots.snapshots].reverse();
  const oldest = list.length ? list[list.length - 1].number : 0;
  arrange(byId("snapshots"), list, (snapshot) => snapshot.number, makeSnapshot, (item, snapshot) => {
    const isCurrent = snapshot.number === page.snapshots.current;
    item.querySelector(".badge").hidden = !isCurrent;
    const [compare, back] = item.querySelectorAll("button");
    compare.hidden = snapshot.number === oldest;
    back.hidden = isCurrent;
    back.disabled = isViewer;
  });
}

function makeSnapshot(snapshot) {
  const item = make("li");
  const about = make("div");
  const changes = make("div", "", "changes");
  changes.id = `changes-${snapshot.number}`;
  changes.hidden = true;
  const badge = make("span", "serves", "badge");
  about.append(make("strong", `${snapshot.number} `), make("bdi", snapshot.reason), badge);
  about.append(make("span", `${momentText(snapshot.time)} · ${snapshot.hash.slice(0, 12)}`, "detail"));
  const actions = make("div", undefined, "actions");
  const compare = make("button", "Changes");
  compare.type = "button";
  compare.setAttribute("aria-label", `Changes of snapshot ${snapshot.number}`);
  compare.setAttribute("aria-expanded", "false");
  compare.setAttribute("aria-controls", changes.id);
  compare.addEventListener("click", () => toggleChanges(compare, changes, snapshot));
  const back = make("button", "Roll back");
  back.type = "button";
  back.setAttribute("aria-label", `Roll back to snapshot ${snapshot.number}`);
  back.addEventListener("click", () => openConfirm(snapshot));
  actions.append(compare, back);
  item.append(about, actions, changes);
  return item;
}

async function toggleChanges(button, place, snapshot) {
  place.hidden = !place.hidden;
  button.setAttribute("aria-expanded", String(!place.hidden));
  if (place.hidden) return;
  const key = `${snapshot.number} ${snapshot.hash}`;
  try {
    if (!page.comparisons.has(key)) {
      place.replaceChildren(make("p", "Comparing…", "quiet"));
      page.comparisons.set(key, await ask(`/moongate/admin/snapshots/${snapshot.number}/diff`));
    }
    place.replaceChildren(...describeChanges(page.comparisons.get(key)));
  } catch (error) {
    place.replaceChildren(make("p", error instanceof Refusal ? error.message : "The gateway does not answer; try again.", "error"));
  }
}

function describeChanges(comparison) {
  const signs = { added: "+", removed: "−", changed: "~" };
  const list = make("ul");
  for (const change of comparison.changes) {
    const item = make("li");
    item.append(make("span", `${signs[change.change]} ${change.name} `, "code"), make("span", change.change, "quiet"));
    const fields = make("ul");
    for (const field of change.fields) fields.append(make("li", `${field.field || "all"}: ${field.before ?? "nothing"} → ${field.after ?? "nothing"}`, "code"));
    if (change.field_count > change.fields.length) fields.append(make("li", `and ${change.field_count - change.fields.length} more fields`, "quiet"));
    if (fields.children.length) item.append(fields);
    list.append(item);
  }
  const more = comparison.change_count - comparison.changes.length;
  if (more > 0) list.append(make("li", `and ${more} more`, "quiet"));
  const title = comparison.change_count === 0 ? `The same as snapshot ${comparison.before}` : `Against snapshot ${comparison.before}:`;
  return comparison.change_count === 0 ? [make("p", title, "quiet")] : [make("p", title, "quiet"), list];
}

function openConfirm(snapshot) {
  page.rollbackTo = snapshot.number;
  setText(byId("confirm-text"), `Every worker will serve snapshot ${snapshot.number} (${snapshot.reason}, ${momentText(snapshot.time)}) in place of ${page.snapshots.current}, with what the Admin API had made by then. It stays until the files or the API change something.`);
  setText(byId("confirm-error"), "");
  byId("confirm").showModal();
  byId("confirm-no").focus();
}

async function rollBack() {
  const yes = byId("confirm-yes");
  if (yes.disabled) return;
  yes.disabled = true;
  setText(byId("confirm-error"), "");
  try {
    await ask("/moongate/admin/rollback", { number: page.rollbackTo });
    byId("confirm").close();
    refresh();
  } catch (error) {
    setText(byId("confirm-error"), error instanceof Refusal ? error.message : "The gateway does not answer; look at its state before you try again.");
  } finally {
    yes.disabled = false;
  }
}

// ---------------------------------------------------------------- the key, and what is pressed

function forget() {
  clearTimeout(page.timer);
  page.generation++;
  page.key = "";
  page.status = null;
  page.lostSince = null;
  page.samples = [];
  page.names = new Map();
  page.namesOf = null;
  page.comparisons.clear();
  sessionStorage.removeItem(KEY_NAME);
}

function askForKey(why) {
  forget();
  if (byId("confirm").open) byId("confirm").close();
  for (const id of ["content", "pause", "leave"]) byId(id).hidden = true;
  for (const id of ["overview", "routes", "workers", "snapshots", "plugins", "trouble-list"]) byId(id).replaceChildren();
  byId("login").hidden = false;
  setText(byId("login-error"), why);
  setText(byId("version"), "");
  showState();
  byId("key").focus();
}

function takeKey(event) {
  event.preventDefault();
  const key = byId("key").value.trim();
  byId("key").value = "";
  // Others cannot be sent in a header.
  if (!/^[\x21-\x7e]+$/.test(key)) return askForKey("This cannot be a key: a key has no spaces and no letters beyond ASCII.");
  setText(byId("login-error"), "");
  page.key = key;
  sessionStorage.setItem(KEY_NAME, key);
  refresh();
}

function togglePause() {
  page.isPaused = !page.isPaused;
  byId("pause").setAttribute("aria-pressed", String(page.isPaused));
  showState();
  if (page.isPaused) clearTimeout(page.timer);
  else refresh();
}

function onVisibility() {
  if (document.hidden) clearTimeout(page.timer);
  else if (page.key && !page.isPaused) refresh();
}

byId("login").addEventListener("submit", takeKey);
byId("leave").addEventListener("click", () => askForKey(""));
byId("pause").addEventListener("click", togglePause);
byId("filter").addEventListener("input", showRoutes);
byId("confirm-no").addEventListener("click", () => byId("confirm").close());
byId("confirm-yes").addEventListener("click", rollBack);
document.addEventListener("visibilitychange", onVisibility);
if (page.key) refresh();
else askForKey("");
