// Nothing is edited here: a submit that is not applied is tried again, or given up.
frappe.ui.form.on("SRS Journal Entry", {
	refresh(frm) {
		frm.disable_form();
		if (["applied", "dismissed"].includes(frm.doc.state)) return;
		const change = (method, done) =>
			frappe
				.xcall(`memora.memora.doctype.srs_journal_entry.srs_journal_entry.${method}`, {
					names: [frm.doc.name],
				})
				.then(() => {
					frappe.show_alert({ message: done, indicator: "green" });
					frm.reload_doc();
				});
		frm.add_custom_button(__("Retry"), () => change("retry", __("The next sweep tries it")));
		frm.add_custom_button(__("Dismiss"), () =>
			frappe.confirm(
				__("These answers will never be applied. They are kept in the Error Log. Go on?"),
				() => change("dismiss", __("Dismissed"))
			)
		);
	},
});
