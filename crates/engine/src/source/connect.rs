//! One connection to the server, and asking it.
//!
//! Promises: a connection that ends (server stopped, crashed, session killed) becomes [`QueryError::Gone`] for whoever
//! asks next and is noticed by whoever waits on [`Connection::ended`]; no time limit of the server's ends a session
//! that a backup depends on; no message contains the connection setting.
//! Deliberately not here: TLS (backups are taken where the files are, over the local socket) and reconnecting: a
//! backup's session that ended has ended the backup.

use std::sync::Arc;
use std::time::Duration;

use seawall_pg::{ServerVersion, VersionError};
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::conninfo::{self, ConninfoError};
use super::password::{Credentials, PasswordError};
use super::rows::Answer;
use crate::error::{Error, Kind};

/// How long to try to connect when the setting does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a session needs before anything else. A statement that waits for a lock for a minute waits for somebody's
/// VACUUM FULL of a catalog; saying so is better than waiting in silence. The search path keeps functions of the
/// database's owners out of our queries.
const SESSION_SETTINGS: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
     SET idle_session_timeout = 0; SET lock_timeout = '60s'; SET search_path = pg_catalog; SET DateStyle = ISO; \
     SET bytea_output = hex; SET TimeZone = 'UTC'";

/// What to connect to and with which password.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// In libpq's form, without a password.
    pub conninfo: String,
    /// Where a password may be.
    pub credentials: Credentials,
}

impl ConnectOptions {
    /// The role and the database that the setting names; no role where it leaves that to the system user's name.
    ///
    /// # Errors
    /// A setting that cannot be read.
    pub fn role_and_database(&self) -> Result<(Option<String>, String), ConninfoError> {
        let config = conninfo::parse(&self.conninfo)?;
        let database = config.get_dbname().unwrap_or_default().to_owned();
        Ok((config.get_user().map(str::to_owned), database))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ConnectError {
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("cannot connect to PostgreSQL at {place}: {reason}")]
    Refused { place: String, reason: String, code: Option<String> },
    #[error("the server at {place} reports version {text:?}")]
    VersionText { place: String, text: String },
    #[error("the server at {place} cannot be backed up")]
    Version { place: String, source: VersionError },
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Why a question to the server has no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum QueryError {
    #[error("the connection to PostgreSQL ended while {doing}: {reason}")]
    Gone { doing: &'static str, reason: String },
    #[error("PostgreSQL refused {doing}: {message}")]
    Refused { doing: &'static str, message: String, code: String, hint: Option<String> },
    #[error("PostgreSQL answered {doing} with {found:?} as {column}")]
    Unexpected { doing: &'static str, column: &'static str, found: Option<String> },
}

/// A session of the server. Dropping it ends the session.
#[derive(Debug)]
pub struct Connection {
    client: Arc<Client>,
    ended: watch::Receiver<Option<String>>,
    server: ServerVersion,
    database: String,
}

impl Connection {
    /// Connects as the setting says.
    pub async fn open(options: &ConnectOptions) -> Result<Self, ConnectError> {
        Self::open_config(conninfo::parse(&options.conninfo)?, options).await
    }

    /// Connects to another database of the same server.
    pub async fn open_database(options: &ConnectOptions, database: &str) -> Result<Self, ConnectError> {
        let mut config = conninfo::parse(&options.conninfo)?;
        config.dbname(database);
        Self::open_config(config, options).await
    }

    async fn open_config(
        mut config: tokio_postgres::Config,
        options: &ConnectOptions,
    ) -> Result<Self, ConnectError> {
        config.application_name("seawall");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if let Some(password) = options.credentials.find(&config)? {
            config.password(password.reveal());
        }
        let place = place(&config);
        let (client, connection) = config.connect(NoTls).await.map_err(|error| refused(&place, &error))?;
        let version_text = connection.parameter("server_version").unwrap_or_default().to_owned();
        let (tell_end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let reason = match connection.await {
                Ok(()) => "the session was closed".to_owned(),
                Err(error) => words(&error),
            };
            // Nobody listens any more when the connection was dropped first.
            tell_end.send_replace(Some(reason));
        });
        let database = config.get_dbname().unwrap_or_default().to_owned();
        let client = Arc::new(client);
        let asking = Asking { client: &client, ended: &ended };
        asking.ask("the session's settings", SESSION_SETTINGS).await?;
        let server = server_version(&asking, &place, version_text).await?;
        Ok(Self { client, ended, server, database })
    }

    /// The server's version.
    pub fn server_version(&self) -> ServerVersion {
        self.server
    }

    /// The database this session is in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Completes when the connection has ended, with the reason. Never, as long as it lives.
    pub async fn ended(&self) -> String {
        wait_for_end(&self.ended).await
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed() || self.ended.borrow().is_some()
    }

    /// Something that asks over this connection from elsewhere; it does not keep the session alive.
    pub(super) fn asker(&self) -> Asker {
        Asker { client: Arc::downgrade(&self.client), ended: self.ended.clone() }
    }

    /// Runs statements without parameters; `doing` is the word for it in an error.
    pub(crate) async fn ask(&self, doing: &'static str, sql: &str) -> Result<Answer, QueryError> {
        Asking { client: &self.client, ended: &self.ended }.ask(doing, sql).await
    }

    /// Asks the server to stop what this session is doing; the statement then fails with 57014.
    pub(super) async fn cancel(&self) {
        // The request goes over a connection of its own. If that fails too, dropping the session is what remains.
        let _outcome = self.client.cancel_token().cancel_query(NoTls).await;
    }
}

/// Asks over somebody else's connection.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    client: std::sync::Weak<Client>,
    ended: watch::Receiver<Option<String>>,
}

impl Asker {
    pub(super) async fn ask(&self, doing: &'static str, sql: &str) -> Result<Answer, QueryError> {
        let Some(client) = self.client.upgrade() else {
            return Err(QueryError::Gone { doing, reason: "the session was closed".to_owned() });
        };
        Asking { client: &client, ended: &self.ended }.ask(doing, sql).await
    }
}

struct Asking<'a> {
    client: &'a Client,
    ended: &'a watch::Receiver<Option<String>>,
}

impl Asking<'_> {
    async fn ask(&self, doing: &'static str, sql: &str) -> Result<Answer, QueryError> {
        match self.client.simple_query(sql).await {
            Ok(messages) => Ok(Answer::new(doing, messages.into_iter().filter_map(row).collect())),
            Err(error) => Err(self.error(doing, &error).await),
        }
    }

    async fn error(&self, doing: &'static str, error: &tokio_postgres::Error) -> QueryError {
        if let Some(refusal) = error.as_db_error() {
            // The server says why it hangs up and does so; that is the end of the session, not of the statement.
            let hangs_up = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
            if hangs_up.contains(refusal.code()) {
                return QueryError::Gone { doing, reason: refusal.message().to_owned() };
            }
            return QueryError::Refused {
                doing,
                message: refusal.message().to_owned(),
                code: refusal.code().code().to_owned(),
                hint: refusal.hint().or(refusal.detail()).map(str::to_owned),
            };
        }
        // The task that serves the connection knows the reason, and is about to say it.
        let reason = if error.is_closed() { wait_for_end(self.ended).await } else { words(error) };
        QueryError::Gone { doing, reason }
    }
}

async fn wait_for_end(ended: &watch::Receiver<Option<String>>) -> String {
    let mut ended = ended.clone();
    let unexplained = || "the connection was lost".to_owned();
    let waited = ended.wait_for(Option::is_some).await;
    waited.map_or_else(|_| unexplained(), |reason| reason.clone().unwrap_or_else(unexplained))
}

fn row(message: SimpleQueryMessage) -> Option<tokio_postgres::SimpleQueryRow> {
    match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

async fn server_version(
    asking: &Asking<'_>,
    place: &str,
    text: String,
) -> Result<ServerVersion, ConnectError> {
    let answer = asking.ask("the server's version", "SHOW server_version_num").await?;
    let number = answer.only()?.optional_text("server_version_num")?.and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| ConnectError::VersionText { place: place.to_owned(), text })?;
    ServerVersion::from_number(number)
        .map_err(|source| ConnectError::Version { place: place.to_owned(), source })
}

/// The hosts and ports tried, for messages.
fn place(config: &tokio_postgres::Config) -> String {
    let ports = config.get_ports();
    let port_of = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let named = config.get_hosts().iter().enumerate().map(|(index, host)| match host {
        tokio_postgres::config::Host::Tcp(name) => format!("{name}:{}", port_of(index)),
        tokio_postgres::config::Host::Unix(directory) => {
            directory.join(format!(".s.PGSQL.{}", port_of(index))).display().to_string()
        }
    });
    let numeric =
        config.get_hostaddrs().iter().enumerate().map(|(at, host)| format!("{host}:{}", port_of(at)));
    let places: Vec<String> = if config.get_hosts().is_empty() { numeric.collect() } else { named.collect() };
    places.join(" or ")
}

fn refused(place: &str, error: &tokio_postgres::Error) -> ConnectError {
    let code = error.code().map(|code| code.code().to_owned());
    ConnectError::Refused { place: place.to_owned(), reason: words(error), code }
}

/// What went wrong in words: the server's own, or those of the innermost cause.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return refusal.message().to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Conninfo(error) => error.into(),
            ConnectError::Password(error) => {
                Self::usage("source.password", "the server's password cannot be had")
                    .hint("give the password file mode 0600, or set PGPASSWORD")
                    .because(error)
            }
            ConnectError::Query(error) => error.into(),
            error @ ConnectError::Refused { .. } => refused_error(&error),
            ConnectError::VersionText { .. } => Self::source_side("source.version", error.to_string()).hint(
                "connect to PostgreSQL itself, not to a proxy or a database that only speaks its protocol",
            ),
            ConnectError::Version { ref place, .. } => {
                Self::source_side("source.version", format!("the server at {place} cannot be backed up"))
                    .because(error)
            }
        }
    }
}

fn refused_error(error: &ConnectError) -> Error {
    let ConnectError::Refused { code, reason, .. } = error else {
        return Error::bug("source.connect", error.to_string());
    };
    let shown = Error::source_side("source.connect", error.to_string());
    match code.as_deref() {
        Some("28000" | "28P01") => shown
            .hint("check the line for this user in pg_hba.conf and the mapping in pg_ident.conf, then reload")
            .hint("create the user with the statements that `seawall init` shows"),
        Some("3D000") => shown.hint("name a database that exists, such as dbname=postgres"),
        Some("57P03") => shown.hint("wait until the server accepts connections, then try again"),
        Some("53300") => {
            shown.hint("raise max_connections, or keep connections free (superuser_reserved_connections)")
        }
        _ if reason.contains("No such file") => shown.hint(
            "is PostgreSQL running? set host= to the directory of its socket (SHOW unix_socket_directories)",
        ),
        _ => shown.hint("is PostgreSQL running, and do host and port name it?"),
    }
}

impl From<ConninfoError> for Error {
    fn from(error: ConninfoError) -> Self {
        let shown = Self::usage("source.conninfo", error.to_string());
        match error {
            ConninfoError::Tls => {
                shown.hint("run seawall on the database's host and use the local socket: host=/var/run/postgresql")
            }
            ConninfoError::Password => shown
                .hint("put it into a password file (PGPASSFILE, mode 0600) or PGPASSWORD, or use peer authentication"),
            ConninfoError::Malformed { .. } | ConninfoError::MalformedAddress => {
                shown.hint("for example: host=/var/run/postgresql user=seawall dbname=postgres")
            }
            _ => shown.hint("the options are host, hostaddr, port, user, dbname, connect_timeout, options, keepalives*, tcp_user_timeout, target_session_attrs and sslmode"),
        }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Gone { .. } => Self::source_side("source.connection-lost", error.to_string())
                .hint("look into the server's log, and start again once it accepts connections"),
            QueryError::Refused { code, hint, .. } => {
                let shown = Self::source_side("source.refused", error.to_string()).fact("sqlstate", code);
                let shown = hint.iter().fold(shown, |shown, hint| shown.fact("server's hint", hint));
                match code.as_str() {
                    "42501" => shown.hint(
                        "`seawall check` shows which grants the role lacks, and the statements for them",
                    ),
                    "55P03" => shown.hint("somebody holds a lock on a system catalog; see pg_locks"),
                    _ => shown,
                }
            }
            QueryError::Unexpected { .. } => Self::new(Kind::Source, "source.answer", error.to_string())
                .hint("connect to PostgreSQL itself, not to a database that only speaks its protocol"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_without_anything_else_of_the_setting() {
        let config = conninfo::parse("host=/run/pg,db.example.net port=5433,5434 user=u").unwrap();
        assert_eq!(place(&config), "/run/pg/.s.PGSQL.5433 or db.example.net:5434");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_its_socket() {
        let options = ConnectOptions {
            conninfo: "host=/nonexistent/socket user=x".into(),
            credentials: Credentials::default(),
        };
        let error: Error = Connection::open(&options).await.unwrap_err().into();
        assert_eq!(error.id(), "source.connect");
        let text = error.to_string();
        assert!(
            text.contains("/nonexistent/socket/.s.PGSQL.5432") && text.contains("No such file"),
            "{text}"
        );
        assert!(error.hints()[0].contains("is PostgreSQL running?"));
    }
}
