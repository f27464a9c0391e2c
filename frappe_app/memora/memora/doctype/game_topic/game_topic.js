// Copyright (c) 2026, Memora and contributors
// For license information, please see license.txt

// frappe.ui.form.on("Game Topic", {
// 	refresh(frm) {

// 	},
// });
