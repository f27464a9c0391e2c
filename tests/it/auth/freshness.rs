//! What is believed of a login, and for how long.

use super::*;

// What is believed, and for how long

#[tokio::test]
async fn a_logout_counts_within_five_seconds() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let request = with_sid(&ann.sid);
    let start = now();
    assert_eq!(door.who(&request, start).await, "ann@example.com by Cookie");

    let delete = "DELETE FROM tabSessions WHERE sid = ?";
    test.exec(delete, (&ann.sid,)).await;
    test.forget_session_in_redis(&ann.sid).await;
    let at = |seconds| door.who(&request, start.plus_seconds(seconds));
    assert_eq!(at(5).await, "ann@example.com by Cookie");
    assert_eq!(at(6).await, "decline session-unknown");
}

#[tokio::test]
async fn a_disabled_user_counts_within_a_minute_and_an_enabled_one_at_once() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let token = ann.token();
    let enable = "UPDATE tabUser SET enabled = ? WHERE name = 'ann@example.com'";
    let start = now();
    for (request, user, refused) in [
        (
            with_sid(&ann.sid),
            "ann@example.com by Cookie",
            "InvalidInput",
        ),
        (
            with_header(&token),
            "ann@example.com by Token",
            "Unauthorized",
        ),
    ] {
        test.exec(enable, (1,)).await;
        let at = |seconds| door.who(&request, start.plus_seconds(seconds));
        assert_eq!(at(0).await, user);
        test.exec(enable, (0,)).await;
        assert_eq!(at(60).await, user);
        assert_eq!(at(61).await, refused);
        test.exec(enable, (1,)).await;
        assert_eq!(at(62).await, refused, "a second is not worth a look");
        assert_eq!(at(63).await, user);
    }
    test.exec(enable, (0,)).await;
    let cold = Door::of(&test).await;
    let error = cold.login(&with_sid(&ann.sid), now()).await.unwrap_err();
    let message = "User ann@example.com is disabled. Please contact your System Manager.";
    assert_eq!(error.message(), message);
}

#[tokio::test]
async fn a_session_of_a_deleted_user_is_refused() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.exec("DELETE FROM tabUser WHERE name = 'ann@example.com'", ())
        .await;
    let door = Door::of(&test).await;
    assert_eq!(door.who(&with_sid(&ann.sid), now()).await, "InvalidInput");
    let who = door.who(&with_header(&ann.token()), now()).await;
    assert_eq!(who, "Unauthorized");
}

#[tokio::test]
async fn a_csrf_token_that_was_just_made_is_known() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let mut session = add_session(&test, &ann, TimeDelta::zero(), Some("old")).await;
    let door = Door::of(&test).await;
    let (start, sid) = (now(), session.sid.clone());
    let post = |token| LoginRequest {
        method: "POST",
        csrf_token: Some(token),
        ..with_sid(&sid)
    };
    let who = door.who(&post("old"), start).await;
    assert_eq!(who, "ann@example.com by Cookie");
    session.csrf_token = Some("new".to_owned());
    test.write_session_to_redis(&session).await;
    let soon = start.plus_seconds(2);
    assert_eq!(door.who(&post("bad"), soon).await, "Csrf");
    assert_eq!(
        door.who(&post("new"), soon).await,
        "ann@example.com by Cookie"
    );
}
