// What is started here: each is confirmed first, and goes through a method of `memora.api.srs`,
// the same that Desk calls.

let csrfToken = null;

// What Frappe says in words, of an answer that is an error.
function reason(body, status) {
  try {
    const [first] = JSON.parse(body._server_messages);
    const text = JSON.parse(first).message;
    if (text) return new DOMParser().parseFromString(text, "text/html").body.textContent;
  } catch {
    // No sentence for people.
  }
  if (body && body.exc_type === "CSRFTokenError") return "The session has changed: reload this page";
  if (status === 401 || status === 403) return "You are not logged in as a System Manager any more";
  return `The server answered ${status}${body && body.exc_type ? ` (${body.exc_type})` : ""}`;
}

async function call(method, args) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (csrfToken) headers["X-Frappe-CSRF-Token"] = csrfToken;
  const answer = await fetch(`/api/method/memora.api.srs.${method}`, {
    method: "POST",
    credentials: "same-origin",
    headers,
    body: JSON.stringify(args),
  });
  let body = null;
  try {
    body = await answer.json();
  } catch {
    // A page of a server in between.
  }
  if (!answer.ok) throw new Error(reason(body, answer.status));
  return body.message;
}

// Which opening of the dialog is shown: there is one dialog, and what was asked for in an earlier
// opening may end while a later one is open. That is not its to close, nor to write into.
let opening = 0;

// A dialog with fields. How what was asked for ends is said in it, or as a message once it was left.
// fields: {id, label, hint, input: {…attributes} or options: [[value, label], …]}. `check(values)`
// says what is missing, `act(values)` does it and may throw.
function ask({ title, text, go, danger, fields, check, act }) {
  const mine = ++opening;
  const dialog = byId("dialog");
  const goButton = byId("dialog-go");
  const before = document.activeElement;
  setText(byId("dialog-title"), title);
  setText(byId("dialog-text"), text);
  setText(byId("dialog-error"), "");
  setText(goButton, go);
  goButton.classList.toggle("danger", Boolean(danger));
  const inputs = new Map();
  const parts = (fields || []).map(({ id, label, hint, input, options }) => {
    const control = element(options ? "select" : "input", { id, ...(input || {}) });
    for (const [value, name] of options || []) control.append(element("option", { value, text: name }));
    inputs.set(id, control);
    const part = element("div", { class: "field" }, [element("label", { for: id, text: label }), control]);
    if (hint) {
      part.append(element("span", { class: "hint", id: `${id}-hint`, text: hint }));
      control.setAttribute("aria-describedby", `${id}-hint`);
    }
    return part;
  });
  byId("dialog-fields").replaceChildren(...parts);
  const values = () => Object.fromEntries([...inputs].map(([id, control]) => [id, control.value]));
  let busy = false;
  const isShown = () => mine === opening && dialog.open;
  const enable = () => {
    goButton.disabled = busy || Boolean(check && check(values()));
  };
  const submit = async (event) => {
    event.preventDefault();
    if (busy || goButton.disabled) return;
    busy = true;
    enable();
    setText(byId("dialog-error"), "");
    setText(goButton, "Working…");
    try {
      await act(values());
      if (isShown()) dialog.close();
    } catch (error) {
      const why = error.message || String(error);
      if (isShown()) setText(byId("dialog-error"), why);
      else say("bad", `${title}: ${why}`);
    } finally {
      busy = false;
      if (isShown()) {
        setText(goButton, go);
        enable();
      }
    }
  };
  const form = byId("dialog-form");
  form.onsubmit = submit;
  form.oninput = enable;
  byId("dialog-cancel").onclick = () => dialog.close();
  dialog.onclose = () => {
    if (before && before.isConnected) before.focus();
  };
  enable();
  dialog.showModal();
  const first = inputs.values().next().value;
  (first || byId("dialog-cancel")).focus();
}

function askRebuild(season) {
  ask({
    title: `Rebuild the cache of ${season.name}`,
    text: "Fills the schedules of all students of this season from the table. Students read and submit meanwhile. A background job does it, on Frappe's queue “long”.",
    go: "Rebuild",
    act: async () => {
      const job = await call("rebuild_season_cache", { season: season.name });
      if (job.status === "started") {
        const waits = nobodyListens() ? " Nobody listens to the queue “long” now: it waits for a worker." : "";
        say("good", `Rebuild of ${season.name} queued: about ${count(job.estimated_records)} questions.${waits}`);
      } else {
        say("good", `A rebuild of ${season.name} is queued or under way already.`);
      }
      soon();
    },
  });
}

function askArchive(season) {
  ask({
    title: `Archive ${season.name}`,
    text: "Moves all rows of this season into the archive and drops its cached schedules. From the first step on, students' reads of it are refused. The command line can bring it back (memora-srs archive --restore).",
    go: "Archive",
    danger: true,
    fields: [
      {
        id: "archive-name",
        label: "Type the season's name to confirm",
        hint: season.name,
        input: { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" },
      },
    ],
    check: (values) => (values["archive-name"] === season.name ? "" : "the name"),
    act: async () => {
      const done = await call("archive_season", { season: season.name, confirm: 1 });
      say(
        "good",
        done.status === "started"
          ? `Archiving of ${season.name} queued as a background job.`
          : `${season.name} is archived: ${count(done.records_archived)} rows, ${count(done.cache_keys_deleted)} cached schedules dropped.`,
      );
      soon();
    },
  });
}

function askReconcile(names) {
  ask({
    title: "Reconcile cache and table",
    text: "Compares random cached questions with the table, and corrects the cache where they differ. The table is not changed.",
    go: "Reconcile",
    fields: [
      { id: "reconcile-season", label: "Season", options: [["", "All seasons"], ...names.map((name) => [name, name])] },
      {
        id: "reconcile-size",
        label: "Questions to compare",
        hint: "100 to 100,000",
        input: { type: "number", min: "100", max: "100000", step: "1", value: "10000", inputmode: "numeric" },
      },
    ],
    check: ({ "reconcile-size": size }) => (/^\d+$/.test(size) && +size >= 100 && +size <= 100000 ? "" : "the size"),
    act: async (values) => {
      const args = { sample_size: +values["reconcile-size"] };
      if (values["reconcile-season"]) args.season = values["reconcile-season"];
      const report = await call("trigger_reconciliation", args);
      say(
        report.alert_triggered ? "bad" : "good",
        `${count(report.compared)} compared, ${count(report.discrepancies_found)} wrong, ${count(report.auto_corrected)} corrected.`,
      );
      soon();
    },
  });
}
