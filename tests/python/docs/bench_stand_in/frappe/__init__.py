"""What the app's services need of Frappe: same names, one site, nobody who listens."""

import importlib
import json
import logging
import os
from pathlib import Path

import pymysql

__version__ = "15.44.2"


class _dict(dict):  # noqa: N801
    __getattr__ = dict.get
    __setattr__ = dict.__setitem__


class ValidationError(Exception):
    http_status_code = 417


class AuthenticationError(Exception):
    http_status_code = 401


class PermissionError(Exception):
    http_status_code = 403


class DoesNotExistError(ValidationError):
    http_status_code = 404


class RateLimitExceededError(ValidationError):
    http_status_code = 429


class SessionStopped(Exception):  # noqa: N818
    http_status_code = 503


class InReadOnlyMode(ValidationError):  # noqa: N818
    http_status_code = 503


local = _dict(
    site=os.environ.get("SITE"),
    sites_path=os.environ.get("SITES_PATH"),
    response=_dict(),
    message_log=[],
)
flags = _dict()
session = _dict(user="Administrator")
logger = logging.getLogger


def _(text, **_context):
    return text


def whitelist(**_how):
    return lambda function: function


def throw(message, exc=ValidationError, title=None):
    raise exc(message)


def get_attr(path):
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def get_roles():
    return ["System Manager"]


def publish_realtime(*_args, **_kwargs):
    """Nobody listens."""


def clear_document_cache(*_args):
    """Nothing is cached."""


def log_error(title, message):
    raise AssertionError(f"{title}: {message}")


def get_traceback():
    return ""


class db:  # noqa: N801
    @staticmethod
    def commit():
        """Nothing is open."""

    rollback = commit

    @staticmethod
    def get_value(doctype, name, fields):
        columns = [fields] if isinstance(fields, str) else fields
        config = {}
        for path in ("common_site_config.json", f"{local.site}/site_config.json"):
            config |= json.loads(Path(local.sites_path, path).read_text())
        connection = pymysql.connect(
            host=config["db_host"],
            port=config["db_port"],
            user=config["db_name"],
            password=config["db_password"],
            database=config["db_name"],
        )
        with connection, connection.cursor() as cursor:
            wanted = ", ".join(f"`{column}`" for column in columns)
            cursor.execute(f"SELECT {wanted} FROM `tab{doctype}` WHERE name = %s", (name,))
            row = cursor.fetchone()
        return row and (row[0] if isinstance(fields, str) else row)
