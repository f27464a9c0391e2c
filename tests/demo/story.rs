//! One student's session: due questions, answers, the new schedule, the rows.

use anyhow::{Context, Result, ensure};
use memora_tests::http::Answer;
use memora_tests::wait;
use serde_json::{Value, json};

use crate::stage::Stage;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
/// Questions that Ann answers.
const ANSWERED: usize = 5;

/// Plays it; an error where a step did not do what it should.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    println!("\nAnn asks what is due. Her schedule is in no cache yet: the table answers.");
    let cold = read(stage).await?;
    let due = total(&cold)?;
    let questions = cold["questions"].as_array().context("no questions")?;
    ensure!(questions.len() > ANSWERED, "Ann has nothing to do");
    println!("\nShe asks again; meanwhile the schedule was filled. One round trip to Redis:");
    wait::until("the schedule is filled", || async {
        is_cached(stage).await.then_some(())
    })
    .await;
    let warm = read(stage).await?;
    ensure!(warm == cold, "cache and table disagree");

    let answered: Vec<&str> = questions
        .iter()
        .take(ANSWERED)
        .filter_map(|q| q["question_id"].as_str())
        .collect();
    println!("\nShe answers {ANSWERED} questions, one of them wrong:");
    let responses: Vec<Value> = answered
        .iter()
        .enumerate()
        .map(|(i, id)| {
            let quality = if i == 1 { 1 } else { 4 };
            json!({"question_id": id, "quality": quality, "response_time_ms": 3000})
        })
        .collect();
    let body = json!({"responses": responses, "submission_id": "demo-1"});
    let taken = submit(stage, &body).await?;
    ensure!(taken["processed"] == ANSWERED, "not all answers were taken");
    println!("  the same once more, as a phone does that got no answer: one effect, one answer");
    ensure!(
        submit(stage, &body).await? == taken,
        "the repetition was answered otherwise"
    );

    println!("\nThe new schedule shows at once:");
    let after = read(stage).await?;
    ensure!(
        total(&after)? == due - ANSWERED as u64,
        "the answered questions are still due"
    );

    println!("\nThe worker applies it to the table:");
    let began = std::time::Instant::now();
    for id in &answered {
        wait::until("the row is written", || async {
            stage
                .row(id)
                .await
                .ok()
                .filter(|(_, _, version)| *version > 0)
        })
        .await;
    }
    println!(
        "  {:>8.1} ms until all rows were there",
        began.elapsed().as_secs_f64() * 1e3
    );
    for id in &answered {
        let (stability, next, _) = stage.row(id).await?;
        println!("  {id}  stability {stability}  next review {next}");
    }

    println!("\nA wrong answer is refused as Frappe refuses, and changes nothing:");
    let bad = json!({"responses": [{"question_id": answered[0], "quality": 6}]});
    let refused = stage
        .http
        .post(SUBMIT)
        .cookie(&stage.ann)
        .json(&bad)
        .send()
        .await;
    print_line("POST submit_review_session", &refused, &said(&refused));
    ensure!(refused.status.as_u16() == 417, "quality 6 was not refused");
    ensure!(
        total(&read(stage).await?)? == due - ANSWERED as u64,
        "something changed"
    );
    Ok(())
}

/// Prints how to go on by hand.
pub(crate) fn invite(stage: &Stage) {
    let (address, site) = (stage.sidecar.address, &stage.site.name);
    let (token, sid) = (stage.ann.token(), &stage.ann.sid);
    println!(
        "\nNow yours. Everything stays up until Ctrl-C.\n\n\
         curl -s 'http://{address}{READ}?limit=3' -H 'Host: {site}' \\\n  \
           -H 'Authorization: {token}'\n\n\
         curl -s 'http://{address}{READ}?subject=Physics&limit=2' -H 'Host: {site}' \\\n  \
           -H 'Cookie: sid={sid}'\n\n\
         curl -s -X POST 'http://{address}{SUBMIT}' -H 'Host: {site}' \\\n  \
           -H 'Authorization: {token}' -H 'Content-Type: application/json' \\\n  \
           -d '{{\"responses\": [{{\"question_id\": \"STAGE-002:0\", \"quality\": 5, \"response_time_ms\": 1800}}]}}'\n\n\
         export SITE={site} SITES_PATH={}   # for the Python of README.md\n\
         export URL=http://{address} TOKEN='{token}'   # for docs/API.md\n\n\
         mariadb --socket={} -u root {}\n",
        stage.site.sites_path.display(),
        stage.site.mariadb.socket().display(),
        stage.site.db_name,
    );
}

async fn read(stage: &Stage) -> Result<Value> {
    let answer = stage.http.get(READ).cookie(&stage.ann).send().await;
    let message = good(&answer)?;
    let shown = message["questions"].as_array().map_or(0, Vec::len);
    let text = format!(
        "{} due, {shown} shown, season {}",
        message["total_due"], message["season"]
    );
    print_line("GET  get_review_session", &answer, &text);
    if let Some(first) = message["questions"].get(0) {
        println!("               first: {first}");
    }
    Ok(message)
}

async fn submit(stage: &Stage, body: &Value) -> Result<Value> {
    let answer = stage
        .http
        .post(SUBMIT)
        .cookie(&stage.ann)
        .json(body)
        .send()
        .await;
    let message = good(&answer)?;
    print_line("POST submit_review_session", &answer, &message.to_string());
    Ok(message)
}

async fn is_cached(stage: &Stage) -> bool {
    let mut redis = stage.site.cache.connection().await;
    let key = format!("srs:{}:{}", stage.ann.name, crate::stage::SEASON);
    redis::cmd("EXISTS")
        .arg(key)
        .query_async::<bool>(&mut redis)
        .await
        .unwrap_or(false)
}

fn good(answer: &Answer) -> Result<Value> {
    ensure!(
        answer.status.is_success(),
        "{}: {}",
        answer.status,
        answer.text()
    );
    Ok(answer.message())
}

fn total(session: &Value) -> Result<u64> {
    session["total_due"].as_u64().context("no total_due")
}

/// What an error says to a person.
fn said(answer: &Answer) -> String {
    let outer = answer.json()["_server_messages"]
        .as_str()
        .map(str::to_owned);
    let list: Vec<String> = outer
        .and_then(|t| serde_json::from_str(&t).ok())
        .unwrap_or_default();
    let first: Value = list
        .first()
        .and_then(|t| serde_json::from_str(t).ok())
        .unwrap_or_default();
    first["message"].as_str().unwrap_or_default().to_owned()
}

fn print_line(what: &str, answer: &Answer, text: &str) {
    let ms = answer.elapsed.as_secs_f64() * 1e3;
    println!("  {ms:>8.1} ms  {what}  {}  {text}", answer.status.as_u16());
}
