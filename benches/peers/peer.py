"""What the Python implementation of the review endpoints does with its servers.

A stand-in, to be measured beside the engine on the same machine in the same minute. It makes the
same calls with redis-py and PyMySQL, in the same order:

- a session is looked up in Redis, as Frappe looks it up, else an API token in the table;
- a read opens a new connection to Redis, asks the sorted set and then the table for the rows of
  what is due; where the set is missing, it is made from all rows of the student first;
- a submit asks the table for each answer's row by itself, newest first, as Frappe's ORM does,
  writes the sorted set, and queues one job;
- a job reads, then updates or inserts row by row, and commits at its end.

What it leaves out makes it quicker than the real one: Frappe itself (routing, hooks, permissions,
documents, a connection to MariaDB and `SELECT`s of its own for each request), the sliding of
sessions, validation, progress, logs and errors. It promises no more than the real one: nothing is
durable until a job has run, and a submit that comes twice counts twice.

As shipped there is no index for its statements; the bench measures it with one that serves them,
and then, for a few requests, without.

The environment says where things are: `PEER_DB`, a JSON object of PyMySQL's arguments;
`PEER_CACHE` and `PEER_QUEUE`, URLs of Redis; `PEER_SEASON`.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import threading
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pymysql
import redis
import rq

TABLE = "`tabPlayer Memory Tracker`"
FIELDS = "question_id, stability, next_review_date, subject, topic"
SEASON = os.environ["PEER_SEASON"]
DB: dict[str, Any] = json.loads(os.environ["PEER_DB"])
TTL = 30 * 24 * 3600
# Days until the next review, by stability.
DAYS = {0: 1, 1: 1, 2: 3, 3: 7, 4: 14}
XP = (0, 2, 5, 15, 20, 25)

cache = redis.Redis.from_url(os.environ["PEER_CACHE"])
queue = rq.Queue("srs_write", connection=redis.Redis.from_url(os.environ["PEER_QUEUE"]))
_local = threading.local()


class Session(dict[str, Any]):
    """Frappe's `_dict`, which is its own pickled state."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


class SessionReader(pickle.Unpickler):
    """Reads a session without Frappe."""

    def find_class(self, module: str, name: str) -> type:
        """Know the one class that a session is made of."""
        if (module, name) != ("frappe", "_dict"):
            raise pickle.UnpicklingError(f"{module}.{name}")
        return Session


def db() -> pymysql.connections.Connection[Any]:
    """Connection of this thread, kept; Frappe opens one for each request."""
    if not hasattr(_local, "db"):
        _local.db = pymysql.connect(**DB, charset="utf8mb4")
    return _local.db


def select(sql: str, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """All rows of a statement."""
    with db().cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def user_of(sid: str | None, authorization: str | None) -> str | None:
    """Who asks."""
    if sid:
        entry = cache.hget(f"{DB['database']}|session", sid)
        if entry is not None:
            session = SessionReader(io.BytesIO(entry)).load()
            return str(session["data"]["user"])
    if authorization and authorization.startswith("token "):
        key, _, _secret = authorization[6:].partition(":")
        rows = select("SELECT name FROM tabUser WHERE api_key = %s", (key,))
        return str(rows[0][0]) if rows else None
    return None


def schedule_key(user: str) -> str:
    """The sorted set of a student."""
    return f"srs:{user}:{SEASON}"


def epoch(due: datetime) -> float:
    """A due time as a score."""
    return due.replace(tzinfo=timezone.utc).timestamp()


def now() -> datetime:
    """The site's wall time; it counts as UTC here."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def get_review_session(user: str, limit: int) -> dict[str, Any]:
    """Answer which questions are due."""
    connection = redis.Redis.from_url(os.environ["PEER_CACHE"], decode_responses=True)
    try:
        key = schedule_key(user)
        if not connection.exists(key):
            rehydrate(connection, user)
        due = connection.zrangebyscore(key, "-inf", epoch(now()), start=0, num=limit)
    finally:
        connection.close()
    questions = []
    if due:
        marks = ", ".join(["%s"] * len(due))
        rows = select(
            f"SELECT {FIELDS} FROM {TABLE} WHERE player = %s AND season = %s "  # noqa: S608
            f"AND question_id IN ({marks})",
            (user, SEASON, *due),
        )
        for question_id, stability, next_review_date, subject, topic in rows:
            questions.append(
                {
                    "question_id": question_id,
                    "stage_id": question_id.rpartition(":")[0] or question_id,
                    "stability": float(stability),
                    "next_review_date": next_review_date.isoformat(),
                    "subject": subject,
                    "topic": topic,
                }
            )
    return {
        "questions": questions,
        "total_due": len(questions),
        "is_degraded": False,
        "season": SEASON,
    }


def rehydrate(connection: redis.Redis, user: str) -> None:
    """Make the sorted set from all rows of a student."""
    rows = select(
        f"SELECT question_id, next_review_date FROM {TABLE} WHERE player = %s AND season = %s",  # noqa: S608
        (user, SEASON),
    )
    if rows:
        key = schedule_key(user)
        pipeline = connection.pipeline()
        pipeline.zadd(key, {question: epoch(due) for question, due in rows})
        pipeline.expire(key, TTL)
        pipeline.execute()


def newest(user: str, question_id: str) -> list[tuple[Any, ...]]:
    """The row of a question, as Frappe's ORM asks for it."""
    return select(
        f"SELECT name, stability FROM {TABLE} WHERE player = %s AND question_id = %s "  # noqa: S608
        "AND season = %s ORDER BY modified DESC LIMIT 1",
        (user, question_id, SEASON),
    )


def submit_review_session(user: str, responses: list[dict[str, Any]]) -> dict[str, Any]:
    """Take a student's answers: cache, queue, answer."""
    at = now()
    scores = {}
    for response in responses:
        rows = newest(user, response["question_id"])
        before = float(rows[0][1]) if rows else 0.0
        quality = response["quality"]
        stability = min(before + 1, 4) if quality >= 3 else max(before - 1, 1)
        due = at + timedelta(days=DAYS[int(stability)])
        response["new_stability"] = stability
        response["new_next_review_date"] = due.isoformat()
        scores[response["question_id"]] = epoch(due)
    connection = redis.Redis.from_url(os.environ["PEER_CACHE"], decode_responses=True)
    try:
        pipeline = connection.pipeline()
        pipeline.zadd(schedule_key(user), scores)
        pipeline.expire(schedule_key(user), TTL)
        pipeline.execute()
    finally:
        connection.close()
    job = queue.enqueue("peer.persist_review_batch", responses, user, job_id=f"srs_{uuid.uuid4()}")
    return {
        "status": "success",
        "processed": len(responses),
        "xp_earned": sum(XP[response["quality"]] for response in responses),
        "persistence_job_id": job.id,
    }


def persist_review_batch(responses: list[dict[str, Any]], user: str) -> dict[str, Any]:
    """Write a batch to the table: what a job runs."""
    at = now()
    connection = db()
    with connection.cursor() as cursor:
        for response in responses:
            rows = newest(user, response["question_id"])
            due = datetime.fromisoformat(response["new_next_review_date"])
            values = (response["new_stability"], due, at, at, user)
            if rows:
                cursor.execute(
                    f"UPDATE {TABLE} SET stability = %s, next_review_date = %s, "  # noqa: S608
                    "last_review_date = %s, modified = %s, modified_by = %s WHERE name = %s",
                    (*values, rows[0][0]),
                )
            else:
                cursor.execute(
                    f"INSERT INTO {TABLE} (stability, next_review_date, last_review_date, "  # noqa: S608
                    "modified, modified_by, name, creation, owner, player, season, question_id) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        *values,
                        uuid.uuid4().hex[:10],
                        at,
                        user,
                        user,
                        SEASON,
                        response["question_id"],
                    ),
                )
    connection.commit()
    return {"success": True, "processed_count": len(responses)}
