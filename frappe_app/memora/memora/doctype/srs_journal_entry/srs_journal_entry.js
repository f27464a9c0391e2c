// Nothing is edited here: a submit that is not applied is tried again, or given up.
frappe.ui.form.on("SRS Journal Entry", {
	refresh(frm) {
		frm.disable_form();
		if (["applied", "dismissed"].includes(frm.doc.state)) return;
		if (frm.doc.state === "failed") {
			frm.set_intro(__("Given up. Mend what the error says and retry, or dismiss."), "red");
		}
		const change = (method, done) =>
			frappe
				.xcall(`memora.memora.doctype.srs_journal_entry.srs_journal_entry.${method}`, {
					names: [frm.doc.name],
				})
				.then(() => {
					frappe.show_alert({ message: done, indicator: "green" });
					return frm.reload_doc();
				});
		frm.add_custom_button(__("Retry"), () =>
			change("retry", __("It is tried again as soon as a worker is free")).then(() =>
				show_outcome(frm, frm.doc.name, 10)
			)
		);
		frm.add_custom_button(__("Dismiss"), () =>
			frappe.confirm(
				__("These answers will never be applied. They are kept in the Error Log. Go on?"),
				() => change("dismiss", __("Dismissed. The answers are in the Error Log."))
			)
		);
		frm.change_custom_button_type(__("Retry"), null, "primary");
		frm.change_custom_button_type(__("Dismiss"), null, "danger");
	},
});

// Reload some times while the sweep is to come, as long as the form is looked at.
function show_outcome(frm, name, times) {
	setTimeout(() => {
		const looked_at = cur_frm === frm && frm.doc.name === name && frm.$wrapper.is(":visible");
		if (times && looked_at && ["pending", "queued"].includes(frm.doc.state)) {
			frm.reload_doc().then(() => show_outcome(frm, name, times - 1));
		}
	}, 2000);
}
