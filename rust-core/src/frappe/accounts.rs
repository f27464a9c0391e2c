//! The user's row: who a session or an API key belongs to, and what it allows.

use std::sync::Arc;

use fernet::Fernet;
use mysql_async::Row;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::rows;
use super::settings::SystemSettings;
use super::stop::{Step, Stop};
use crate::config::Secret;
use crate::servers::mariadb::MariaDb;
use crate::types::Player;
use crate::{Error, ErrorKind, Result};

const BY_NAME: &str = concat!(
    "WITH settings AS (\n",
    include_str!("sql/settings.sql"),
    ")\n",
    include_str!("sql/user_by_name.sql")
);
const BY_API_KEY: &str = concat!(
    "WITH settings AS (\n",
    include_str!("sql/settings.sql"),
    ")\n",
    include_str!("sql/user_by_api_key.sql")
);

/// A longer key is in no table.
const MAX_API_KEY_CHARS: usize = 140;

/// What is known about a user, and the settings that were read with it.
#[derive(Debug)]
pub(super) struct Account {
    /// The name as stored; as given if there is no such user.
    pub(super) player: Player,
    /// False too if there is no such user.
    pub(super) enabled: bool,
    /// Allowed beginnings of client addresses, separated by commas.
    restrict_ip: Option<String>,
    bypass_ip_check: bool,
    /// The settings of the site.
    pub(super) settings: Arc<SystemSettings>,
}

impl Account {
    /// Takes the columns `user_name`, `enabled`, `restrict_ip`, `bypass_ip_check` and the
    /// settings; `asked` is the name that was looked for.
    pub(super) fn from_row(row: &mut Row, asked: &str) -> Result<Self> {
        let name: Option<String> = rows::column(row, "user_name")?;
        let enabled: Option<i64> = rows::column(row, "enabled")?;
        let bypass: Option<i64> = rows::column(row, "bypass_ip_check")?;
        Ok(Self {
            enabled: name.is_some() && enabled.is_some_and(|flag| flag != 0),
            player: Player::stored(name.unwrap_or_else(|| asked.to_owned())),
            restrict_ip: rows::column(row, "restrict_ip")?,
            bypass_ip_check: bypass.is_some_and(|flag| flag != 0),
            settings: Arc::new(SystemSettings::from_row(row)?),
        })
    }

    /// An enabled user without restrictions.
    #[cfg(feature = "guard")]
    pub(super) fn plain(name: &str) -> Self {
        Self {
            player: Player::stored(name),
            enabled: true,
            restrict_ip: None,
            bypass_ip_check: false,
            settings: Arc::new(SystemSettings::for_test(false, false)),
        }
    }

    /// Whether the user may come from this client; `forwarded_for` is the header
    /// `X-Forwarded-For`.
    pub(super) fn allows_address(&self, forwarded_for: Option<&str>) -> bool {
        let list = match self.restrict_ip.as_deref() {
            None | Some("") => return true,
            Some(list) => list,
        };
        let settings = &self.settings;
        let bypass = settings.bypass_ip_check_for_all
            || (settings.enable_two_factor_auth && self.bypass_ip_check);
        let address = match forwarded_for {
            None | Some("") => "127.0.0.1",
            Some(header) => header.split(',').next().unwrap_or_default().trim(),
        };
        bypass || list.split(',').any(|ip| address.starts_with(ip.trim()))
    }
}

/// Reads a user by name: one statement.
pub(super) async fn by_name(db: &MariaDb, name: &str) -> Step<Arc<Account>> {
    let mut row = rows::one(db, BY_NAME, (name,)).await?;
    Ok(Arc::new(Account::from_row(&mut row, name)?))
}

/// The owner of an API key.
pub(super) struct KeyOwner {
    pub(super) account: Arc<Account>,
    /// SHA-256 of the secret: the secret itself is not kept.
    digest: [u8; 32],
}

impl KeyOwner {
    /// Whether `secret` is the key's, in constant time.
    pub(super) fn has_secret(&self, secret: &Secret) -> bool {
        let digest: [u8; 32] = Sha256::digest(secret.expose().as_bytes()).into();
        digest.ct_eq(&self.digest).into()
    }
}

/// Reads the owner of an API key: one statement.
pub(super) async fn by_api_key(
    db: &MariaDb,
    encryption_key: Option<&Secret>,
    key: &str,
) -> Step<Arc<KeyOwner>> {
    if key.is_empty() || key.chars().count() > MAX_API_KEY_CHARS {
        return Err(wrong_credentials().into());
    }
    let mut row = rows::one(db, BY_API_KEY, (key,)).await?;
    let secret: Option<String> = rows::column(&mut row, "secret")?;
    let account = Arc::new(Account::from_row(&mut row, "")?);
    // Frappe makes the encryption key with the first secret: without one there is none.
    let (Some(secret), Some(encryption_key)) = (secret, encryption_key) else {
        return Err(wrong_credentials().into());
    };
    let secret = decrypt(encryption_key, &secret).ok_or(Stop::Decline("api-secret"))?;
    Ok(Arc::new(KeyOwner {
        account,
        digest: Sha256::digest(&secret).into(),
    }))
}

/// Credentials were given and are wrong. The same words for an unknown key and a wrong
/// secret.
pub(super) fn wrong_credentials() -> Error {
    Error::new(ErrorKind::Unauthorized, "API key or secret is wrong")
}

/// The plain text of a value of `__Auth`; `None` if it is not of this key.
fn decrypt(encryption_key: &Secret, token: &str) -> Option<Vec<u8>> {
    // Frappe sets no limit on a secret's age, and a token may even come from a server
    // whose clock was ahead. The library refuses the latter unless told a time after it.
    const END_OF_TIME: u64 = u64::MAX / 2;
    Fernet::new(encryption_key.expose())?
        .decrypt_at_time(token, None, END_OF_TIME)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frappe::fixtures;

    #[test]
    fn captured_secrets_decrypt_to_their_known_texts() {
        let tables = fixtures::auth_tables();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = Secret::new(text(&tables["site_config.json"]["encryption_key"]));
        let rows = tables["__Auth"]["rows"].as_array().unwrap();
        let secrets = rows.iter().filter(|row| row["fieldname"] == "api_secret");
        let mut checked = 0;
        for row in secrets {
            let pair = text(&tables["known_plaintext"][text(&row["name"])]);
            let (_, plain) = pair.split_once(':').unwrap();
            let token = text(&row["password"]);
            assert_eq!(decrypt(&key, &token).unwrap(), plain.as_bytes());

            let other = Secret::new(Fernet::generate_key());
            assert_eq!(decrypt(&other, &token), None);
            assert_eq!(decrypt(&Secret::new("no key"), &token), None);
            assert_eq!(decrypt(&key, &token[..token.len() - 4]), None);
            checked += 1;
        }
        assert_eq!(checked, 3);
    }

    fn account(restrict_ip: Option<&str>, bypass: bool, two_factor: bool, all: bool) -> Account {
        Account {
            player: Player::stored("ann"),
            enabled: true,
            restrict_ip: restrict_ip.map(str::to_owned),
            bypass_ip_check: bypass,
            settings: Arc::new(SystemSettings::for_test(two_factor, all)),
        }
    }

    #[test]
    fn addresses_are_compared_as_frappe_does() {
        let plain = |list, header| account(list, false, false, false).allows_address(header);
        assert!(plain(None, Some("9.9.9.9")));
        assert!(plain(Some(""), Some("9.9.9.9")));
        assert!(plain(Some("10.0., 9.9"), Some("9.9.9.9")));
        assert!(!plain(Some("10.0."), Some("9.9.9.9")));
        // The first address of the header is the client's.
        assert!(!plain(Some("10.0."), Some("9.9.9.9, 10.0.0.1")));
        assert!(plain(Some("10.0."), Some(" 10.0.0.1 , 9.9.9.9")));
        // Without the header Frappe takes the client for itself.
        assert!(plain(Some("127."), None));
        assert!(!plain(Some("10."), None));
    }

    #[test]
    fn two_factor_authentication_may_lift_the_restriction() {
        let allowed = |bypass, two_factor, all| {
            account(Some("10."), bypass, two_factor, all).allows_address(Some("9.9.9.9"))
        };
        assert!(!allowed(true, false, false));
        assert!(!allowed(false, true, false));
        assert!(allowed(true, true, false));
        assert!(allowed(false, false, true));
    }
}
