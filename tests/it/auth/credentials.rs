//! API keys, CSRF tokens, addresses, and what a login does to other sessions.

use super::*;

// API keys

#[tokio::test]
async fn api_keys_by_token_and_basic() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let (key, secret) = (&ann.api_key, &ann.api_secret);
    let pair = format!("{key}:{secret}");
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    for (header, expected) in [
        (format!("token {pair}"), "ann@example.com by Token"),
        (format!("TOKEN {pair}"), "ann@example.com by Token"),
        (basic(&pair), "ann@example.com by Token"),
        // The column's comparison ignores case, the secret's does not.
        (
            format!("token {}:{secret}", key.to_uppercase()),
            "ann@example.com by Token",
        ),
        (format!("token {key}:{}X", &secret[1..]), "Unauthorized"),
        (format!("token {key}:{secret}x"), "Unauthorized"),
        (format!("token {key}:"), "Unauthorized"),
        (format!("token :{secret}"), "Unauthorized"),
        ("token :".to_owned(), "Unauthorized"),
        (format!("token nosuchkey:{secret}"), "Unauthorized"),
        (format!("token {}:x", "k".repeat(5000)), "Unauthorized"),
        (format!("token {key}:{secret}:"), "Unauthorized"),
        (format!("token {key}"), "Unauthorized"),
        (format!("Foo {pair}"), "Unauthorized"),
        (basic("nocolon"), "Unauthorized"),
        ("Basic abc".to_owned(), "BadCredentials"),
        ("Bearer x".to_owned(), "decline bearer"),
        // Not two parts: not looked at.
        (format!("token {pair} x"), "guest"),
        ("token".to_owned(), "guest"),
        (String::new(), "guest"),
    ] {
        let who = door.who(&with_header(&header), now()).await;
        assert_eq!(who, expected, "{header:?}");
    }
    // A POST with a token needs no CSRF token.
    let token = ann.token();
    let post = LoginRequest {
        method: "POST",
        ..with_header(&token)
    };
    assert_eq!(door.who(&post, now()).await, "ann@example.com by Token");
    let source = LoginRequest {
        authorization_source: true,
        ..post
    };
    assert_eq!(
        door.who(&source, now()).await,
        "decline authorization-source"
    );
}

#[tokio::test]
async fn secrets_that_cannot_be_read() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let cid = test.add_student("cid@example.com").await;
    test.exec("DELETE FROM __Auth WHERE name = 'bob@example.com'", ())
        .await;
    let foreign = fernet::Fernet::generate_key();
    let foreign = fernet::Fernet::new(&foreign).unwrap();
    test.exec(
        "UPDATE __Auth SET password = ? WHERE name = 'cid@example.com'",
        (foreign.encrypt(cid.api_secret.as_bytes()),),
    )
    .await;
    let mut door = Door::of(&test).await;
    let (bob, cid, ann) = (bob.token(), cid.token(), ann.token());
    assert_eq!(door.who(&with_header(&bob), now()).await, "Unauthorized");
    // Frappe has words of its own for this.
    let who = door.who(&with_header(&cid), now()).await;
    assert_eq!(who, "decline api-secret");
    door.config.encryption_key = None;
    assert_eq!(door.who_cold(&with_header(&ann)).await, "Unauthorized");
    door.config.encryption_key = Some(Secret::new("no key at all"));
    let who = door.who_cold(&with_header(&ann)).await;
    assert_eq!(who, "decline api-secret");
}

#[tokio::test]
async fn a_new_secret_counts_at_once_and_the_old_one_for_a_minute_at_most() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let door = Door::of(&test).await;
    let start = now();
    let old = ann.token();
    let who = door.who(&with_header(&old), start).await;
    assert_eq!(who, "ann@example.com by Token");
    let fernet = fernet::Fernet::new(&test.encryption_key).unwrap();
    let update = "UPDATE __Auth SET password = ? WHERE name = 'ann@example.com'";
    test.exec(update, (fernet.encrypt(b"renewed"),)).await;
    let new = format!("token {}:renewed", ann.api_key);
    let soon = start.plus_seconds(2);
    assert_eq!(
        door.who(&with_header(&old), soon).await,
        "ann@example.com by Token"
    );
    assert_eq!(
        door.who(&with_header(&new), soon).await,
        "ann@example.com by Token"
    );
    assert_eq!(door.who(&with_header(&old), soon).await, "Unauthorized");
}

/// Users, secrets and encryption key of the captured site.
#[tokio::test]
async fn captured_credentials_are_accepted() {
    let tables = include_str!("../../fixtures/auth_tables.json");
    let tables: serde_json::Value = serde_json::from_str(tables).unwrap();
    let test = TestSite::new().await;
    test.exec("DELETE FROM tabUser", ()).await;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    for user in tables["tabUser"]["rows"].as_array().unwrap() {
        test.exec(
            "INSERT INTO tabUser (name, enabled, api_key, user_type) VALUES (?, ?, ?, ?)",
            (
                text(&user["name"]),
                user["enabled"].as_i64(),
                text(&user["api_key"]),
                text(&user["user_type"]),
            ),
        )
        .await;
    }
    for auth in tables["__Auth"]["rows"].as_array().unwrap() {
        test.exec(
            "INSERT INTO __Auth (doctype, name, fieldname, password, encrypted) \
             VALUES (?, ?, ?, ?, ?)",
            (
                text(&auth["doctype"]),
                text(&auth["name"]),
                text(&auth["fieldname"]),
                text(&auth["password"]),
                auth["encrypted"].as_i64(),
            ),
        )
        .await;
    }
    let mut door = Door::of(&test).await;
    let key = text(&tables["site_config.json"]["encryption_key"]).unwrap();
    door.config.encryption_key = Some(Secret::new(key));
    for (user, pair) in tables["known_plaintext"].as_object().unwrap() {
        let header = format!("token {}", pair.as_str().unwrap());
        let who = door.who(&with_header(&header), now()).await;
        assert_eq!(who, format!("{user} by Token"));
    }
    // As captured in http_get_api_basic.
    let basic = "Basic MGQxNGEyYzQ0YWVkYjVjOjQ1ZTRjOGM0MjEzN2U4NA==";
    let who = door.who(&with_header(basic), now()).await;
    assert_eq!(who, "stu000@lab.test by Token");
}

#[tokio::test]
async fn credentials_beside_a_session_are_checked_but_the_session_decides() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let bob = test.add_student("bob@example.com").await;
    let door = Door::of(&test).await;
    let right = bob.token();
    let wrong = format!("token {}:wrong", bob.api_key);
    for (header, expected) in [
        (right.as_str(), "ann@example.com by Cookie"),
        (&wrong, "Unauthorized"),
        ("Foo bar", "ann@example.com by Cookie"),
        ("token nocolon", "ann@example.com by Cookie"),
        ("Basic abc", "BadCredentials"),
        ("Bearer x", "decline bearer"),
    ] {
        let request = LoginRequest {
            authorization: Some(header),
            ..with_sid(&ann.sid)
        };
        assert_eq!(door.who(&request, now()).await, expected, "{header}");
    }
    let guest = LoginRequest {
        authorization: Some(&right),
        ..with_sid("Guest")
    };
    assert_eq!(door.who(&guest, now()).await, "bob@example.com by Token");
    // A dead cookie has side effects in Frappe, whatever stands beside it.
    let dead = LoginRequest {
        authorization: Some(&right),
        ..with_sid("0123")
    };
    assert_eq!(door.who(&dead, now()).await, "decline session-unknown");
}

// CSRF, addresses, other sessions

#[tokio::test]
async fn csrf_as_in_each_version() {
    const OK: &str = "ann@example.com by Cookie";
    for version in [FrappeVersion::V14, FrappeVersion::V15, FrappeVersion::V16] {
        let test = TestSite::builder().frappe(version).build().await;
        let ann = test.add_student("ann@example.com").await;
        let session = add_session(&test, &ann, TimeDelta::zero(), Some("token")).await;
        let mut door = Door::of(&test).await;
        let v16 = version == FrappeVersion::V16;
        let patch = match version {
            FrappeVersion::V14 => OK,
            _ => "Csrf",
        };
        for (method, given, expected) in [
            ("GET", None, OK),
            ("HEAD", None, OK),
            ("POST", None, "Csrf"),
            ("POST", Some(""), "Csrf"),
            ("POST", Some("tokeN"), "Csrf"),
            ("POST", Some("token "), "Csrf"),
            ("POST", Some("token"), OK),
            ("PUT", None, "Csrf"),
            ("DELETE", None, "Csrf"),
            ("PATCH", None, patch),
        ] {
            let request = LoginRequest {
                method,
                csrf_token: given,
                ..with_sid(&session.sid)
            };
            let who = door.who(&request, now()).await;
            assert_eq!(who, expected, "{version:?} {method} {given:?}");
        }
        // A session that never saw a page has no token.
        let post = LoginRequest {
            method: "POST",
            ..with_sid(&ann.sid)
        };
        let expected = if v16 { "decline csrf-origin" } else { OK };
        assert_eq!(door.who(&post, now()).await, expected, "{version:?}");
        // CSRF is judged before the credentials, which Frappe 16 changed.
        let header = ann.token();
        let both = LoginRequest {
            method: "POST",
            authorization: Some(&header),
            ..with_sid(&session.sid)
        };
        let expected = if v16 {
            "decline csrf-authorization"
        } else {
            "Csrf"
        };
        assert_eq!(door.who(&both, now()).await, expected, "{version:?}");

        door.config.ignore_csrf = true;
        assert_eq!(door.who(&post, now()).await, OK, "{version:?}");
    }
}

#[tokio::test]
async fn addresses_outside_the_users_list_are_refused() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    let update = "UPDATE tabUser SET restrict_ip = '10.0., 192.168.1.5' WHERE name = ?";
    test.exec(update, (&ann.name,)).await;
    let door = Door::of(&test).await;
    for (address, expected) in [
        (Some("10.0.3.4"), "ann@example.com by Cookie"),
        (Some("192.168.1.5, 1.1.1.1"), "ann@example.com by Cookie"),
        (Some("1.1.1.1, 10.0.3.4"), "AddressRefused"),
        (None, "AddressRefused"),
    ] {
        let request = LoginRequest {
            forwarded_for: address,
            ..with_sid(&ann.sid)
        };
        assert_eq!(door.who(&request, now()).await, expected, "{address:?}");
    }
    // As in Frappe, an API key may come from anywhere.
    let who = door.who(&with_header(&ann.token()), now()).await;
    assert_eq!(who, "ann@example.com by Token");
}

#[tokio::test]
async fn where_a_request_ends_other_sessions_it_is_frappes() {
    let test = TestSite::new().await;
    let ann = test.add_student("ann@example.com").await;
    test.set_system_setting("deny_multiple_sessions", "1").await;
    let door = Door::of(&test).await;
    let who = door.who(&with_sid(&ann.sid), now()).await;
    assert_eq!(who, "decline deny-multiple-sessions");
    let who = door.who(&with_header(&ann.token()), now()).await;
    assert_eq!(who, "ann@example.com by Token");
}
