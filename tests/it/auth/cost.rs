//! Settings, and what a login costs.

use super::*;

// Settings

#[tokio::test]
async fn settings_are_read_with_frappes_defaults() {
    let test = TestSite::builder()
        .zone(chrono_tz::Tz::Africa__Cairo)
        .build()
        .await;
    let site = test.site().await;
    let settings = read_settings(&site.db).await.unwrap();
    assert_eq!(settings.zone.name(), "Africa/Cairo");
    assert!(settings.allow_error_traceback);
    assert!(!settings.enable_two_factor_auth);
    assert_eq!(settings.session_expiry_s(FrappeVersion::V15), 170 * 3600);

    let auth = Authenticator::new(32);
    let t = now();
    assert_eq!(*auth.settings(&site.db, t).await.unwrap(), settings);
    test.exec("DELETE FROM tabSingles", ()).await;
    test.exec("DELETE FROM tabDefaultValue", ()).await;
    let minute = t.plus_seconds(60);
    assert_eq!(*auth.settings(&site.db, minute).await.unwrap(), settings);
    let later = t.plus_seconds(61);
    let bare = auth.settings(&site.db, later).await.unwrap();
    assert_eq!(bare.zone.name(), "Asia/Kolkata");
    assert!(!bare.allow_error_traceback);
    assert_eq!(bare.session_expiry_s(FrappeVersion::V14), 6 * 3600);
    assert_eq!(bare.session_expiry_s(FrappeVersion::V15), 240 * 3600);
}

// What it costs

#[tokio::test]
async fn a_cold_login_is_one_read_and_one_statement_and_a_warm_one_nothing() {
    let test = TestSite::builder().own_mariadb().build().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let evicted = add_session(&test, &ann, TimeDelta::zero(), None).await;
    test.forget_session_in_redis(&evicted.sid).await;
    let door = Arc::new(Door::of(&test).await);
    // Connections are open before anything is counted.
    read_settings(&door.site.db).await.unwrap();
    let ping = redis::cmd("PING");
    let _: String = door.site.cache_redis.query(&ping).await.unwrap();
    let mut redis = RedisCounter::start(&test.cache).await;
    let sql = SqlCounter::start(&test).await;
    let hget = |sid: &str| vec![format!("\"HGET\" \"{}|session\" \"{sid}\"", test.db_name)];

    let start = now();
    let cookie = with_sid(&ann.sid);
    assert_eq!(door.who(&cookie, start).await, "ann@example.com by Cookie");
    assert_eq!(redis.take().await, hget(&ann.sid));
    assert_eq!(sql.take().await.len(), 1);

    for seconds in 0..5 {
        door.who(&cookie, start.plus_seconds(seconds)).await;
    }
    assert!(redis.take().await.is_empty());
    assert!(sql.take().await.is_empty());

    // The user is believed longer than the session.
    door.who(&cookie, start.plus_seconds(6)).await;
    assert_eq!(redis.take().await, hget(&ann.sid));
    assert!(sql.take().await.is_empty());

    let header = ann.token();
    let token = with_header(&header);
    assert_eq!(door.who(&token, start).await, "ann@example.com by Token");
    assert_eq!(door.who(&token, start).await, "ann@example.com by Token");
    assert!(redis.take().await.is_empty());
    assert_eq!(sql.take().await.len(), 1);

    // A session that only the table knows costs one statement too, and a stamp.
    let who = door.who_cold(&with_sid(&evicted.sid)).await;
    assert_eq!(who, "ann@example.com by Cookie");
    let commands = redis.take().await;
    assert_eq!(commands[..1], hget(&evicted.sid));
    let stamp = format!("\"{}|last_db_session_update\"", test.db_name);
    assert!(
        commands[1].starts_with(&format!("\"HSETNX\" {stamp}")),
        "{commands:?}"
    );
    assert_eq!(
        commands[2..],
        [format!("\"HGET\" {stamp} \"{}\"", evicted.sid)]
    );
    assert_eq!(sql.take().await.len(), 1);

    // A crowd of one student's requests is one login.
    let crowd = (0..100).map(|_| {
        let (door, sid) = (door.clone(), bob.sid.clone());
        tokio::spawn(async move { door.who(&with_sid(&sid), now()).await })
    });
    for one in crowd.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), "bob@example.com by Cookie");
    }
    assert_eq!(redis.take().await, hget(&bob.sid));
    assert_eq!(sql.take().await.len(), 1);
}

#[tokio::test]
async fn a_session_that_redis_forgot_costs_a_statement_a_minute() {
    for version in [FrappeVersion::V14, FrappeVersion::V15] {
        let test = TestSite::builder()
            .frappe(version)
            .own_mariadb()
            .build()
            .await;
        let ann = test.add_student("ann@example.com").await;
        let door = Door::of(&test).await;
        read_settings(&door.site.db).await.unwrap();
        let sql = SqlCounter::start(&test).await;
        let cookie = with_sid(&ann.sid);
        let start = now();
        let at = async |seconds| {
            let who = door.who(&cookie, start.plus_seconds(seconds)).await;
            assert_eq!(who, "ann@example.com by Cookie", "{seconds}");
        };
        // `bench clear-cache`, before the first minute and in the middle of the third.
        test.forget_session_in_redis(&ann.sid).await;
        for (minute, statements) in [(0, 1), (1, 1), (2, 2)] {
            for seconds in (1..=60).step_by(3) {
                if (minute, seconds) == (2, 31) {
                    test.forget_session_in_redis(&ann.sid).await;
                }
                at(minute * 60 + seconds).await;
            }
            assert_eq!(sql.take().await.len(), statements, "{minute}");
        }
        // Frappe extends the session at its next request, as without the stamp.
        let (entry, stamp, _) = stored(&test, &ann.sid).await;
        assert_eq!(entry, None);
        let stamp = String::from_utf8_lossy(&stamp.unwrap()).into_owned();
        assert!(stamp.contains("2000-01-01 "), "{stamp}");

        // One that nobody knows leaves nothing behind.
        let who = door.who(&with_sid("made-up"), start).await;
        assert_eq!(who, "decline session-unknown");
        assert_eq!(stored(&test, "made-up").await, (None, None, None));
    }
}

#[tokio::test]
async fn a_logout_counts_within_five_seconds_when_redis_forgot_the_session() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let logout = async |sid: &str| {
        let delete = "DELETE FROM tabSessions WHERE sid = ?";
        test.exec(delete, (sid,)).await;
        test.forget_session_in_redis(sid).await;
    };
    for version in [FrappeVersion::V15, FrappeVersion::V16] {
        let (mut door, mut other) = (Door::of(&test).await, Door::of(&test).await);
        door.config.frappe = version;
        other.config.frappe = version;
        let session = add_session(&test, &ann, TimeDelta::zero(), None).await;
        test.forget_session_in_redis(&session.sid).await;
        if version == FrappeVersion::V16 {
            let update = "UPDATE tabSessions SET sessiondata = '{}' WHERE sid = ?";
            test.exec(update, (&session.sid,)).await;
        }
        let (cookie, start) = (with_sid(&session.sid), now());
        let at = |seconds| door.who(&cookie, start.plus_seconds(seconds));
        for seconds in [0, 6, 12] {
            assert_eq!(at(seconds).await, "ann@example.com by Cookie");
        }
        logout(&session.sid).await;
        assert_eq!(at(17).await, "ann@example.com by Cookie");
        // A stamp that another process sets does not vouch for what was read before.
        let paused = failpoint::pause(&test.name, "session_stamped");
        let request = other.who(&cookie, start.plus_seconds(18));
        let meanwhile = async {
            paused.reached().await;
            let stamp = stored(&test, &session.sid).await.1;
            assert_eq!(stamp.is_some(), version == FrappeVersion::V15);
            let mut look = std::pin::pin!(at(18));
            let early = tokio::select! {
                who = &mut look => Some(who),
                () = paused.reached() => None,
            };
            drop(paused);
            match early {
                Some(who) => who,
                None => look.await,
            }
        };
        let (theirs, ours) = tokio::join!(request, meanwhile);
        assert_eq!(theirs, "decline session-unknown");
        assert_eq!(ours, "decline session-unknown");
        assert_eq!(stored(&test, &session.sid).await, (None, None, None));
    }
}

#[tokio::test]
async fn a_logout_while_the_row_is_read_is_not_missed() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.forget_session_in_redis(&ann.sid).await;
    let door = Door::of(&test).await;
    let (cookie, start) = (with_sid(&ann.sid), now());
    let paused = failpoint::pause(&test.name, "session_stamped");
    let request = door.who(&cookie, start);
    let logout = async {
        paused.reached().await;
        test.exec("DELETE FROM tabSessions WHERE sid = ?", (&ann.sid,))
            .await;
        test.forget_session_in_redis(&ann.sid).await;
        paused.release();
    };
    // Who reads the row before its stamp would be told "by Cookie", for a minute.
    let (who, ()) = tokio::join!(request, logout);
    assert_eq!(who, "decline session-unknown");
    drop(paused);
    let later = door.who(&cookie, start.plus_seconds(6)).await;
    assert_eq!(later, "decline session-unknown");
}

/// Errors and debug output end up in logs.
#[tokio::test]
async fn nothing_secret_is_shown() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let idle = add_session(&test, &ann, TimeDelta::seconds(601), Some("csrf-token")).await;
    let door = Door::of(&test).await;
    let login = door.login(&with_sid(&idle.sid), now()).await.unwrap();
    let shown = format!("{login:?}");
    assert!(!shown.contains(&idle.sid), "{shown}");
    let show = |error: Error| format!("{error} {error:?}");
    let wrong = format!("token {}:hush", ann.api_key);
    let error = door.login(&with_header(&wrong), now()).await.unwrap_err();
    let shown = show(error);
    assert!(
        !shown.contains("hush") && !shown.contains(&ann.api_key),
        "{shown}"
    );
    let post = LoginRequest {
        method: "POST",
        ..with_sid(&idle.sid)
    };
    let shown = format!("{:?}", door.login(&post, now()).await.unwrap());
    assert!(shown.contains("Csrf") && !shown.contains("csrf-token"));
    assert!(!shown.contains(&idle.sid), "{shown}");
}
