-- An entry of Frappe's Error Log, where operators look.
-- Parameters: name, now (site wall time) twice, title (at most 140), text
INSERT INTO `tabError Log`
  (name, creation, modified, owner, modified_by, docstatus, idx, seen, method, error)
VALUES (?, ?, ?, 'Administrator', 'Administrator', 0, 0, 0, ?, ?)
