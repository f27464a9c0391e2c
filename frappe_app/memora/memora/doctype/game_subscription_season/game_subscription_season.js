// A season's form: what stands behind it, Rebuild Cache, Reconcile, Archive and how far that is, and
// warnings.

// Progress of a rebuild: {season, done, total} in students, with status "completed", "incomplete" (both
// with report) or "failed" (and error) at the end.
const REBUILD_EVENT = "cache_rebuild";

// Milliseconds of silence after which the form asks how far a rebuild is. Desk may hear nothing: socketio
// may be away, and it loses a window that still logs in while the site's last other one leaves, as on a
// reload.
const SILENCE = 2000;

// Progress of archiving and restoring, whoever began it: {season, phase, done, total} in rows, with status
// "completed" (and report) or "failed" (and error) at the end.
const ARCHIVE_EVENT = "season_archive";

frappe.ui.form.on("Game Subscription Season", {
	refresh(frm) {
		warn_of_auto_archive(frm);
		frm.set_df_property("section_break_infrastructure", "hidden", frm.is_new());
		if (frm.is_new()) return;
		show_infrastructure(frm);
		listen(frm, ARCHIVE_EVENT, show_archiving);
	},
	auto_archive: warn_of_auto_archive,
	is_active: warn_of_auto_archive,
});

function warn_of_auto_archive(frm) {
	const waits = frm.doc.auto_archive && frm.doc.is_active;
	frm.set_intro("");
	if (waits) {
		frm.set_intro(
			__("Archive Automatically is set on an active season: it will be archived once it is over and no longer active."),
			"orange"
		);
	}
}

async function show_infrastructure(frm) {
	const season = frm.doc.name;
	let state;
	try {
		state = await ask(season);
	} catch (e) {
		render(frm, [[__("Status"), __("could not be read"), "red"]]);
		return;
	}
	// The form may show another season by now.
	if (frm.doc.name !== season) return;
	render(frm, status_lines(frm, state));
	add_rebuild_button(frm, state);
	add_work_buttons(frm);
}

function ask(season) {
	return frappe.xcall("memora.api.srs.get_season_infrastructure", { season });
}

// [label, text, colour] of each line.
function status_lines(frm, state) {
	if (state.engine_problem) return [[__("Engine"), state.engine_problem, "red"]];
	return [[__("Engine"), `memora-srs ${state.engine_version}`, "green"], partition_line(frm, state), cache_line(state)];
}

function partition_line(frm, { partition }) {
	if (frm.doc.archived_on && !partition) return [__("Partition"), __("none: the season is in the archive"), "gray"];
	if (!partition) return [__("Partition"), __("missing: run bench migrate"), "red"];
	const megabytes = ((partition.data_bytes + partition.index_bytes) / 2 ** 20).toFixed(1);
	const text = __("{0}: about {1} rows, {2} MB", [partition.partition_name, partition.rows, megabytes]);
	return [__("Partition"), text, "green"];
}

function cache_line(state) {
	if (!state.enable_redis) return [__("Cache"), __("off: students are answered from the table"), "orange"];
	if (!state.redis_connected) return [__("Cache"), __("Redis does not answer"), "red"];
	return [__("Cache"), __("on, Redis answers"), "green"];
}

function render(frm, lines) {
	const escape = frappe.utils.escape_html;
	const rows = lines.map(
		([label, text, colour]) =>
			`<tr><td>${escape(label)}</td><td><span class="indicator ${colour}">${escape(String(text))}</span></td></tr>`
	);
	frm.fields_dict.infrastructure_html.$wrapper.html(`<table class="table table-bordered">${rows.join("")}</table>`);
}

function add_rebuild_button(frm, state) {
	frm.remove_custom_button(__("Rebuild Cache"));
	const running = state.rebuild && state.rebuild.running;
	if (running) {
		listen(frm, REBUILD_EVENT, show_rebuilding);
		look_at_rebuild(frm, frm.doc.name, null);
	}
	const button = frm.add_custom_button(__("Rebuild Cache"), () => rebuild(frm));
	if (!state.can_rebuild || running) {
		button.prop("disabled", true);
		button.attr("title", running ? __("A rebuild is under way") : __("This season has no cache that could be filled now"));
	}
}

// Reconcile and Archive, by the same methods as the operations page.
function add_work_buttons(frm) {
	const work = __("Work");
	frm.remove_custom_button(__("Reconcile"), work);
	frm.remove_custom_button(__("Archive"), work);
	if (frm.doc.archived_on) return;
	frm.add_custom_button(__("Reconcile"), () => reconcile(frm), work);
	if (!frm.doc.is_active) frm.add_custom_button(__("Archive"), () => archive(frm), work);
}

function reconcile(frm) {
	const size = { fieldname: "sample_size", fieldtype: "Int", label: __("Questions to compare"), default: 10000, reqd: 1 };
	const run = async ({ sample_size }) => {
		const report = await frappe.xcall("memora.api.srs.trigger_reconciliation", { sample_size, season: frm.doc.name });
		const found = [report.compared, report.discrepancies_found, report.auto_corrected];
		frappe.show_alert({ message: __("{0} compared, {1} wrong, {2} corrected", found), indicator: report.alert_triggered ? "red" : "green" });
	};
	frappe.prompt(size, run, __("Compare cache and table"), __("Reconcile"));
}

function archive(frm) {
	const season = frm.doc.name;
	const name = {
		fieldname: "typed",
		fieldtype: "Data",
		label: __("Type the season's name to confirm"),
		description: __("All its rows move into the archive; students' reads of it are refused from then on."),
		reqd: 1,
	};
	const run = async ({ typed }) => {
		if (typed !== season) {
			frappe.show_alert({ message: __("That is not the season's name"), indicator: "orange" });
			return;
		}
		const done = await frappe.xcall("memora.api.srs.archive_season", { season, confirm: 1 });
		const started = done.status === "started";
		frappe.show_alert(started ? __("Archiving as a background job") : __("{0} rows are archived", [done.records_archived]));
		if (!started) frm.reload_doc();
	};
	frappe.prompt(name, run, __("Archive"), __("Archive"));
}

async function rebuild(frm) {
	const season = frm.doc.name;
	// Before it begins, so that nothing is missed.
	listen(frm, REBUILD_EVENT, show_rebuilding);
	const before = (await ask(season)).rebuild;
	const job = await frappe.xcall("memora.api.srs.rebuild_season_cache", { season });
	const started = job.status === "started";
	frappe.show_alert(
		started ? __("Rebuilding schedules of about {0} questions", [job.estimated_records]) : __("A rebuild is under way already")
	);
	look_at_rebuild(frm, season, before && before.modified_at);
}

// While nothing is heard, until the end. `since`: when the rebuild before it was noted.
function look_at_rebuild(frm, season, since) {
	const listener = listeners[REBUILD_EVENT];
	// It may have been told of the end before it comes to this.
	if (!listener) return;
	const is_over = () => frm.doc.name !== season || listeners[REBUILD_EVENT] !== listener;
	const look = async () => {
		if (is_over()) return;
		setTimeout(look, SILENCE);
		if (listener.heard) {
			listener.heard = false;
			return;
		}
		const { rebuild } = await ask(season).catch(() => ({}));
		if (is_over()) return;
		if (rebuild && (rebuild.running || rebuild.modified_at !== since)) {
			const { state, done, students, error, lost } = rebuild.note;
			show_rebuilding(frm, rebuild.running ? { done, total: students } : { status: state, error, report: { lost } });
		}
	};
	setTimeout(look, SILENCE);
}

// What listens to each event. Frappe passes a missing callback on to socket.io, which then removes
// nothing: each refresh would add one more.
const listeners = {};

function listen(frm, event, show) {
	const season = frm.doc.name;
	stop_listening(event);
	const listener = (progress) => {
		// The form may show another season by now.
		if (progress.season !== season || frm.doc.name !== season) return;
		listener.heard = true;
		show(frm, progress);
	};
	listeners[event] = listener;
	frappe.realtime.on(event, listener);
}

function stop_listening(event) {
	if (listeners[event]) frappe.realtime.off(event, listeners[event]);
	delete listeners[event];
}

function show_rebuilding(frm, { done, total, status, error, report }) {
	const title = __("Rebuild Cache");
	if (!status) {
		const of_all = total ? __("{0} of {1} students", [done, total]) : __("{0} students", [done]);
		frm.dashboard.show_progress(title, total ? (100 * done) / total : 0, of_all);
		return;
	}
	stop_listening(REBUILD_EVENT);
	hide_progress(frm, title);
	const told = {
		failed: [__("The rebuild failed: {0}", [frappe.utils.escape_html(error || "")]), "red"],
		incomplete: [__("Rebuilt, but Redis lost the schedules of {0} students again", [report && report.lost]), "orange"],
	};
	const [message, indicator] = told[status] || [__("Rebuilt"), "green"];
	frappe.show_alert({ message, indicator });
	show_infrastructure(frm);
}

// Frappe's own fails if the bar was not shown, and what ends at once shows none.
function hide_progress(frm, title) {
	frm.dashboard.show_progress(title, 100);
	frm.dashboard.hide_progress(title);
}

function show_archiving(frm, { phase, done, total, status, error, report }) {
	const title = __("Archive");
	if (!status) {
		const rows = total ? __("{0}: {1} of {2} rows", [phase, done, total]) : phase;
		frm.dashboard.show_progress(title, total ? (100 * done) / total : 0, rows);
		return;
	}
	hide_progress(frm, title);
	if (status === "failed") {
		const message = __("Not archived: {0}", [frappe.utils.escape_html(error || "")]);
		frappe.show_alert({ message, indicator: "red" });
	} else {
		const restored = report && report.status === "restored";
		frappe.show_alert({ message: restored ? __("Restored") : __("Archived"), indicator: "green" });
	}
	// What it has set in the document: archived_on, partition_created.
	if (!frm.is_dirty()) frm.reload_doc();
}
