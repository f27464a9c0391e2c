//! Who is asking: judges a request's cookie and credentials as Frappe would.
//!
//! The steps and their order are Frappe's: session from the cookie, user enabled, client
//! address, CSRF token, then the `Authorization` header. Whatever cannot be judged exactly,
//! or what Frappe answers by changing something (it deletes an expired session), ends in
//! [`Login::Decline`].
//!
//! | read | believed | cost when not at hand |
//! |---|---|---|
//! | session | 5 s | one `HGET`; if Redis is away, one `SELECT` |
//! | session that Redis forgot | 60 s, while Redis vouches for it every 5 s ([`table_sessions`]) | one `SELECT`, with the user |
//! | user and settings | 60 s | one `SELECT` |
//! | API key's owner and settings | 60 s | one `SELECT` |
//! | role | 1 s; to look only ([`Authenticator::had_role`]), ten minutes more while the database does not answer | one `SELECT` |
//!
//! Statements about sessions, users and keys have turns, a quarter of the process's
//! connections; who waits a second for one is told to come back.
//!
//! So a logout counts after 5 s at the latest, a disabled user or withdrawn key after
//! 60 s; while the database does not answer within a tenth of a second, what was last read
//! of user and key is believed for ten minutes more, so that students go on. A refusal is
//! never based on anything older than a second: a student who was just enabled, or whose
//! session just got its CSRF token, is read again first.
//!
//! [`table_sessions`]: super::table_sessions
//!
//! Stricter than Frappe 15 in one point: the API key of a disabled user is refused.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::accounts::{self, Account, KeyOwner, wrong_credentials};
use super::believed::{Believed, Older};
use super::credentials::Authorization;
use super::login::{AuthContext, Login, LoginRequest, Via};
use super::refresh::{Outcome, SessionRefresh};
use super::session::{Age, Session, Source};
use super::settings::{SystemSettings, read_settings};
use super::sliding_cookie::SlidingCookie;
use super::stop::{Step, Stop};
use super::table_sessions::{self, TableSessions};
use super::{roles, rows};
use crate::config::FrappeVersion;
use crate::metrics::Looked;
use crate::servers::mariadb::MariaDb;
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result, failpoint};

const SESSION_ROW: &str = concat!(
    "WITH settings AS (\n",
    include_str!("sql/settings.sql"),
    ")\n",
    include_str!("sql/session_row.sql")
);

const GUEST: &str = "Guest";
/// A longer session id is in no table.
const MAX_SID_CHARS: usize = 255;

/// How old a reading may be.
#[derive(Clone, Copy)]
struct Patience {
    session: Duration,
    account: Duration,
    /// Of accounts, while the database does not answer; `None`: then there is no answer.
    older: Option<Older>,
}

const USUAL: Patience = Patience {
    session: Duration::from_secs(5),
    account: Duration::from_secs(60),
    older: Some(WHILE_AWAY),
};
/// While the database does not answer.
const WHILE_AWAY: Older = Older {
    wait: Duration::from_millis(100),
    max_age: Duration::from_secs(660),
};
/// For a second look before a refusal. Not zero, so that a client that repeats a refused
/// request costs one reading a second.
const SECOND_LOOK: Patience = Patience {
    session: Duration::from_secs(1),
    account: Duration::from_secs(1),
    older: None,
};

/// Students whose sessions and rows are remembered, about a kilobyte each.
const STUDENTS: usize = 32_768;
const API_KEYS: usize = 8_192;
/// Users of whom it is remembered whether they may administer.
const ROLES: usize = 1_024;
const UNREFRESHABLE: usize = 1_024;
/// How long a request waits for its turn to look somebody up in the table.
const LOOKUP_WAIT: Duration = Duration::from_secs(1);

/// One site's memory of who is who.
pub struct Authenticator {
    sessions: Believed<Arc<Session>>,
    table_sessions: TableSessions,
    accounts: Believed<Arc<Account>>,
    key_owners: Believed<Arc<KeyOwner>>,
    settings: Believed<Arc<SystemSettings>>,
    /// Whether a user has a role, by role and user.
    roles: Believed<bool>,
    /// Session ids that [`Self::refresh`] could not extend: Frappe does it.
    unrefreshable: Cache<String, ()>,
    /// Turns to look somebody up in the table: made-up cookies and keys and, while Redis or
    /// the table is away, everybody's would take all connections otherwise.
    lookups: Semaphore,
}

impl Authenticator {
    /// One that knows nobody yet, for a process of so many connections to MariaDB. A
    /// quarter of them may look somebody up at once.
    pub fn new(connections: usize) -> Self {
        Self {
            lookups: Semaphore::new((connections / 4).max(1)),
            sessions: Believed::new(STUDENTS).counted_as(Looked::Session),
            table_sessions: TableSessions::new(STUDENTS),
            accounts: Believed::new(STUDENTS).counted_as(Looked::User),
            key_owners: Believed::new(API_KEYS).counted_as(Looked::ApiKey),
            settings: Believed::new(1),
            roles: Believed::new(ROLES),
            unrefreshable: Cache::new(UNREFRESHABLE),
        }
    }

    /// Says who sent `request`. One whose CSRF token is missing or wrong is
    /// [`Login::Refused`] with an error of the kind `Csrf`.
    ///
    /// # Errors
    /// - `InvalidInput`: the session's user is disabled.
    /// - `Unauthorized`: wrong credentials.
    /// - `AddressRefused`: an address that the session's user may not come from.
    /// - `BadCredentials`: `Basic` with bad base64.
    /// - `Unavailable`: the database is away, or too many sessions are being looked up.
    pub async fn authenticate(
        &self,
        ctx: &AuthContext<'_>,
        request: &LoginRequest<'_>,
        now: UtcMicros,
    ) -> Result<Login> {
        let mut attempt = Attempt {
            memory: self,
            ctx,
            request,
            now,
            patience: USUAL,
            oldest: Duration::ZERO,
            cookie: None,
        };
        let mut outcome = attempt.run().await;
        if outcome.as_ref().is_err_and(is_refusal) && attempt.oldest > SECOND_LOOK.session {
            attempt.patience = SECOND_LOOK;
            outcome = attempt.run().await;
        }
        match outcome {
            Ok(login) => Ok(login),
            Err(Stop::Decline(reason)) => Ok(Login::Decline(reason)),
            Err(Stop::Fail(error)) if error.kind() == ErrorKind::Csrf => Ok(Login::Refused {
                error,
                cookie: attempt.cookie,
            }),
            Err(Stop::Fail(error)) => Err(error),
        }
    }

    /// Extends a session after its request was answered. Runs in the background: nobody
    /// waits for it, and what it cannot do Frappe is asked to do at the session's next
    /// request.
    ///
    /// # Errors
    /// `Unavailable` if a server is away; the next request tries again.
    pub async fn refresh(&self, ctx: &AuthContext<'_>, refresh: &SessionRefresh) -> Result<()> {
        if refresh.run(ctx).await? == Outcome::Impossible {
            let sid = refresh.sid.expose().to_owned();
            self.unrefreshable.insert(sid, ());
        }
        Ok(())
    }

    /// Believes from now on that this is the session of `sid`, as Redis has it, and its
    /// user an ordinary one.
    ///
    /// # Errors
    /// `InvalidInput` if it is no session.
    #[cfg(feature = "guard")]
    pub fn believe(&self, sid: &str, session: Vec<u8>, now: UtcMicros) -> Result<()> {
        let session = Session::from_redis(session).map_err(|_| Error::invalid("no session"))?;
        let account = Arc::new(Account::plain(&session.user));
        self.accounts.put(&session.user, now, account);
        self.sessions.put(sid, now, Arc::new(session));
        Ok(())
    }

    async fn lookup_turn(&self) -> Result<SemaphorePermit<'_>> {
        match timeout(LOOKUP_WAIT, self.lookups.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                let message = "Too many logins are being checked";
                Err(Error::unavailable(message, Duration::from_secs(1)))
            }
        }
    }

    /// Whether a user has a role, believed for a second: so often who asks all the time costs
    /// a statement.
    ///
    /// # Errors
    /// `Unavailable` if the database is away, or too many users are being looked up.
    pub async fn has_role(
        &self,
        db: &MariaDb,
        user: &Player,
        role: &str,
        now: UtcMicros,
    ) -> Result<bool> {
        self.role(db, user, role, now, None).await
    }

    /// The same for who only wants to look: while the database does not answer, what was last
    /// read is believed, as it is of users. What is wrong would be hidden otherwise from those
    /// who are to mend it.
    ///
    /// # Errors
    /// As [`Self::has_role`], of a user who was not looked up lately.
    pub async fn had_role(
        &self,
        db: &MariaDb,
        user: &Player,
        role: &str,
        now: UtcMicros,
    ) -> Result<bool> {
        self.role(db, user, role, now, Some(WHILE_AWAY)).await
    }

    async fn role(
        &self,
        db: &MariaDb,
        user: &Player,
        role: &str,
        now: UtcMicros,
        older: Option<Older>,
    ) -> Result<bool> {
        if roles::has_all(user) {
            return Ok(true);
        }
        let read = async {
            let _turn = self.lookup_turn().await?;
            Ok(Box::pin(roles::read(db, user, role)).await?)
        };
        let key = format!("{role}\n{user}");
        let max_age = SECOND_LOOK.account;
        settled(match older {
            Some(older) => {
                let reading = self.roles.get_or_older(&key, now, max_age, older, read);
                reading.await
            }
            None => self.roles.get(&key, now, max_age, read).await,
        })
    }

    /// The site's settings, believed for 60 s.
    ///
    /// # Errors
    /// `Unavailable` if the database is away.
    pub async fn settings(&self, db: &MariaDb, now: UtcMicros) -> Result<Arc<SystemSettings>> {
        let read = async { Ok(Arc::new(Box::pin(read_settings(db)).await?)) };
        settled(self.settings.get("", now, USUAL.account, read).await)
    }
}

/// What a reading that declines nothing came to.
fn settled<T>(reading: Step<(T, Duration)>) -> Result<T> {
    match reading {
        Ok((value, _)) => Ok(value),
        Err(Stop::Fail(error)) => Err(error),
        Err(Stop::Decline(reason)) => Err(Error::internal(reason)),
    }
}

fn is_refusal(stop: &Stop) -> bool {
    match stop {
        Stop::Decline(_) => true,
        Stop::Fail(error) => !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal),
    }
}

/// One look at one request.
struct Attempt<'a> {
    memory: &'a Authenticator,
    ctx: &'a AuthContext<'a>,
    request: &'a LoginRequest<'a>,
    now: UtcMicros,
    patience: Patience,
    /// The age of the oldest reading that was believed.
    oldest: Duration,
    /// What keeps the browser's cookie alive, once the session counts.
    cookie: Option<SlidingCookie>,
}

/// A session that counts, with its user.
struct LoggedIn {
    session: Arc<Session>,
    account: Arc<Account>,
    wall: NaiveDateTime,
    age: Age,
}

impl Attempt<'_> {
    async fn run(&mut self) -> Step<Login> {
        let authorization = self.request.authorization.map(Authorization::parse);
        if let Some(Ok(Authorization::Bearer)) = authorization {
            return Err(Stop::Decline("bearer"));
        }
        let logged_in = match self.request.sid {
            None | Some(GUEST) => None,
            Some(sid) => Some(self.resume(sid).await?),
        };
        if let Some(logged_in) = &logged_in {
            self.cookie = self.sliding_cookie(logged_in);
            self.check_csrf(&logged_in.session)?;
        }
        let key_owner = match authorization.transpose()? {
            None | Some(Authorization::Ignored) => None,
            Some(Authorization::ApiKey { .. }) if self.request.authorization_source => {
                return Err(Stop::Decline("authorization-source"));
            }
            Some(Authorization::ApiKey { key, secret }) => {
                let owner = self.key_owner(&key).await?;
                if !owner.has_secret(&secret) {
                    return Err(wrong_credentials().into());
                }
                Some(owner)
            }
            // Looked at and worth nothing: a user's session stands, a guest is refused.
            Some(_) if logged_in.is_some() => None,
            Some(_) => return Err(wrong_credentials().into()),
        };
        match (logged_in, key_owner) {
            // Credentials beside a session must be right, but the session's user it is.
            (Some(logged_in), _) => self.welcome(&logged_in),
            (None, Some(owner)) => {
                let account = &owner.account;
                if !account.enabled || account.player.as_str() == GUEST {
                    return Err(wrong_credentials().into());
                }
                Ok(Login::User {
                    player: account.player.clone(),
                    via: Via::Token,
                    cookie: None,
                    refresh: None,
                    csrf_token: None,
                })
            }
            (None, None) => Ok(Login::Guest),
        }
    }

    /// The session behind a cookie, if its user may use it.
    async fn resume(&mut self, sid: &str) -> Step<LoggedIn> {
        if sid.is_empty() || sid.chars().count() > MAX_SID_CHARS {
            return Err(Stop::Decline("session-unknown"));
        }
        let session = self.session(sid).await?;
        if session.user == GUEST {
            return Err(Stop::Decline("session-guest"));
        }
        let account = self.account(sid, &session).await?;
        let settings = &account.settings;
        let wall = settings.zone.to_wall(self.now);
        let expiry = settings.session_expiry_s(self.ctx.config.frappe);
        let age = session.age(self.now, wall, expiry);
        if age == Age::Expired {
            return Err(Stop::Decline("session-expired"));
        }
        if !account.enabled {
            return Err(Error::invalid(format!(
                "User {} is disabled. Please contact your System Manager.",
                account.player
            ))
            .into());
        }
        if !account.allows_address(self.request.forwarded_for) {
            let message = "Access not allowed from this IP Address";
            return Err(Error::new(ErrorKind::AddressRefused, message).into());
        }
        if settings.deny_multiple_sessions {
            return Err(Stop::Decline("deny-multiple-sessions"));
        }
        Ok(LoggedIn {
            session,
            account,
            wall,
            age,
        })
    }

    fn check_csrf(&self, session: &Session) -> Step<()> {
        let frappe = self.ctx.config.frappe;
        let guarded = match self.request.method {
            "POST" | "PUT" | "DELETE" => true,
            "PATCH" => frappe > FrappeVersion::V14,
            _ => false,
        };
        if !guarded || self.ctx.config.ignore_csrf {
            return Ok(());
        }
        if frappe == FrappeVersion::V14 && session.is_mobile() {
            return Ok(());
        }
        if !session.has_csrf_token() {
            // Frappe 16 wants evidence of the same origin instead.
            return match frappe {
                FrappeVersion::V14 | FrappeVersion::V15 => Ok(()),
                FrappeVersion::V16 => Err(Stop::Decline("csrf-origin")),
            };
        }
        if session.csrf_token_is(self.request.csrf_token) {
            return Ok(());
        }
        if frappe == FrappeVersion::V16 && self.request.authorization.is_some() {
            return Err(Stop::Decline("csrf-authorization"));
        }
        Err(Error::new(ErrorKind::Csrf, "Invalid Request").into())
    }

    fn welcome(&mut self, logged_in: &LoggedIn) -> Step<Login> {
        let sid = self.request.sid.unwrap_or_default();
        let refresh = match logged_in.age {
            Age::DueForRefresh => self.plan_refresh(sid, logged_in)?,
            Age::Fresh | Age::Expired => None,
        };
        Ok(Login::User {
            player: logged_in.account.player.clone(),
            via: Via::Cookie,
            cookie: self.cookie.take(),
            refresh,
            csrf_token: logged_in.session.csrf_token().cloned(),
        })
    }

    /// The mobile app of Frappe 14 gets another cookie. Frappe sends it when it extends
    /// the session, which is always Frappe's task there.
    fn sliding_cookie(&self, logged_in: &LoggedIn) -> Option<SlidingCookie> {
        let frappe = self.ctx.config.frappe;
        let expiry = logged_in.account.settings.session_expiry_s(frappe);
        let sid = self.request.sid.unwrap_or_default();
        (frappe != FrappeVersion::V14 || !logged_in.session.is_mobile())
            .then(|| SlidingCookie::new(sid, expiry))
    }

    /// Extending is ours on Frappe 15, in the form that we know; else Frappe's.
    fn plan_refresh(&self, sid: &str, logged_in: &LoggedIn) -> Step<Option<SessionRefresh>> {
        const LEAVE_IT: Stop = Stop::Decline("session-refresh");
        if self.ctx.config.frappe != FrappeVersion::V15
            || self.memory.unrefreshable.get(sid).is_some()
        {
            return Err(LEAVE_IT);
        }
        let pickle = match &logged_in.session.source {
            Source::Redis(pickle) => Some(pickle.as_slice()),
            // Frappe puts it back into Redis as well.
            Source::Table(_) => return Err(LEAVE_IT),
            Source::TableAlone => None,
        };
        let player = &logged_in.account.player;
        let plan = SessionRefresh::plan(sid, player, pickle, logged_in.wall).ok_or(LEAVE_IT)?;
        Ok(logged_in.session.claim_refresh().then_some(plan))
    }

    // Reading

    async fn session(&mut self, sid: &str) -> Step<Arc<Session>> {
        let max_age = self.patience.session;
        // Boxed, as all readings are: few requests need one.
        let read = async { Box::pin(self.read_session(sid)).await };
        let sessions = &self.memory.sessions;
        let (session, age) = sessions.get(sid, self.now, max_age, read).await?;
        self.oldest = self.oldest.max(age);
        if let Source::Table(read_at) = session.source {
            let age = Duration::from_micros(self.now.0.abs_diff(read_at.0));
            self.oldest = self.oldest.max(age);
        }
        Ok(session)
    }

    async fn account(&mut self, sid: &str, session: &Session) -> Step<Arc<Account>> {
        let max_age = self.patience.account;
        let name = &session.user;
        let read = async {
            match session.source {
                // One statement a minute for both.
                Source::Table(_) => Ok(Box::pin(self.read_forgotten(sid)).await?.1),
                _ => {
                    let _turn = self.memory.lookup_turn().await?;
                    Box::pin(accounts::by_name(self.ctx.db, name)).await
                }
            }
        };
        let accounts = &self.memory.accounts;
        let (account, age) = match self.patience.older {
            Some(older) => {
                accounts
                    .get_or_older(name, self.now, max_age, older, read)
                    .await?
            }
            None => accounts.get(name, self.now, max_age, read).await?,
        };
        self.oldest = self.oldest.max(age);
        Ok(account)
    }

    async fn key_owner(&mut self, key: &str) -> Step<Arc<KeyOwner>> {
        let max_age = self.patience.account;
        let encryption_key = self.ctx.config.encryption_key.as_ref();
        let read = async {
            let _turn = self.memory.lookup_turn().await?;
            Box::pin(accounts::by_api_key(self.ctx.db, encryption_key, key)).await
        };
        let owners = &self.memory.key_owners;
        let (owner, age) = match self.patience.older {
            Some(older) => {
                owners
                    .get_or_older(key, self.now, max_age, older, read)
                    .await?
            }
            None => owners.get(key, self.now, max_age, read).await?,
        };
        self.oldest = self.oldest.max(age);
        Ok(owner)
    }

    async fn read_session(&self, sid: &str) -> Step<Arc<Session>> {
        let rows = &self.memory.table_sessions;
        let known = rows.get(sid, self.now, self.patience.account);
        let (session, account) = match table_sessions::look(self.ctx, sid, known.is_some()).await {
            Ok((Some(pickle), _)) => return Ok(Arc::new(Session::from_redis(pickle)?)),
            Ok((None, stamp)) => match known {
                Some(row) if row.is_vouched_by(stamp.as_deref()) => return Ok(row.session),
                _ => self.read_forgotten(sid).await?,
            },
            Err(error) => {
                tracing::debug!(?error, "session read from the table: Redis did not answer");
                self.read_row(sid, Source::TableAlone).await?
            }
        };
        let accounts = &self.memory.accounts;
        accounts.put(&session.user, self.now, account);
        Ok(session)
    }

    /// Reads a session that Redis does not have.
    async fn read_forgotten(&self, sid: &str) -> Step<(Arc<Session>, Arc<Account>)> {
        // Before the row: a logout in between takes the stamp away.
        let stamp = table_sessions::stamp(self.ctx, sid, self.now).await;
        failpoint::hit(&self.ctx.config.site, "session_stamped").await?;
        match (self.read_row(sid, Source::Table(self.now)).await, stamp) {
            (Ok((session, account)), Some(stamp)) => {
                let rows = &self.memory.table_sessions;
                rows.put(sid, self.now, session.clone(), stamp);
                Ok((session, account))
            }
            (Err(stop), Some(stamp)) => {
                table_sessions::take_back(self.ctx, sid, stamp).await;
                Err(stop)
            }
            (outcome, None) => outcome,
        }
    }

    /// Reads a session's row and the user's: one statement.
    async fn read_row(&self, sid: &str, source: Source) -> Step<(Arc<Session>, Arc<Account>)> {
        let _turn = self.memory.lookup_turn().await?;
        let mut row = rows::one(self.ctx.db, SESSION_ROW, (sid,)).await?;
        let stored: Option<String> = rows::column(&mut row, "sid")?;
        if stored.as_deref() != Some(sid) {
            return Err(Stop::Decline("session-unknown"));
        }
        let session = Session::from_row(&mut row, self.ctx.config.frappe, source)?;
        let account = Account::from_row(&mut row, &session.user)?;
        Ok((Arc::new(session), Arc::new(account)))
    }
}
