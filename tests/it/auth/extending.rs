//! Sliding expiry: a session in use is extended as Frappe does it.

use super::*;

// Sliding expiry

#[tokio::test]
async fn a_session_in_use_is_extended_in_every_place_and_nothing_else_changes() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let old = add_session(&test, &ann, TimeDelta::seconds(601), Some("token")).await;
    let bystander = stored(&test, &bob.sid).await;
    let mut redis = test.cache.connection().await;
    let cached_user = test.frappe_key("document_cache::User::ann@example.com");
    let _: () = redis.set(&cached_user, "x").await.unwrap();

    let door = Door::of(&test).await;
    let t = now();
    let refresh = door.refresh_of(&old.sid, t).await.expect("a refresh");
    let again = door.refresh_of(&old.sid, t).await;
    assert!(again.is_none(), "one request of many does it");
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();

    // Byte for byte what Frappe would have written.
    let new = Session {
        last_updated: test.wall(utc(t)),
        ..old.clone()
    };
    let time = frappe_time(new.last_updated);
    let (entry, stamp, row) = stored(&test, &old.sid).await;
    assert_eq!(entry, Some(new.pickle()));
    assert_eq!(row, Some(format!("{time} {}", new.repr())));
    let stamp = stamp.unwrap();
    assert_eq!(stamp.len(), 41);
    assert_eq!(&stamp[13..39], time.as_bytes());
    let user = "SELECT CAST(last_active AS CHAR), CAST(modified AS CHAR) FROM tabUser \
                WHERE name = ?";
    let active: Option<(Option<String>, String)> = test.query_one(user, (&ann.name,)).await;
    let (active, modified) = active.unwrap();
    assert_eq!(active, Some(time.clone()));
    assert_ne!(modified, time);
    assert!(!redis.exists::<_, bool>(&cached_user).await.unwrap());
    assert_eq!(stored(&test, &bob.sid).await, bystander);
    let untouched: Option<(Option<String>,)> = test
        .query_one(
            "SELECT CAST(last_active AS CHAR) FROM tabUser WHERE name = ?",
            (&bob.name,),
        )
        .await;
    assert_eq!(untouched, Some((None,)));

    assert!(door.refresh_of(&old.sid, t.plus_seconds(6)).await.is_none());
    let idle = t.plus_seconds(700);
    assert!(door.refresh_of(&old.sid, idle).await.is_some());
}

#[tokio::test]
async fn a_session_that_was_logged_out_does_not_come_back() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Arc::new(Door::of(&test).await);
    let logout = async |sid: &str| {
        let delete = "DELETE FROM tabSessions WHERE sid = ?";
        test.exec(delete, (sid,)).await;
        test.forget_session_in_redis(sid).await;
    };

    // Before the refresh begins.
    let first = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let refresh = door.refresh_of(&first.sid, now()).await.unwrap();
    logout(&first.sid).await;
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();
    assert_eq!(stored(&test, &first.sid).await, (None, None, None));

    // Between the table and Redis.
    let second = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let refresh = door.refresh_of(&second.sid, now()).await.unwrap();
    let paused = failpoint::pause(&test.name, "session_row_refreshed");
    let running = {
        let door = door.clone();
        tokio::spawn(async move { door.auth.refresh(&door.ctx(), &refresh).await })
    };
    paused.reached().await;
    logout(&second.sid).await;
    paused.release();
    running.await.unwrap().unwrap();
    assert_eq!(stored(&test, &second.sid).await, (None, None, None));

    // Only the row is gone: Redis is left as it is, and Frappe asked next time.
    let third = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    let t = now();
    let refresh = door.refresh_of(&third.sid, t).await.unwrap();
    test.exec("DELETE FROM tabSessions WHERE sid = ?", (&third.sid,))
        .await;
    let before = stored(&test, &third.sid).await;
    door.auth.refresh(&door.ctx(), &refresh).await.unwrap();
    assert_eq!(stored(&test, &third.sid).await, before);
    let who = door.who(&with_sid(&third.sid), t.plus_seconds(6)).await;
    assert_eq!(who, "decline session-refresh");
}

#[tokio::test]
async fn a_csrf_token_that_came_meanwhile_is_kept() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Arc::new(Door::of(&test).await);
    // Before and after the row was read; extended later, and a little earlier, than here.
    for (point, seconds) in [
        (None, 700),
        (None, 600),
        (Some("session_row_read"), 700),
        (Some("session_row_read"), 600),
        (Some("session_row_refreshed"), 700),
    ] {
        let old = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
        let refresh = door.refresh_of(&old.sid, now()).await.unwrap();
        // Frappe gives it a token, and extends it.
        let mut with_token = old.clone();
        with_token.csrf_token = Some("token".to_owned());
        with_token.last_updated += TimeDelta::seconds(seconds);
        let frappe = async || {
            test.exec("DELETE FROM tabSessions WHERE sid = ?", (&old.sid,))
                .await;
            test.write_session(&with_token).await;
        };
        let paused = match point {
            Some(point) => Some(failpoint::pause(&test.name, point)),
            None => {
                frappe().await;
                None
            }
        };
        let task = {
            let door = door.clone();
            tokio::spawn(async move { door.auth.refresh(&door.ctx(), &refresh).await })
        };
        if let Some(paused) = paused {
            paused.reached().await;
            frappe().await;
        }
        task.await.unwrap().unwrap();
        let (entry, _, row) = stored(&test, &old.sid).await;
        assert_eq!(entry, Some(with_token.pickle()), "{point:?} {seconds}");
        let row = row.unwrap();
        assert!(row.contains("'csrf_token': 'token'"), "{point:?} {seconds}");
    }
}

#[tokio::test]
async fn what_cannot_be_extended_here_is_left_to_frappe() {
    for version in [FrappeVersion::V14, FrappeVersion::V16] {
        let test = TestSite::builder().frappe(version).build().await;
        let ann = test.add_student("ann@example.com").await;
        let idle = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
        let door = Door::of(&test).await;
        let who = door.who(&with_sid(&idle.sid), now()).await;
        assert_eq!(who, "decline session-refresh", "{version:?}");
    }
    // Frappe also puts a session back that Redis forgot.
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let idle = add_session(&test, &ann, TimeDelta::seconds(601), None).await;
    test.forget_session_in_redis(&idle.sid).await;
    let door = Door::of(&test).await;
    let t = now();
    let request = with_sid(&idle.sid);
    assert_eq!(door.who(&request, t).await, "decline session-refresh");
    // Once it did, the session is served again without delay.
    let mut extended = idle.clone();
    extended.last_updated = test.wall(utc(t));
    test.write_session_to_redis(&extended).await;
    let who = door.who(&request, t.plus_seconds(2)).await;
    assert_eq!(who, "ann@example.com by Cookie");
}
