"""RQ's own tools, for tests: one command a call, JSON in (the last argument) and out.

rq_tool.py <redis url> <queue> enqueue <jobs>   as frappe.enqueue does; a list of
                                    {"job_id", "kwargs"[, "positional", "function"]}
rq_tool.py <redis url> <queue> burst            RQ's own worker, until the queue is empty
rq_tool.py <redis url> <queue> show             what RQ knows of queue, jobs, workers
rq_tool.py <redis url> <queue> clean            RQ's housekeeping, a day from now
rq_tool.py <redis url> <queue> requeue          all failed jobs once more
rq_tool.py <redis url> <queue> delete <ids>     as an operator does
rq_tool.py <redis url> <queue> suspend|resume   all workers
rq_tool.py <redis url> <queue> shutdown <name>  tells a worker to end
rq_tool.py <redis url> <queue> stop <id>        tells its worker to stop a job
"""

import json
import logging
import sys
import time

from frappe.utils.background_jobs import execute_job, truncate_failed_registry
from redis import Redis
from rq import Callback, Queue, Worker
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job
from rq.suspension import resume, suspend


def enqueue(connection, queue, jobs):
    for job in jobs:
        queue.enqueue_call(
            job.get("function", execute_job),
            args=job.get("positional"),
            kwargs=job["kwargs"],
            timeout=300,
            result_ttl=600,
            failure_ttl=604800,
            on_failure=Callback(truncate_failed_registry),
            job_id=job["job_id"],
        )


def burst(connection, queue):
    logging.basicConfig(stream=sys.stderr)
    Worker([queue], connection=connection).work(burst=True)


def describe(job):
    result = job.latest_result()
    return {
        "status": str(getattr(job.get_status(), "value", job.get_status())),
        "origin": job.origin,
        "func_name": job.func_name,
        "timeout": job.timeout,
        "result_ttl": job.result_ttl,
        "failure_ttl": job.failure_ttl,
        "worker_name": job.worker_name,
        "started": bool(job.started_at),
        "ended": bool(job.ended_at),
        "heartbeat": bool(job.last_heartbeat),
        "kwargs": job.kwargs,
        "return_value": result.return_value if result else None,
        "exc_info": job.exc_info,
        "results": len(job.results()),
        # Since RQ 2 each run of a job is known by itself.
        "runs": len(job.get_executions()) if hasattr(job, "get_executions") else None,
    }


def show(connection, queue):
    registries = {
        "queued": queue.job_ids,
        "started": queue.started_job_registry.get_job_ids(),
        "finished": queue.finished_job_registry.get_job_ids(),
        "failed": queue.failed_job_registry.get_job_ids(),
    }
    ids = sorted({id for ids in registries.values() for id in ids})
    jobs = Job.fetch_many(ids, connection=connection)
    return {
        **registries,
        "jobs": {job.id: describe(job) for job in jobs if job},
        "workers": [
            {
                "name": worker.name,
                "state": worker.get_state(),
                "queues": worker.queue_names(),
                "current_job": worker.get_current_job_id(),
                "alive": bool(worker.last_heartbeat),
                "pid": worker.pid,
                "successful": worker.successful_job_count,
                "failed": worker.failed_job_count,
                "working_time": worker.total_working_time,
            }
            for worker in Worker.all(queue=queue)
        ],
    }


def clean(connection, queue):
    tomorrow = time.time() + 86400
    queue.started_job_registry.cleanup(tomorrow)
    queue.finished_job_registry.cleanup(tomorrow)


def requeue(connection, queue):
    for id in queue.failed_job_registry.get_job_ids():
        queue.failed_job_registry.requeue(id)


def delete(connection, queue, ids):
    for id in ids:
        Job.fetch(id, connection=connection).delete()


def shutdown(connection, queue, worker):
    send_shutdown_command(connection, worker)


def stop(connection, queue, id):
    send_stop_job_command(connection, id)


COMMANDS = {
    "enqueue": enqueue,
    "burst": burst,
    "show": show,
    "clean": clean,
    "requeue": requeue,
    "delete": delete,
    "suspend": lambda connection, queue: suspend(connection),
    "shutdown": shutdown,
    "stop": stop,
    "resume": lambda connection, queue: resume(connection),
}

if __name__ == "__main__":
    url, name, command, *arguments = sys.argv[1:]
    connection = Redis.from_url(url)
    queue = Queue(name, connection=connection)
    json.dump(COMMANDS[command](connection, queue, *map(json.loads, arguments)), sys.stdout)
