// What keeps Memora from working, to administrators, when Desk starts (memora/boot.py).
$(document).on("app_ready", () => {
	if (!frappe.boot.memora_problem) return;
	frappe.msgprint({
		title: __("Memora does not work"),
		indicator: "red",
		message: frappe.utils.escape_html(frappe.boot.memora_problem),
	});
});
