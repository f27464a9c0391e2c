// A season's form: what stands behind it, Rebuild Cache, and warnings.

// Progress of a rebuild: {season, done, total} in students, with status "completed" or "failed" (and
// error) at the end.
const REBUILD_EVENT = "cache_rebuild";

frappe.ui.form.on("Game Subscription Season", {
	refresh(frm) {
		warn_of_auto_archive(frm);
		frm.set_df_property("section_break_infrastructure", "hidden", frm.is_new());
		if (!frm.is_new()) show_infrastructure(frm);
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
		state = await frappe.xcall("memora.api.srs.get_season_infrastructure", { season });
	} catch (e) {
		render(frm, [[__("Status"), __("could not be read"), "red"]]);
		return;
	}
	// The form may show another season by now.
	if (frm.doc.name !== season) return;
	render(frm, status_lines(state));
	add_rebuild_button(frm, state);
}

// [label, text, colour] of each line.
function status_lines(state) {
	if (state.engine_problem) return [[__("Engine"), state.engine_problem, "red"]];
	return [[__("Engine"), `memora-srs ${state.engine_version}`, "green"], partition_line(state), cache_line(state)];
}

function partition_line({ partition }) {
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
	if (running) listen(frm);
	const button = frm.add_custom_button(__("Rebuild Cache"), () => rebuild(frm));
	if (!state.can_rebuild || running) {
		button.prop("disabled", true);
		button.attr("title", running ? __("A rebuild is under way") : __("This season has no cache that could be filled now"));
	}
}

async function rebuild(frm) {
	const season = frm.doc.name;
	// Before it begins, so that nothing is missed.
	listen(frm);
	const job = await frappe.xcall("memora.api.srs.rebuild_season_cache", { season });
	const started = job.status === "started";
	frappe.show_alert(
		started ? __("Rebuilding schedules of about {0} questions", [job.estimated_records]) : __("A rebuild is under way already")
	);
}

function listen(frm) {
	const season = frm.doc.name;
	frappe.realtime.off(REBUILD_EVENT);
	frappe.realtime.on(REBUILD_EVENT, (progress) => {
		// The form may show another season by now.
		if (progress.season === season && frm.doc.name === season) show_progress(frm, progress);
	});
}

function show_progress(frm, { done, total, status, error, report }) {
	const title = __("Rebuild Cache");
	if (!status) {
		const of_all = total ? __("{0} of {1} students", [done, total]) : __("{0} students", [done]);
		frm.dashboard.show_progress(title, total ? (100 * done) / total : 0, of_all);
		return;
	}
	frappe.realtime.off(REBUILD_EVENT);
	frm.dashboard.hide_progress(title);
	const told = {
		failed: [__("The rebuild failed: {0}", [frappe.utils.escape_html(error || "")]), "red"],
		incomplete: [__("Rebuilt, but Redis lost the schedules of {0} students again", [report && report.lost]), "orange"],
	};
	const [message, indicator] = told[status] || [__("Rebuilt"), "green"];
	frappe.show_alert({ message, indicator });
	show_infrastructure(frm);
}
