//! Reaching for another student's schedule.

use memora_tests::{Due, Student};
use serde_json::{Value, json};

use crate::bad_input::{QUESTION, READ, SEASON, SUBMIT, Stage};

/// A student with three due questions; the one who attacks has five.
async fn victim(stage: &mut Stage, name: &str) -> Student {
    let victim = stage.site.add_student(name).await;
    let due = Due::First(3);
    stage.site.add_questions(name, SEASON, 7, due).await;
    stage.expect_what_is().await;
    victim
}

async fn journal(stage: &Stage) -> Vec<(String, String)> {
    let sql = "SELECT CAST(player AS CHAR), CAST(submission_id AS CHAR) \
               FROM memora_srs_journal ORDER BY 1, 2";
    stage.site.query(sql, ()).await
}

fn one_answer(quality: u8) -> Value {
    json!([{"question_id": QUESTION, "quality": quality}])
}

/// Who asks is who is logged in, whoever the request names.
#[tokio::test]
async fn naming_another_student_is_in_vain() {
    let mut stage = Stage::new().await;
    let victim = victim(&mut stage, "victim@lab.test").await;
    for name in ["user", "player", "student", "owner", "_user", "frappe.user"] {
        let answer = stage.read().query(&[(name, &victim.name)]).send().await;
        assert_eq!(answer.message()["total_due"], 5, "{name}");
        let answer = stage.read().header("x-frappe-user", &victim.name);
        let answer = answer.json(&json!({ name: victim.name })).send().await;
        assert_eq!(answer.message()["total_due"], 5, "{name}");
    }
    stage.unharmed().await;

    let body = json!({
        "responses": [{"question_id": QUESTION, "quality": 5, "player": victim.name}],
        "user": victim.name, "player": victim.name, "submission_id": "s-1",
    });
    let answer = stage.post().json(&body).send().await;
    assert_eq!(answer.message()["processed"], 1);
    let mine = (stage.student.name.clone(), "s-1".to_owned());
    assert_eq!(journal(&stage).await, [mine]);
    assert_eq!(stage.due(&victim).await.len(), 3);
}

/// An id of a submit is worth something only to the student whose submit it is.
#[tokio::test]
async fn a_submission_id_of_another_student_opens_nothing() {
    let mut stage = Stage::new().await;
    let victim = victim(&mut stage, "victim@lab.test").await;
    let body = |quality| json!({"responses": one_answer(quality), "submission_id": "shared"});
    let theirs = stage.http.post(SUBMIT).token(&victim);
    let theirs = theirs.json(&body(5)).send().await.message();
    // Other content: a conflict if it were the same submit.
    let mine = stage.post().json(&body(1)).send().await.message();
    assert_eq!(
        (&theirs["xp_earned"], &mine["xp_earned"]),
        (&json!(25), &json!(2))
    );
    assert_ne!(theirs["persistence_job_id"], mine["persistence_job_id"]);
    let both = [&stage.student.name, &victim.name].map(|name| (name.clone(), "shared".to_owned()));
    assert_eq!(journal(&stage).await, both);
}

/// Without escapes, each two of these would share a key in Redis.
#[tokio::test]
async fn students_whose_keys_look_alike_share_nothing() {
    let stage = Stage::new().await;
    let pairs = [
        ("eve", "A:B"),
        ("eve:A", "B"),
        ("eve%3AA", "B"),
        ("{srs:eve:A:B}", "A"),
        ("eve}:details", "A"),
    ];
    for season in ["A", "B", "A:B"] {
        stage.site.add_season(season).await;
    }
    let mut students = Vec::new();
    for (i, (user, season)) in pairs.into_iter().enumerate() {
        students.push(stage.site.add_student(user).await);
        let due = Due::First(i + 1);
        stage.site.add_questions(user, season, 9, due).await;
    }
    // Twice: from the table and, filled by then, from the cache.
    for _ in 0..2 {
        for (i, student) in students.iter().enumerate() {
            for season in ["A", "B", "A:B"] {
                let answer = stage.http.get(READ).token(student);
                let answer = answer.query(&[("season", season)]).send().await.message();
                let due = if season == pairs[i].1 { i + 1 } else { 0 };
                assert_eq!(answer["total_due"], due, "{} in {season}", student.name);
            }
        }
    }
}
