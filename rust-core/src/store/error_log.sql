-- An entry of Frappe's Error Log, where operators look.
-- Parameters: its name if {name} is one, now (site wall time) twice, title (at most 140), text
INSERT INTO `tabError Log`
  (name, creation, modified, owner, modified_by, docstatus, idx, seen, method, error)
VALUES ({name}, ?, ?, 'Administrator', 'Administrator', 0, 0, 0, ?, ?)
