frappe.listview_settings["SRS Journal Entry"] = {
	hide_name_column: true,
	hide_name_filter: true,
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
	// Not to be clicked as a filter, which Desk makes of every value.
	formatters: {
		error(value) {
			// Of what MariaDB says, first what differs.
			const short = (value || "").replace(/^Server error: `ERROR \d+ \(\w+\): ([^]*)'$/, "$1");
			const [text, title] = [short, value || ""].map(frappe.utils.escape_html);
			return `<span class="ellipsis" title="${title}">${text}</span>`;
		},
		tries: (value) => cint(value),
	},
	onload(listview) {
		// They would ask a table: there is none. Nor is the order to choose.
		listview.$page.addClass("no-list-sidebar").find(".sort-selector").hide();
		// Students need not be System Users, who alone are offered else.
		const student = listview.page.fields_dict.player;
		student.get_query = () => ({ filters: { ignore_user_type: 1 } });
		student.df.filter_description = __("Students and other users");
		student.df.only_select = true;
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
	refresh(listview) {
		const of_tables = ".list-row-like, .list-liked-by-me, .comment-count, .comment-count + span";
		listview.$result.find(of_tables).attr("style", "display: none !important");
	},
};
