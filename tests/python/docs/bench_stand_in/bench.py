"""`bench --site <site> execute` and `set-config` on the app's own modules, without Frappe.

Prints and fails as Frappe's do. Everything else of bench needs a bench.
"""

import argparse
import json
import os
from pathlib import Path

import frappe


def main():
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--site", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    execute = commands.add_parser("execute")
    execute.add_argument("method")
    execute.add_argument("--args", default="()")
    execute.add_argument("--kwargs", default="{}")
    configure = commands.add_parser("set-config")
    configure.add_argument("key")
    configure.add_argument("value")
    asked = parser.parse_args()
    frappe.local.site = asked.site
    frappe.local.sites_path = os.path.abspath("sites")
    if asked.command == "set-config":
        set_config(asked.site, asked.key, asked.value)
        return
    # As Frappe: text that Python reads, and only what is true is printed.
    args, kwargs = eval(asked.args), eval(asked.kwargs)  # noqa: S307
    args = args if isinstance(args, (list, tuple)) else [args]
    result = frappe.get_attr(asked.method)(*args, **kwargs)
    if result:
        print(json.dumps(result, default=str))


def set_config(site, key, value):
    path = Path("sites", site, "site_config.json")
    config = json.loads(path.read_text())
    config[key] = int(value) if value in ("0", "1") else value
    path.write_text(json.dumps(config, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
