//! Does RQ's own worker run our jobs?

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{QUEUE, Rq, SITE, ask, call_kwargs, job_kwargs, submission, with_each_rq};

with_each_rq!(
    rq_runs_our_job,
    rq_writes_the_same_fields,
    rq_fails_our_job_as_frappe_expects,
);

async fn rq_runs_our_job(rq: Rq) {
    let producer = rq.producer();
    let ours = submission("ann@example.com", "s-1");
    producer.enqueue(&ours).await.unwrap();
    let id = producer.job_id(&ours);
    assert_eq!(rq.show().await["queued"], json!([id]));

    rq.tool("burst", None).await;

    let mut redis = rq.db.connection().await;
    let calls: Vec<String> = ask(&mut redis, &["LRANGE", "test:calls", "0", "-1"]).await;
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| serde_json::from_str(call).unwrap())
        .collect();
    assert_eq!(calls, [call_kwargs("ann@example.com", "s-1")]);
    let shown = rq.show().await;
    assert_eq!(shown["queued"], json!([]));
    assert_eq!(shown["finished"], json!([id]));
    let job = &shown["jobs"][&id];
    assert_eq!(job["status"], "finished");
    assert_eq!(job["origin"], QUEUE);
    assert_eq!(
        job["return_value"],
        json!({"success": true, "processed_count": 2})
    );
    let expected = (json!(300), json!(600), json!(604_800));
    assert_eq!(
        (&job["timeout"], &job["result_ttl"], &job["failure_ttl"]),
        (&expected.0, &expected.1, &expected.2)
    );
    let ttl: i64 = ask(&mut redis, &["TTL", &format!("rq:job:{id}")]).await;
    assert!((1..=600).contains(&ttl), "{ttl}");
}

async fn rq_writes_the_same_fields(rq: Rq) {
    let producer = rq.producer();
    let ours = submission("ann@example.com", "s-1");
    producer.enqueue(&ours).await.unwrap();
    let call = call_kwargs("ann@example.com", "s-2");
    let theirs = json!([{"job_id": "theirs", "kwargs": job_kwargs(SITE, &call)}]);
    rq.tool("enqueue", Some(theirs)).await;

    let mut redis = rq.db.connection().await;
    let id = producer.job_id(&ours);
    let ours: BTreeSet<String> = ask(&mut redis, &["HKEYS", &format!("rq:job:{id}")]).await;
    let theirs: BTreeSet<String> = ask(&mut redis, &["HKEYS", "rq:job:theirs"]).await;
    assert_eq!(ours, theirs);
    for field in [
        "status",
        "origin",
        "timeout",
        "result_ttl",
        "failure_ttl",
        "failure_callback_name",
        "failure_callback_timeout",
        "success_callback_name",
    ] {
        let ours: String = ask(&mut redis, &["HGET", &format!("rq:job:{id}"), field]).await;
        let theirs: String = ask(&mut redis, &["HGET", "rq:job:theirs", field]).await;
        assert_eq!(ours, theirs, "{field}");
    }
}

async fn rq_fails_our_job_as_frappe_expects(rq: Rq) {
    let producer = rq.producer();
    let ours = submission("explode@example.com", "s-1");
    producer.enqueue(&ours).await.unwrap();
    let id = producer.job_id(&ours);

    rq.tool("burst", None).await;

    let shown = rq.show().await;
    assert_eq!(shown["failed"], json!([id]));
    let text = shown["jobs"][&id]["exc_info"].as_str().unwrap();
    assert!(text.contains("told to explode"), "{text}");
    let mut redis = rq.db.connection().await;
    let called: Vec<String> =
        ask(&mut redis, &["LRANGE", "test:failure_callback", "0", "-1"]).await;
    assert_eq!(called, [id]);
}
