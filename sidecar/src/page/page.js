// The page: asks how the site is every few seconds, and shows it.

const POLL = 3000;
const POLL_WHILE_WORKING = 1500;
const PATIENCE = 10000;

let last = null;
let timer = null;
let failures = 0;
// When Frappe was last asked to look at the session itself.
let asked = 0;
// What was seen of queue and journal while this page is open.
const seen = { jobs: [], pending: [] };

const MINUTES = 15;
const charts = {
  reads: new Chart(byId("charts"), { title: "Reads, latency", unit: "ms", minutes: MINUTES, limit: { at: 200, label: "alert: p99 over 200" } }),
  submits: new Chart(byId("charts"), { title: "Submits, latency", unit: "ms", minutes: MINUTES, limit: { at: 1000, label: "alert: p99 over 1000" } }),
  rate: new Chart(byId("charts"), { title: "Throughput", unit: "requests per second", suffix: "/s", minutes: MINUTES }),
  backlog: new Chart(byId("charts"), { title: "Queue and journal", unit: "jobs, rows", suffix: "", minutes: MINUTES, limit: { at: 5000, label: "alert: over 5000 jobs" } }),
};

const nobodyListens = () => Boolean(last && last.long && last.long.workers === 0);

// Asks again at once.
function soon() {
  clearTimeout(timer);
  timer = setTimeout(poll, 200);
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const answer = await fetch("status.json", {
      credentials: "same-origin",
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (!answer.ok) await refused(answer);
    else show(await answer.json());
  } catch {
    lost("No answer; trying again");
  }
  timer = setTimeout(poll, last && working(last) ? POLL_WHILE_WORKING : POLL);
}

// 421, or what Frappe makes of it: only Frappe can judge this login now. It does so for any
// request of its own, and extends the session by that.
async function refused(answer) {
  if ((answer.status === 421 || answer.status === 404) && Date.now() - asked > 30000) {
    asked = Date.now();
    const known = await fetch("/api/method/frappe.auth.get_logged_user", { credentials: "same-origin" });
    if (known.ok) return;
  }
  lost(answer.status === 401 || answer.status === 403 ? "Logged out: log in again" : `Not served (${answer.status}); reload this page to read why`);
}

function lost(text) {
  failures += 1;
  // One answer that is late is no news.
  if (failures < 2) return;
  setData(byId("pulse"), "state", "lost");
  setText(byId("pulse-text"), text);
}

function show(status) {
  failures = 0;
  last = status;
  csrfToken = status.csrf_token;
  setData(byId("pulse"), "state", "live");
  setText(byId("pulse-text"), `Live · ${new Date(status.now_ms).toLocaleTimeString()}`);
  setText(byId("site"), status.site);
  setText(byId("version"), `· memora-srs ${status.version}`);
  document.title = `${status.site} · Memora SRS`;
  showHealth(problems(status));
  showTiles(status);
  showCharts(status);
  showWork(status);
}

const operation = (status, name) => status.traffic.find((o) => o.name === name);

// Requests that failed since this page was opened.
const failedBefore = {};
function failedSince({ name, failed }) {
  failedBefore[name] = Math.min(failedBefore[name] ?? failed, failed);
  return failed - failedBefore[name];
}

function working({ overview }) {
  return Boolean(overview && overview.seasons.some((s) => (s.rebuild && s.rebuild.running) || (s.moving && s.moving.progress.running)));
}

// What is wrong, each with what to do: [level, text].
function problems(status) {
  const found = [];
  const bad = (text) => found.push(["bad", text]);
  const warn = (text) => found.push(["warn", text]);
  const { safe_mode: safe, journal, overview, cache } = status;
  if (safe && safe.active) {
    bad(`Safe Mode${safe.since ? ` since ${stamp(safe.since)}` : ""}: the Redis with the schedules is away. Students read from the table, ${count(safe.global_limit)} reads a minute in all. Start Redis; Safe Mode ends by itself.`);
  } else if (status.breaker === "recovering") {
    warn("Redis answers again; what it missed is being made good.");
  }
  if (!journal) bad("The journal cannot be read: MariaDB does not answer. Submits go to queue and spool meanwhile.");
  if (typeof status.queue_jobs !== "number") bad("The queue's Redis does not answer. Submits are applied later, from the journal.");
  if (journal && journal.failed) bad(`${count(journal.failed)} accepted submits could not be applied and wait for you: SRS Journal Entry in Desk, or memora-srs journal list --state failed.`);
  if (journal && journal.oldest_s > 300) bad(`The oldest accepted submit waits for ${seconds(journal.oldest_s)}: is a worker running (memora-srs worker, or bench's)?`);
  if (status.queue_jobs > 5000) bad(`${count(status.queue_jobs)} jobs wait for submits' workers: start more, or find out why they are slow.`);
  for (const [name, what, limit] of [["reads", "Reads", 200], ["submits", "Submits", 1000]]) {
    const p99 = 1000 * operation(status, name).last_minute.p99;
    if (p99 > limit) warn(`${what}: the slowest of a hundred takes ${Math.round(p99)} ms (over ${limit} ms).`);
  }
  if (status.long && status.long.workers === 0) warn(`Nobody listens to Frappe's queue “long”${status.long.jobs ? `, where ${count(status.long.jobs)} jobs wait` : ""}: rebuilds and large archives wait for bench's workers.`);
  for (const [role, what] of [["cache", "with the schedules"], ["sessions", "with the sessions"], ["queue", "of the queue"]]) {
    const memory = memoryOf(status, role);
    const used = memory && memory.used_bytes / memory.limit_bytes;
    if (used > 0.8) warn(`The Redis ${what} uses ${percent(used)} of its memory.`);
  }
  const report = overview && overview.reconciliations.at(-1);
  if (report && report.alert_triggered) warn(`The last reconciliation found ${percent(report.discrepancy_rate)} of the compared items wrong, and corrected them.`);
  for (const season of (overview && overview.seasons) || []) {
    if (season.moving && season.moving.progress.failure) bad(`${season.name}: ${season.moving.progress.failure}`);
    if (season.is_active && !season.partition) bad(`${season.name} has no partition: bench migrate, or memora-srs partition create.`);
  }
  if (cache && !cache.redis_connected && !(safe && safe.active)) bad("The Redis with the schedules does not answer.");
  return found;
}

function showHealth(found) {
  const level = found.some(([l]) => l === "bad") ? "bad" : found.length ? "warn" : "good";
  setData(byId("health"), "level", level);
  setText(byId("health-title"), { good: "All is well", warn: "Worth a look", bad: "Needs you" }[level]);
  const list = byId("health-list");
  const texts = found.map(([, text]) => text);
  if ([...list.children].map((li) => li.textContent).join("\n") !== texts.join("\n")) {
    list.replaceChildren(...texts.map((text) => element("li", { text })));
  }
}

function memoryOf(status, role) {
  const server = (status.redis || []).find((redis) => redis.role === role);
  return server && server.memory;
}

const percent = (rate) => `${+(rate * 100).toPrecision(2)} %`;
const tileNodes = new Map();

// A number with its unit and a line below; made once, changed in place.
function tile(name, value, unit, detail, level) {
  let nodes = tileNodes.get(name);
  if (!nodes) {
    nodes = { number: element("span"), unit: element("small"), detail: element("dd", { class: "detail" }) };
    nodes.box = element("div", { class: "tile" }, [
      element("dt", { text: name }),
      element("dd", { class: "value" }, [nodes.number, nodes.unit]),
      nodes.detail,
    ]);
    byId("tiles").append(nodes.box);
    tileNodes.set(name, nodes);
  }
  setText(nodes.number, value);
  setText(nodes.unit, unit);
  setText(nodes.detail, detail);
  setData(nodes.box, "level", level);
}

function showTiles(status) {
  const { safe_mode: safe, journal, cache } = status;
  for (const [name, label, limit] of [["reads", "Reads", 200], ["submits", "Submits", 1000]]) {
    const { per_second, p50, p95, p99 } = operation(status, name).last_minute;
    const failed = failedSince(operation(status, name));
    const failing = failed ? ` · ${count(failed)} failed since this page was opened` : "";
    tile(`${label}, last minute`, rate(per_second), "/s", `${percentiles(p50, p95, p99)}${failing}`, 1000 * p99 > limit || failing ? "warn" : undefined);
  }
  const state = safe ? (safe.active ? "on" : "off") : "?";
  tile("Safe Mode", state, "", safe && safe.active ? `${count(safe.requests)} of ${count(safe.global_limit)} reads this minute` : `breaker ${status.breaker || "?"}`, safe && safe.active ? "bad" : "good");
  const jobs = status.queue_jobs;
  const known = typeof jobs === "number";
  const long = status.long;
  tile("Queue", known ? count(jobs) : "?", "jobs", long ? `“long”: ${count(long.jobs)} jobs, ${count(long.workers)} ${long.workers === 1 ? "worker" : "workers"}` : "“long”: no answer", !known || jobs > 5000 ? "bad" : undefined);
  tile("Journal", journal ? count(journal.pending) : "?", "on the way", journal ? `oldest ${journal.pending ? seconds(journal.oldest_s) : "–"} · ${count(journal.failed)} failed` : "MariaDB does not answer", !journal || journal.failed || journal.oldest_s > 300 ? "bad" : undefined);
  const memory = memoryOf(status, "cache");
  const full = memory ? `Redis uses ${bytes(memory.used_bytes)} of ${bytes(memory.limit_bytes)}` : "Redis answers";
  const at_least = cache && !cache.is_complete ? "at least " : "";
  tile("Cache", cache && cache.redis_connected ? `${at_least}${count(cache.total_keys)}` : "?", "schedules", cache && cache.redis_connected ? full : "Redis does not answer", cache && cache.redis_connected ? undefined : "bad");
}

const percentiles = (p50, p95, p99) =>
  p99 === null ? "no requests" : `p50 ${plain(p50)} · p95 ${plain(p95)} · p99 ${plain(p99)} ms`;

const plain = (s) => (s < 0.01 ? +(1000 * s).toFixed(1) : Math.round(1000 * s));

const rate = (perSecond) => (perSecond >= 10 ? count(Math.round(perSecond)) : `${+perSecond.toFixed(1)}`);

function showCharts(status) {
  const now = status.now_ms;
  const line = (name, label, key, factor) => ({
    label,
    points: operation(status, name).past.map((p) => [now - 1000 * p.ago_s, p[key] === null ? null : factor * p[key]]),
  });
  for (const name of ["reads", "submits"]) {
    charts[name].draw([line(name, "p50", "p50", 1000), line(name, "p95", "p95", 1000), line(name, "p99", "p99", 1000)], now);
  }
  charts.rate.draw([line("reads", "reads", "per_second", 1), line("submits", "submits", "per_second", 1)], now);
  remember(seen.jobs, now, status.queue_jobs);
  remember(seen.pending, now, status.journal ? status.journal.pending : null);
  charts.backlog.draw([{ label: "jobs in the queue", points: seen.jobs }, { label: "rows in the journal", points: seen.pending }], now);
}

function remember(points, now, value) {
  points.push([now, value ?? null]);
  while (points.length && points[0][0] < now - MINUTES * 60000) points.shift();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
poll();
