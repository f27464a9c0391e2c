//! Who is asking: Frappe's sessions, credentials and CSRF, and their formats.
