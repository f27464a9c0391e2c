//! Cookies, and the sessions behind them: in Redis, and in the table when Redis forgot.

use super::*;

// Cookies

#[tokio::test]
async fn a_cookie_with_a_session_is_its_user() {
    let test = TestSite::new().await;
    let ann = test.add_student("Ann.O'Neill+x@example.com").await;
    let door = Door::of(&test).await;
    let login = door.login(&with_sid(&ann.sid), now()).await.unwrap();
    let Login::User {
        player,
        via,
        cookie,
        refresh,
        csrf_token,
    } = login
    else {
        panic!("{login:?}")
    };
    assert_eq!(player, ann.player());
    assert_eq!(via, Via::Cookie);
    let cookie = cookie.unwrap();
    assert_eq!(cookie.sid.expose(), ann.sid);
    assert_eq!(cookie.max_age_s, 170 * 3600);
    assert!(refresh.is_none());
    assert!(csrf_token.is_none());
}

#[tokio::test]
async fn without_a_cookie_or_with_guests_it_is_a_guest() {
    let test = TestSite::new().await;
    let door = Door::of(&test).await;
    assert_eq!(door.who(&NOBODY, now()).await, "guest");
    assert_eq!(door.who(&with_sid("Guest"), now()).await, "guest");
    let post = LoginRequest {
        method: "POST",
        ..NOBODY
    };
    assert_eq!(door.who(&post, now()).await, "guest");
}

#[tokio::test]
async fn a_session_that_nobody_knows_is_left_to_frappe() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let long = "a".repeat(10_000);
    for sid in [
        "0".repeat(56).as_str(),
        "",
        &long,
        // The table's comparison ignores both.
        &ann.sid.to_uppercase(),
        &format!("{} ", ann.sid),
        "' OR 1=1 -- ",
        "%",
        "\0",
        "😀",
        "guest",
        "ann@example.com",
    ] {
        let who = door.who(&with_sid(sid), now()).await;
        assert_eq!(who, "decline session-unknown", "{sid:?}");
    }
    assert!(stored(&test, &ann.sid).await.2.is_some());
}

#[tokio::test]
async fn an_unreadable_session_is_never_a_guest() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let good = test.new_session("ann@example.com", Role::Student).pickle();
    let mut redis = test.cache.connection().await;
    let hostile: [&[u8]; 8] = [
        b"",
        b"garbage",
        b"cposix\nsystem\n(Vtrue\ntR.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"}X\x04\x00\x00\x00data}s.",
        b"]q\x00h\x00a.",
        &good[..good.len() - 1],
        &[b'('; 60_000],
    ];
    for pickle in hostile {
        let key = test.frappe_key("session");
        let _: () = redis.hset(&key, &ann.sid, pickle).await.unwrap();
        let who = Door::of(&test).await.who_cold(&with_sid(&ann.sid)).await;
        assert_eq!(who, "decline session-pickle", "{pickle:?}");
    }
    // Nor is one whose row cannot be read.
    test.forget_session_in_redis(&ann.sid).await;
    for text in ["{'a': open('/etc/passwd')}", "{\"user\": \"x\"", "", "["] {
        let update = "UPDATE tabSessions SET sessiondata = ? WHERE sid = ?";
        test.exec(update, (text, &ann.sid)).await;
        let who = Door::of(&test).await.who_cold(&with_sid(&ann.sid)).await;
        assert_eq!(who, "decline session-text", "{text}");
    }
}

#[tokio::test]
async fn an_expired_session_is_left_to_frappe_as_it_is() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let old = add_session(&test, &ann, TimeDelta::seconds(170 * 3600 + 60), None).await;
    let before = stored(&test, &old.sid).await;
    let door = Door::of(&test).await;
    let request = with_sid(&old.sid);
    assert_eq!(door.who(&request, now()).await, "decline session-expired");
    test.forget_session_in_redis(&old.sid).await;
    assert_eq!(door.who_cold(&request).await, "decline session-expired");
    assert_eq!(stored(&test, &old.sid).await.2, before.2);
}

/// A session's times are wall times: taken for UTC this one would look hours too old or
/// too young.
#[tokio::test]
async fn age_is_measured_in_the_sites_zone() {
    for zone in [
        chrono_tz::Tz::America__New_York,
        chrono_tz::Tz::Pacific__Kiritimati,
    ] {
        let test = TestSite::builder().zone(zone).build().await;
        test.set_system_setting("session_expiry", "01:00").await;
        let ann = test.add_student("ann@example.com").await;
        let door = Door::of(&test).await;
        for (minutes, expected) in [
            (0, "ann@example.com by Cookie"),
            (59, "ann@example.com by Cookie"),
            (61, "decline session-expired"),
        ] {
            let mut session = test.new_session(&ann.name, Role::Student);
            session.last_updated -= TimeDelta::minutes(minutes);
            session.expiry = "01:00:00".to_owned();
            test.write_session(&session).await;
            let who = door.who(&with_sid(&session.sid), now()).await;
            assert_eq!(who, expected, "{zone} {minutes}");
        }
    }
}

// The table

#[tokio::test]
async fn the_table_answers_when_redis_forgot() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "ann@example.com by Cookie");

    // Its CSRF token counts as well.
    let token = "c".repeat(56);
    let session = add_session(&test, &ann, TimeDelta::zero(), Some(&token)).await;
    test.forget_session_in_redis(&session.sid).await;
    let post = LoginRequest {
        method: "POST",
        ..with_sid(&session.sid)
    };
    assert_eq!(door.who(&post, now()).await, "Csrf");
    let post = LoginRequest {
        csrf_token: Some(&token),
        ..post
    };
    assert_eq!(door.who(&post, now()).await, "ann@example.com by Cookie");
}

#[tokio::test]
async fn the_table_holds_json_on_frappe_16() {
    let test = TestSite::builder().frappe(FrappeVersion::V16).build().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let request = with_sid(&ann.sid);
    assert_eq!(door.who(&request, now()).await, "decline session-text");
    let text = json!({"user": "ann@example.com", "csrf_token": null}).to_string();
    let update = "UPDATE tabSessions SET sessiondata = ? WHERE sid = ?";
    test.exec(update, (text, &ann.sid)).await;
    assert_eq!(door.who(&request, now()).await, "ann@example.com by Cookie");
}

#[tokio::test]
async fn the_table_answers_while_redis_is_away() {
    let test = TestSite::builder().own_cache().build().await;
    let ann = test.add_student("ann@example.com").await;
    let idle = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let door = Door::of(&test).await;
    test.cache.server.kill();
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "ann@example.com by Cookie");

    // Extending works on the table alone.
    let t = now();
    let refresh = door.refresh_of(&idle.sid, t).await.expect("a refresh");
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();
    let row = "SELECT lastupdate FROM tabSessions WHERE sid = ?";
    let updated: Option<NaiveDateTime> = test.query_one(row, (&idle.sid,)).await;
    assert_eq!(updated, Some(test.wall(utc(t))));
    let later = t.plus_seconds(6);
    assert!(door.refresh_of(&idle.sid, later).await.is_none());
}

#[tokio::test]
async fn without_a_database_there_is_no_answer() {
    let test = TestSite::builder().own_mariadb().build().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    test.mariadb.kill();
    for request in [with_sid(&ann.sid), with_header(&ann.token())] {
        let error = door.login(&request, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
    }
    // It is not remembered either.
    test.mariadb.start_again().await;
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "ann@example.com by Cookie");
}
