frappe.listview_settings["SRS Journal Entry"] = {
	hide_name_column: true,
	get_indicator(doc) {
		const colors = {
			pending: "blue",
			queued: "blue",
			retrying: "orange",
			failed: "red",
			late: "grey",
			applied: "green",
			dismissed: "grey",
		};
		return [__(doc.state), colors[doc.state], `state,=,${doc.state}`];
	},
	onload(listview) {
		const change = (method, question) => {
			const names = listview.get_checked_items(true);
			if (!names.length) return;
			frappe.confirm(question, () =>
				frappe
					.xcall(`memora.memora.doctype.srs_journal_entry.srs_journal_entry.${method}`, { names })
					.then((count) => {
						frappe.show_alert(__("{0} of {1} submits", [count, names.length]));
						listview.refresh();
					})
			);
		};
		listview.page.add_actions_menu_item(__("Retry"), () =>
			change("retry", __("Have these submits tried again?"))
		);
		listview.page.add_actions_menu_item(__("Dismiss"), () =>
			change(
				"dismiss",
				__("These answers will never be applied. They are kept in the Error Log. Go on?")
			)
		);
	},
};
