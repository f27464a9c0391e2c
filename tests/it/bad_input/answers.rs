//! Answers that are no answers.

use super::*;

#[tokio::test]
async fn wrong_types() {
    let stage = Stage::new().await;
    for (responses, message) in [
        (json!(5), "responses must be a list of answers"),
        (
            json!({"question_id": QUESTION}),
            "responses must be a list of answers",
        ),
        (
            json!("nonsense"),
            "responses must be a list of answers, as JSON",
        ),
        (
            json!([QUESTION]),
            "responses[0] must be an object with question_id and quality",
        ),
        (
            json!([{"question_id": QUESTION, "quality": "4"}]),
            "responses[0].quality must be an integer between 0 and 5",
        ),
        (
            json!([{"question_id": QUESTION, "quality": true}]),
            "responses[0].quality must be an integer between 0 and 5",
        ),
        (
            json!([{"question_id": 7, "quality": 4}]),
            "responses[0].question_id must be a string",
        ),
        (
            json!([{"question_id": QUESTION, "quality": 4, "response_time_ms": "fast"}]),
            "responses[0].response_time_ms must be an integer between 0 and 86400000",
        ),
    ] {
        invalid(&stage.submit(responses).await, message);
    }
    let answer = stage.read().query(&[("limit", "many")]).send().await;
    invalid(&answer, "limit must be an integer between 1 and 50");
    let answer = stage.read().query(&[("subject", "")]).send().await;
    invalid(&answer, "subject must not be empty");
    stage.unharmed().await;
}

#[tokio::test]
async fn missing_fields() {
    let stage = Stage::new().await;
    invalid(
        &stage.post().json(&json!({})).send().await,
        "responses is missing",
    );
    invalid(&stage.post().send().await, "responses is missing");
    let good = json!({"question_id": QUESTION, "quality": 4});
    invalid(
        &stage.submit(json!([good, {"quality": 4}])).await,
        "responses[1].question_id must be a string",
    );
    invalid(
        &stage.submit(json!([good, {"question_id": QUESTION}])).await,
        "responses[1].quality must be an integer between 0 and 5",
    );
    stage.unharmed().await;
}

#[tokio::test]
async fn too_few_and_too_many_answers() {
    let stage = Stage::new().await;
    let item = json!({"question_id": QUESTION, "quality": 4});
    for count in [0, 51, 1000] {
        invalid(
            &stage.submit(vec![item.clone(); count].into()).await,
            &format!("responses must hold 1 to 50 answers, not {count}"),
        );
    }
    for limit in ["0", "51", "-1"] {
        let answer = stage.read().query(&[("limit", limit)]).send().await;
        invalid(&answer, "limit must be an integer between 1 and 50");
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn a_quality_beyond_5_refuses_the_whole_batch() {
    let stage = Stage::new().await;
    for quality in [json!(6), json!(-1), json!(2.5)] {
        let answer = stage
            .submit(json!([
                {"question_id": QUESTION, "quality": 4},
                {"question_id": "STAGE-000:1", "quality": quality},
            ]))
            .await;
        invalid(
            &answer,
            "responses[1].quality must be an integer between 0 and 5",
        );
    }
    stage.unharmed().await;
}

/// Python's JSON knows `NaN` and infinity, and so do its clients.
#[tokio::test]
async fn not_a_number_and_huge_numbers() {
    let stage = Stage::new().await;
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1e300",
        "99999999999999999999999",
    ] {
        for (field, bound) in [("quality", 5), ("response_time_ms", 86_400_000)] {
            let body = format!(
                r#"{{"responses": [{{"question_id": "{QUESTION}", "quality": 4, "{field}": {number}}}]}}"#
            );
            let answer = stage
                .post()
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await;
            let message = format!("responses[0].{field} must be an integer between 0 and {bound}");
            invalid(&answer, &message);
        }
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn unknown_questions_where_new_ones_are_not_allowed() {
    let mut stage = Stage::new().await;
    stage.site.set_config("srs_allow_new_questions", json!(0));
    let served = Served::start(&stage.site).await;
    stage.http = served.http(&stage.site);
    let answer = stage
        .submit(json!([
            {"question_id": QUESTION, "quality": 4},
            {"question_id": "UNKNOWN:1", "quality": 4},
        ]))
        .await;
    invalid(
        &answer,
        "responses[1].question_id is not one of your questions",
    );
    stage.unharmed().await;
}

/// No error: a student may answer a question again at once, and the last answer counts.
#[tokio::test]
async fn a_question_twice_in_a_batch() {
    let stage = Stage::new().await;
    let answer = stage
        .submit(json!([
            {"question_id": QUESTION, "quality": 1},
            {"question_id": "STAGE-000:1", "quality": 4},
            {"question_id": QUESTION, "quality": 5},
        ]))
        .await;
    assert_eq!(answer.message()["processed"], 3);
    let due = stage.due(&stage.student).await;
    assert_eq!(due, ["STAGE-000:2", "STAGE-000:3", "STAGE-000:4"]);
    assert_eq!(stage.due(&stage.bystander).await.len(), 5);
}

/// MariaDB takes such ids for one; whoever asks by another spelling means the stored one.
#[tokio::test]
async fn ids_that_differ_by_case_accent_or_blank() {
    let stage = Stage::new().await;
    let answer = stage
        .submit(json!([
            {"question_id": "stage-000:0", "quality": 4},
            {"question_id": "STÂGE-000:1", "quality": 4},
        ]))
        .await;
    assert_eq!(answer.message()["processed"], 2);
    let due = stage.due(&stage.student).await;
    assert_eq!(due, ["STAGE-000:2", "STAGE-000:3", "STAGE-000:4"]);

    for id in ["STAGE-000:2 ", " STAGE-000:2", "\u{a0}STAGE-000:2"] {
        invalid(
            &stage
                .submit(json!([{"question_id": id, "quality": 4}]))
                .await,
            "responses[0].question_id must not begin or end with a blank",
        );
    }
    assert_eq!(stage.due(&stage.student).await, due);
    assert_eq!(stage.due(&stage.bystander).await.len(), 5);
}
