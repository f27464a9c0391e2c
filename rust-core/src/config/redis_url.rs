//! Redis addresses: what redis-py makes of a URL, in the spelling of redis-rs.
//!
//! The two libraries disagree about some URLs (`?db=2`, credentials of a unix socket), and
//! an address that is silently misread would serve one site's data from another's
//! database. So a URL is taken apart by redis-py's rules and written anew.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const DEFAULT_PORT: u16 = 6379;

/// One Redis server, and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RedisUrl {
    place: Place,
    database: u32,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix { path: String },
}

impl RedisUrl {
    /// Takes a URL apart. The error is the end of a sentence that begins with the key;
    /// it never repeats the URL.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str =
            "must be a Redis URL: redis://[user:password@]host[:port][/database] or unix:///path";
        let scheme = text.split("://").next().unwrap_or_default();
        if scheme.contains("sentinel") || scheme.contains("cluster") || has_many_hosts(text) {
            return Err("names a Redis Sentinel or Cluster, which is not supported yet");
        }
        if matches!(scheme, "rediss" | "valkeys") {
            return Err("asks for TLS, which is not supported yet: give a redis:// or unix:// URL");
        }
        // The URL crate wants a host where there is a login; a socket has none.
        let with_host = match text.split_once("://") {
            Some((scheme, rest)) if scheme.ends_with("unix") && authority(text).ends_with('@') => {
                Some(format!(
                    "{scheme}://{}",
                    rest.replacen("@/", "@localhost/", 1)
                ))
            }
            _ => None,
        };
        let url = redis::parse_redis_url(with_host.as_deref().unwrap_or(text)).ok_or(FORM)?;
        let option = |names: &[&str]| {
            url.query_pairs()
                .find(|(name, value)| names.contains(&name.as_ref()) && !value.is_empty())
                .map(|(_, value)| value.into_owned())
        };
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| "holds percent-encoded text that is not UTF-8")
        };
        let path = decode(url.path())?;
        let (place, in_path) = match url.scheme() {
            "redis" | "valkey" => {
                let host = url.host_str().filter(|h| !h.is_empty()).ok_or(FORM)?;
                let (host, port) = (host.to_owned(), url.port().unwrap_or(DEFAULT_PORT));
                (Place::Tcp { host, port }, path.trim_matches('/').to_owned())
            }
            _ if matches!(url.host_str(), None | Some("" | "localhost")) && path.len() > 1 => {
                (Place::Unix { path }, String::new())
            }
            _ => return Err(FORM),
        };
        let given = |text: &str| (!text.is_empty()).then(|| decode(text)).transpose();
        let database = option(&["db"]).unwrap_or(in_path);
        let parsed = Self {
            place,
            database: match database.as_str() {
                "" => 0,
                number => number
                    .parse()
                    .map_err(|_| "must name the Redis database by a number")?,
            },
            username: given(url.username())?.or_else(|| option(&["username", "user"])),
            password: given(url.password().unwrap_or_default())?
                .or_else(|| option(&["password", "pass"])),
        };
        // What redis-rs will not take is refused here, where the key is known.
        redis::Client::open(parsed.to_url()).map_err(|_| FORM)?;
        Ok(parsed)
    }

    /// Adds credentials where the URL has none of its own (which win, as in redis-py).
    #[must_use]
    pub(super) fn or_credentials(mut self, username: &str, password: &str) -> Self {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.username = self.username.or_else(|| given(username));
        self.password = self.password.or_else(|| given(password));
        self
    }

    /// Whether a password is known.
    pub(super) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// For redis-rs. Holds the password.
    pub(super) fn to_url(&self) -> String {
        self.spell(self.password.as_deref().map(encode))
    }

    /// For printing.
    pub(super) fn masked(&self) -> String {
        self.spell(self.password.as_ref().map(|_| "***".to_owned()))
    }

    /// Server and database without credentials: two that are equal are the same data.
    pub(super) fn identity(&self) -> String {
        let mut place = self.place.clone();
        if let Place::Tcp { host, .. } = &mut place
            && (host == "localhost" || host == "[::1]")
        {
            "127.0.0.1".clone_into(host);
        }
        let bare = Self {
            place,
            database: self.database,
            username: None,
            password: None,
        };
        bare.to_url()
    }

    /// Writes the URL with a password that is already encoded.
    fn spell(&self, password: Option<String>) -> String {
        let username = self.username.as_deref().map(encode);
        let database = self.database;
        match &self.place {
            Place::Tcp { host, port } => {
                let login = match (username, password) {
                    (None, None) => String::new(),
                    (Some(user), None) => format!("{user}@"),
                    (user, Some(password)) => {
                        format!("{}:{password}@", user.unwrap_or_default())
                    }
                };
                format!("redis://{login}{host}:{port}/{database}")
            }
            Place::Unix { path } => {
                let path: Vec<_> = path.split('/').map(encode).collect();
                let mut url = format!("redis+unix://{}?db={database}", path.join("/"));
                if let Some(user) = username {
                    url += &format!("&user={user}");
                }
                if let Some(password) = password {
                    url += &format!("&pass={password}");
                }
                url
            }
        }
    }
}

/// The part with login and host.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether the part between login and path lists hosts.
fn has_many_hosts(url: &str) -> bool {
    let hosts = authority(url).rsplit('@').next().unwrap_or_default();
    hosts.contains(',')
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use redis::{ConnectionAddr, IntoConnectionInfo};

    use super::*;

    /// What redis-rs will do with a URL: place, database, user, password.
    fn understood(url: &str) -> (String, i64, Option<String>, Option<String>) {
        let info = url.into_connection_info().unwrap();
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host} {port}"),
            ConnectionAddr::Unix(path) => path.display().to_string(),
            other => panic!("{other}"),
        };
        let redis = info.redis_settings();
        (
            place,
            redis.db(),
            redis.username().map(str::to_owned),
            redis.password().map(str::to_owned),
        )
    }

    #[test]
    fn a_url_means_to_redis_rs_what_it_means_to_redis_py() {
        let some = |s: &str| Some(s.to_owned());
        for (text, place, db, user, password) in [
            ("redis://127.0.0.1:13000", "127.0.0.1 13000", 0, None, None),
            ("redis://redis-cache", "redis-cache 6379", 0, None, None),
            ("redis://h:1/3", "h 1", 3, None, None),
            ("redis://h:1?db=2", "h 1", 2, None, None),
            ("redis://h:1/3?db=2&socket_timeout=5", "h 1", 2, None, None),
            ("redis://[::1]:7", "::1 7", 0, None, None),
            ("redis://:p%40ss@h", "h 6379", 0, None, some("p@ss")),
            ("redis://u:p@h", "h 6379", 0, some("u"), some("p")),
            ("redis://u:p@ss@h", "h 6379", 0, some("u"), some("p@ss")),
            ("redis://:a,b@h", "h 6379", 0, None, some("a,b")),
            ("redis://h?password=p%2Fq", "h 6379", 0, None, some("p/q")),
            ("unix:///run/r.sock", "/run/r.sock", 0, None, None),
            (
                "unix:///run/r%20s.sock?db=4",
                "/run/r s.sock",
                4,
                None,
                None,
            ),
            ("unix:///r?password=a%2Bb", "/r", 0, None, some("a+b")),
            (
                "unix://u:p@/r.sock?db=1",
                "/r.sock",
                1,
                some("u"),
                some("p"),
            ),
        ] {
            let url = RedisUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let expected = (place.to_owned(), db, user, password);
            assert_eq!(understood(&url.to_url()), expected, "{text}");
            let again = RedisUrl::parse(&url.to_url()).unwrap();
            assert!(again == url, "{text} must be stable");
        }
    }

    #[test]
    fn credentials_survive_any_characters() {
        let password = "a:b@c/d?e#f%41+ g\u{e9}&=\"'";
        for base in ["redis://h:1", "unix:///run/r.sock"] {
            let url = RedisUrl::parse(base).unwrap();
            let url = url.or_credentials("home-frappe-bench", password);
            let (_, _, user, pass) = understood(&url.to_url());
            assert_eq!(user.as_deref(), Some("home-frappe-bench"), "{base}");
            assert_eq!(pass.as_deref(), Some(password), "{base}");
            assert!(url.masked().contains("***"), "{base}");
            assert!(!url.masked().contains("a%3Ab"), "{base}");
        }
        let url = RedisUrl::parse("redis://own:secret@h").unwrap();
        let url = url.or_credentials("other", "other");
        assert_eq!(url.masked(), "redis://own:***@h:6379/0");
        assert_eq!(understood(&url.to_url()).3.as_deref(), Some("secret"));
    }

    #[test]
    fn what_cannot_be_reached_is_refused_and_not_repeated() {
        for (text, word) in [
            ("", "Redis URL"),
            ("localhost:13000", "Redis URL"),
            ("http://localhost", "Redis URL"),
            ("redis://", "Redis URL"),
            ("redis://0.0.0.0:1", "Redis URL"),
            ("redis://h:99999", "Redis URL"),
            ("unix://", "Redis URL"),
            ("unix://u:hunter2@", "Redis URL"),
            ("unix://run/r.sock", "Redis URL"),
            ("unix:r.sock", "Redis URL"),
            ("redis://u:hunter2@/0", "Redis URL"),
            ("redis://:hunter2@h/x", "number"),
            ("redis://:hunter2@h/-1", "number"),
            ("redis://:hunter2%ff@h", "UTF-8"),
            ("rediss://:hunter2@h", "TLS"),
            ("redis+sentinel://:hunter2@h/mymaster", "Sentinel"),
            ("redis://:hunter2@a:1,b:2", "Cluster"),
        ] {
            let problem = RedisUrl::parse(text).err().expect(text);
            assert!(problem.contains(word), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn the_same_data_is_recognised_under_another_login() {
        let id = |text| RedisUrl::parse(text).unwrap().identity();
        assert_eq!(id("redis://localhost"), id("redis://u:p@127.0.0.1:6379/0"));
        assert_ne!(id("redis://localhost"), id("redis://localhost/1"));
        assert_ne!(id("redis://localhost"), id("redis://localhost:6380"));
    }
}
