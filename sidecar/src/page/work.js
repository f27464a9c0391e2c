// Seasons and the long work on them: rows that are made once and changed in place, so that who
// stands on a button stays there.

const seasonRows = new Map();

function showWork({ overview, cache }) {
  showMore(overview);
  // What was seen before stays.
  if (!overview) return;
  const { seasons } = overview;
  const body = byId("seasons").tBodies[0];
  const names = new Set(seasons.map((season) => season.name));
  for (const [name, row] of seasonRows) {
    if (!names.has(name)) {
      row.node.remove();
      seasonRows.delete(name);
    }
  }
  const keyboard = document.activeElement;
  seasons.forEach((season, i) => {
    let row = seasonRows.get(season.name);
    if (!row) {
      row = seasonRow(season.name);
      seasonRows.set(season.name, row);
    }
    if (body.children[i] !== row.node) body.insertBefore(row.node, body.children[i] || null);
    row.season = season;
    showSeason(row, season, cache);
  });
  // A row that was moved has lost it.
  if (keyboard.isConnected && keyboard !== document.activeElement) keyboard.focus({ preventScroll: true });
  byId("no-seasons").hidden = seasons.length > 0;
  showRuns(overview);
}

// What the table does not show.
function showMore(overview) {
  const said = [];
  if (!overview) {
    said.push(seasonRows.size ? "MariaDB does not answer: seasons and runs are as last seen." : "MariaDB does not answer: its seasons are not known.");
  } else {
    const { more_seasons: more, seasons, other_partitions: others } = overview;
    if (more) said.push(`Only ${count(seasons.length)} seasons are shown; Desk lists all of them, and memora-srs partition list their partitions.`);
    const named = others.slice(0, 20).map((p) => `${p.season ?? p.partition_name} (${count(p.rows)} rows, ${bytes(p.data_bytes + p.index_bytes)})`);
    if (others.length > named.length) named.push(`${count(others.length - named.length)} more`);
    if (named.length) said.push(`Partitions of no season ${more ? "shown here" : "that there is"}: ${named.join(", ")}.`);
  }
  setText(byId("seasons-more"), said.join(" "));
}

function seasonRow(name) {
  const badges = element("span");
  const [rows, size, cached] = ["Rows", "Size", "Cached schedules"].map((label) => element("td", { class: "number", "data-label": label }));
  const bar = element("progress", { "aria-label": `Progress of the work on ${name}` });
  const text = element("p");
  const [rebuild, archive] = ["Rebuild…", "Archive…"].map((label) => element("button", { type: "button", text: label }));
  rebuild.setAttribute("aria-label", `Rebuild the cache of ${name}`);
  archive.setAttribute("aria-label", `Archive ${name}`);
  const node = element("tr", {}, [
    element("th", { scope: "row" }, [name, badges]),
    rows,
    size,
    cached,
    element("td", { class: "work", "data-label": "Work" }, [text, bar]),
    element("td", { class: "actions" }, [rebuild, archive]),
  ]);
  const row = { node, badges, rows, size, cached, cell: text.parentElement, bar, text, rebuild, archive, season: null };
  onUse(rebuild, () => askRebuild(row.season));
  onUse(archive, () => askArchive(row.season));
  return row;
}

function showSeason(row, season, cache) {
  const badges = [
    season.is_active && ["active", "good"],
    season.archived_on && [`archived ${season.archived_on.slice(0, 10)}`],
    !season.enable_redis && ["not cached", "warn"],
    season.auto_archive && ["archives itself"],
  ].filter(Boolean);
  if (row.badges.textContent !== badges.map(([text]) => text).join("")) {
    row.badges.replaceChildren(...badges.map(([text, level]) => {
      const badge = element("span", { class: "badge", text });
      setData(badge, "level", level);
      return badge;
    }));
  }
  const { partition } = season;
  setText(row.rows, partition ? count(partition.rows) : "–");
  setText(row.size, partition ? bytes(partition.data_bytes + partition.index_bytes) : "–");
  setText(row.cached, cache && cache.redis_connected ? count(cache.keys_by_season[season.name] || 0) : "–");
  const { text, bad, done, total } = work(season);
  setText(row.text, text);
  row.text.classList.toggle("bad", Boolean(bad));
  row.cell.classList.toggle("idle", text === "–");
  row.bar.hidden = done === undefined;
  if (total) {
    row.bar.max = total;
    row.bar.value = Math.min(done, total);
  } else {
    row.bar.removeAttribute("value");
  }
  const running = Boolean(season.rebuild && season.rebuild.running);
  allow(row.rebuild, !running && season.enable_redis && !season.archived_on && !season.moving);
  const moving = Boolean(season.moving && season.moving.progress.running);
  allow(row.archive, !season.is_active && !moving && !running && (!season.archived_on || Boolean(season.moving)));
}

// What is done on a season, or was last; with `done` while it goes on.
function work({ moving, rebuild, reconciling }) {
  if (moving) {
    const { phase, done, total, running, failure } = moving.progress;
    const what = `${moving.state === "restoring" ? "Restoring" : "Archiving"}: ${phase}`;
    if (failure) return { text: `${what}. ${failure}`, bad: true };
    const rows = total ? `, ${count(done)} of ${count(total)} rows` : "";
    if (running) return { text: `${what}${rows}`, done, total };
    return { text: `${what}${rows}; stopped. Archive again, and it goes on`, bad: true };
  }
  if (rebuild && rebuild.running) {
    const { done, students } = rebuild;
    return { text: `Rebuilding: ${count(done)}${students ? ` of ${count(students)}` : ""} students`, done, total: students };
  }
  if (reconciling) return { text: "Reconciling", done: 0 };
  if (!rebuild) return { text: "–" };
  const when = stamp(rebuild.noted_at);
  switch (rebuild.state) {
    case "completed":
      return { text: `Rebuilt ${when}: ${count(rebuild.done)} students in ${seconds(rebuild.seconds)}` };
    case "incomplete":
      return { text: `Rebuilt ${when}, but Redis lost ${count(rebuild.lost)} schedules again: it is too small, or was emptied`, bad: true };
    case "failed":
      return { text: `Rebuild failed ${when}: ${rebuild.error || "unknown"}`, bad: true };
    default:
      return { text: `Rebuild stopped ${when} at ${count(rebuild.done)} students. Rebuild again, and it goes on`, bad: true };
  }
}

let runsShown = "";

function showRuns(overview) {
  const { reconciliations, archives, reconciling } = overview;
  allow(byId("reconcile"), !reconciling);
  setText(byId("reconcile"), reconciling ? "Reconciling…" : "Reconcile…");
  // Nobody stands in these tables: they are made anew, when they differ.
  const shown = JSON.stringify([reconciliations, archives]);
  if (shown === runsShown) return;
  runsShown = shown;
  const cell = (label, text, names) => element("td", { "data-label": label, class: names || "", text });
  byId("reconciliations").tBodies[0].replaceChildren(
    ...reconciliations.slice(-8).reverse().map((run) => element("tr", {}, [
      cell("Began", stamp(run.started_at), "stamp"),
      cell("Season", run.student || run.season || "all"),
      cell("Compared", count(run.compared), "number"),
      cell("Wrong", `${count(run.discrepancies_found)} (${percent(run.discrepancy_rate)})`, run.alert_triggered ? "number bad" : "number"),
      cell("Corrected", run.dry_run ? "dry run" : count(run.auto_corrected), "number"),
      cell("Took", seconds(run.seconds), "number"),
    ])),
  );
  byId("archives").tBodies[0].replaceChildren(
    ...archives.slice(-8).reverse().map((run) => element("tr", {}, [
      element("th", { scope: "row", text: run.season }),
      cell("Rows", count(run.records_archived), "number"),
      cell("Method", run.method),
      cell("Took", seconds(run.seconds), "number"),
    ])),
  );
  byId("no-reconciliations").hidden = reconciliations.length > 0;
  byId("no-archives").hidden = archives.length > 0;
}

onUse(byId("reconcile"), () => {
  const seasons = last && last.overview ? last.overview.seasons : [];
  askReconcile(seasons.filter((s) => !s.archived_on && !s.moving).map((s) => s.name));
});
