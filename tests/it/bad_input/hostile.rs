//! Sites, names, pickles and arguments chosen to do harm.

use super::*;

#[tokio::test]
async fn an_unknown_site() {
    let stage = Stage::new().await;
    let answer = stage
        .read()
        .header("x-frappe-site-name", "nosite.test")
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.text().contains("<p>nosite.test does not exist</p>"));
    stage.unharmed().await;
}

#[tokio::test]
async fn a_site_name_that_leaves_the_folder() {
    let stage = Stage::new().await;
    let site = &stage.site.name;
    for name in [
        "../x".to_owned(),
        format!("../sites/{site}"),
        format!("./{site}"),
        format!("{site}/."),
        format!("{site}/../{site}"),
        stage.site.sites_path.join(site).display().to_string(),
        "..".to_owned(),
        ".".to_owned(),
        "assets\\x".to_owned(),
        "<script>".to_owned(),
    ] {
        let answer = stage
            .read()
            .header("x-frappe-site-name", &name)
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        assert!(!answer.text().contains("<script>"), "{}", answer.text());
    }
    stage.unharmed().await;
}

/// Pickles are programs. Ours reads data out of them and runs nothing.
#[tokio::test]
async fn hostile_pickles() {
    let stage = Stage::new().await;
    let proof = stage.site.sites_path.join("proof");
    let command = format!("touch {}", proof.display());
    let deep: Vec<u8> = [b"\x80\x04".to_vec(), vec![b'('; 100_000], b".".to_vec()].concat();
    let bomb = [&b"\x80\x04]\x94"[..], &b"(h\x00h\x00e"[..], b"."].concat();
    for pickle in [
        format!("cos\nsystem\n(S'{command}'\ntR.").into_bytes(),
        format!("\u{80}cposix\nsystem\n(S'{command}'\ntR.").into_bytes(),
        [
            b"\x80\x04\x8c\x02os\x8c\x06system\x93(\x8c",
            &[command.len() as u8][..],
            command.as_bytes(),
            b"tR.",
        ]
        .concat(),
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.".to_vec(),
        b"\x80\x04B\xff\xff\xff\xff.".to_vec(),
        b"\x80\xff.".to_vec(),
        b"".to_vec(),
        b"plain text".to_vec(),
        deep,
        bomb,
    ] {
        let sid = format!("hostile{}", pickle.len());
        let key = stage.site.frappe_key("session");
        let mut redis = stage.site.cache.connection().await;
        let _: () = redis.hset(&key, &sid, &pickle).await.unwrap();
        let answer = stage
            .http
            .get(READ)
            .header("cookie", format!("sid={sid}"))
            .send()
            .await;
        assert_eq!(
            answer.status,
            StatusCode::MISDIRECTED_REQUEST,
            "{}",
            answer.text()
        );
        // What cannot be read is Frappe's, and stays where it is.
        let kept: Vec<u8> = redis.hget(&key, &sid).await.unwrap();
        assert_eq!(kept, pickle);
    }
    assert!(!proof.exists());
    stage.unharmed().await;
}

#[tokio::test]
async fn hostile_arguments_are_only_text() {
    let stage = Stage::new().await;
    for text in [
        "x' OR '1'='1",
        "x\"; DROP TABLE tabUser; --",
        "*",
        "{srs:*}",
        "%",
        "\\",
        "${jndi:ldap://x}",
    ] {
        let answer = stage.read().query(&[("season", text)]).send().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
        assert_eq!(answer.json()["exc_type"], "DoesNotExistError");
        let answer = stage.read().query(&[("subject", text)]).send().await;
        assert_eq!(answer.message()["total_due"], 0, "{text}");
    }
    let answer = stage
        .read()
        .header("authorization", "token x' OR '1'='1:y")
        .send()
        .await;
    assert_ne!(answer.status, StatusCode::OK);
    stage.unharmed().await;
}

/// Names with everything that a key, a pattern, a statement or a path could trip over.
fn hostile_names() -> [String; 8] {
    [
        "a:b:c".to_owned(),
        "*?[a-z]".to_owned(),
        "it's \"quoted\" `so`".to_owned(),
        "{brace}}{".to_owned(),
        "emoji 🦀 é".to_owned(),
        "back\\slash %s %d".to_owned(),
        "é".repeat(140),
        "🦀".repeat(70),
    ]
}

#[tokio::test]
async fn hostile_season_names() {
    let stage = Stage::new().await;
    for season in hostile_names() {
        stage.site.add_season(&season).await;
        stage
            .site
            .add_questions(&stage.student.name, &season, 4, Due::First(3))
            .await;
    }
    for season in hostile_names() {
        let answer = stage.http.post(READ).token(&stage.student);
        let answer = answer
            .json(&json!({ "season": season }))
            .send()
            .await
            .message();
        assert_eq!(answer["season"], season);
        assert_eq!(answer["total_due"], 3, "{season}");
    }
    // The season of the others is as it was.
    let answer = stage.read().query(&[("season", SEASON)]).send().await;
    assert_eq!(answer.message()["total_due"], 5);
}

#[tokio::test]
async fn hostile_user_names() {
    let stage = Stage::new().await;
    for (i, name) in hostile_names().iter().enumerate() {
        let student = stage.site.add_student(name).await;
        stage
            .site
            .add_questions(name, SEASON, i + 2, Due::All)
            .await;
        assert_eq!(stage.due(&student).await.len(), i + 2, "{name}");
        let answer = stage
            .http
            .post(SUBMIT)
            .token(&student)
            .json(&json!({"responses": [{"question_id": QUESTION, "quality": 5}]}))
            .send()
            .await;
        assert_eq!(answer.message()["processed"], 1, "{name}");
        assert_eq!(stage.due(&student).await.len(), i + 1, "{name}");
    }
    for other in [&stage.student, &stage.bystander] {
        assert_eq!(stage.due(other).await.len(), 5);
    }
}
