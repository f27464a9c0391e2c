// What keeps Memora from working, to administrators, when Desk starts (memora/services/srs_desk.py).
// Once the first page is there: Desk closes open dialogs before it shows one.
$(document).one("page-change", () => {
	if (!frappe.boot.memora_problem) return;
	frappe.msgprint({
		title: __("Memora does not work"),
		indicator: "red",
		message: frappe.utils.escape_html(frappe.boot.memora_problem),
	});
});
