"""What RQ's worker needs of Frappe: same names, same parameters, no site."""

import importlib


def execute_job(site, method, event, job_name, kwargs, user=None, is_async=True, retry=0):
    module, name = method.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**kwargs)


def truncate_failed_registry(job, connection, type, value, traceback):
    connection.rpush("test:failure_callback", job.id)
