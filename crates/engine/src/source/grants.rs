//! The least-privileged role: exactly what it is granted, and which grants it lacks.
//!
//! Promises: the statements are all that backups, archiving and `check` need on a server of that version (a test makes
//! exactly this role on each and runs everything as it); names are quoted.
//! Deliberately not granted: superuser, REPLICATION, reading any table, reading files through the server, CHECKPOINT.

use std::fmt::Write as _;

use seawall_pg::Version;
use serde::Serialize;

use super::connect::{Connection, QueryError};
use super::rows::literal;

const DOING: &str = "the question what the role may do";

/// Functions beyond those that start and stop a backup, and what each is for.
const FUNCTIONS: [(&str, &str); 2] = [
    (
        "pg_catalog.pg_switch_wal()",
        "finish the current WAL segment, so that a point in time is archived soon",
    ),
    ("pg_catalog.pg_create_restore_point(text)", "name a point to recover to"),
];

/// Something that the role needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The statement that gives it.
    pub statement: String,
    /// What it is needed for.
    pub purpose: &'static str,
    #[serde(skip)]
    test: Test,
}

/// How the server is asked whether a role has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Member(&'static str),
    Execute(&'static str),
}

impl Test {
    /// The expression; `who` is one as well.
    fn sql(self, who: &str) -> String {
        match self {
            Self::Member(role) => format!("pg_has_role({who}, '{role}', 'USAGE')"),
            Self::Execute(function) => format!("has_function_privilege({who}, '{function}', 'EXECUTE')"),
        }
    }
}

/// The lines that let the role in without a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessLines {
    /// For `pg_hba.conf`, above every other line for local connections.
    pub hba: String,
    /// For `pg_ident.conf`; none where role and system user have one name.
    pub ident: Option<String>,
}

/// What the role must be granted, in the database that backups connect to.
#[must_use]
pub fn grants(version: Version, role: &str) -> Vec<Grant> {
    let api = &version.facts().backup_api;
    let mut grants = vec![Grant {
        statement: format!("GRANT pg_read_all_settings TO {};", identifier(role)),
        purpose: "see where the data directory and the configuration files are",
        test: Test::Member("pg_read_all_settings"),
    }];
    let backup = [(api.start_function, "start a backup"), (api.stop_function, "end a backup")];
    for (function, purpose) in backup.into_iter().chain(FUNCTIONS) {
        grants.push(Grant {
            statement: format!("GRANT EXECUTE ON FUNCTION {function} TO {};", identifier(role)),
            purpose,
            test: Test::Execute(function),
        });
    }
    grants
}

/// The statements that make the role. Grants on functions hold in one database only, so they are to be run in the one
/// that the connection setting names. `databases` are those from which PUBLIC's CONNECT was revoked.
#[must_use]
pub fn role_sql(version: Version, role: &str, databases: &[&str]) -> Vec<String> {
    let mut statements = vec![format!("CREATE ROLE {} LOGIN;", identifier(role))];
    statements.extend(grants(version, role).into_iter().map(|grant| grant.statement));
    let connect =
        |name: &&str| format!("GRANT CONNECT ON DATABASE {} TO {};", identifier(name), identifier(role));
    statements.extend(databases.iter().map(connect));
    statements
}

/// The grants that the connection's role lacks in the connection's database.
pub async fn missing(connection: &Connection) -> Result<Vec<Grant>, QueryError> {
    let answer = connection.ask(DOING, "SELECT current_user AS role").await?;
    let role = answer.only()?.text("role")?;
    lacking(connection, &role).await
}

/// The grants that a role lacks in the connection's database.
pub(crate) async fn lacking(connection: &Connection, role: &str) -> Result<Vec<Grant>, QueryError> {
    let mut lacking = Vec::new();
    for grant in grants(connection.server_version().version, role) {
        let answer =
            connection.ask(DOING, &format!("SELECT {} AS granted", grant.test.sql(&literal(role)))).await?;
        if !answer.only()?.flag("granted")? {
            lacking.push(grant);
        }
    }
    Ok(lacking)
}

/// Lines that let `system_user` log in as `role` over the local socket, and nobody else.
#[must_use]
pub fn access_lines(role: &str, system_user: &str) -> AccessLines {
    let (quoted_role, quoted_user) = (hba_word(role), hba_word(system_user));
    if role == system_user {
        return AccessLines { hba: format!("local  all  {quoted_role}  peer"), ident: None };
    }
    AccessLines {
        hba: format!("local  all  {quoted_role}  peer  map=seawall"),
        ident: Some(format!("seawall  {quoted_user}  {quoted_role}")),
    }
}

/// A name as SQL wants it, always quoted.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name as pg_hba.conf wants it: quoted unless it is plain, because `all` or `+x` would mean something else.
fn hba_word(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain && !["all", "sameuser", "samerole", "replication"].contains(&name) {
        return name.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in name.chars() {
        // Writing to a string cannot fail.
        let _ok = if c == '"' { quoted.write_str("\"\"") } else { quoted.write_char(c) };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_gets_its_own_functions() {
        let of = |major| role_sql(Version::from_major(major).unwrap(), "seawall", &["a\"b"]).join("\n");
        assert_eq!(
            of(14),
            "CREATE ROLE \"seawall\" LOGIN;\n\
             GRANT pg_read_all_settings TO \"seawall\";\n\
             GRANT EXECUTE ON FUNCTION pg_catalog.pg_start_backup(text, boolean, boolean) TO \"seawall\";\n\
             GRANT EXECUTE ON FUNCTION pg_catalog.pg_stop_backup(boolean, boolean) TO \"seawall\";\n\
             GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO \"seawall\";\n\
             GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO \"seawall\";\n\
             GRANT CONNECT ON DATABASE \"a\"\"b\" TO \"seawall\";"
        );
        assert!(of(18).contains("pg_catalog.pg_backup_start(text, boolean)"));
        assert!(of(18).contains("pg_catalog.pg_backup_stop(boolean)"));
    }

    #[test]
    fn access_lines_map_only_where_names_differ() {
        let same = access_lines("seawall", "seawall");
        assert_eq!((same.hba.as_str(), same.ident), ("local  all  seawall  peer", None));
        let other = access_lines("all", "postgres");
        assert_eq!(other.hba, "local  all  \"all\"  peer  map=seawall");
        assert_eq!(other.ident.as_deref(), Some("seawall  postgres  \"all\""));
    }
}
