//! Connection settings in libpq's form, checked before anything is tried.
//!
//! Promises: no message contains any part of the setting except the names of options that libpq knows, so a password
//! that slipped in is never shown; an option that would have no effect is refused by name.
//! Deliberately not here: passwords (`password`), `service` files and TLS.

use tokio_postgres::Config;

/// Options that are understood, and the name that the driver has for each.
const UNDERSTOOD: [(&str, &str); 13] = [
    ("host", "host"),
    ("hostaddr", "hostaddr"),
    ("port", "port"),
    ("user", "user"),
    ("dbname", "dbname"),
    ("connect_timeout", "connect_timeout"),
    ("options", "options"),
    ("keepalives", "keepalives"),
    ("keepalives_idle", "keepalives_idle"),
    ("keepalives_interval", "keepalives_interval"),
    ("keepalives_count", "keepalives_retries"),
    ("tcp_user_timeout", "tcp_user_timeout"),
    ("target_session_attrs", "target_session_attrs"),
];

/// Options of libpq that mean something there and nothing here.
const FOREIGN: [&str; 25] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslkey",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "ssl_min_protocol_version",
];

/// Where servers put their socket: Debian and Red Hat, and what PostgreSQL's own build uses.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The database connected to when none is named: the one every server has and nobody drops by accident.
const DATABASE: &str = "postgres";

/// Why a connection setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ConninfoError {
    #[error(
        "the connection setting is not in the form `host=... user=... dbname=...` (it goes wrong at byte {at})"
    )]
    Malformed { at: usize },
    #[error("the connection setting is not a valid postgresql:// address")]
    MalformedAddress,
    #[error("option number {number} of the connection setting is not one that PostgreSQL's libraries know")]
    UnknownOption { number: usize },
    #[error("option {option} of the connection setting is not supported")]
    UnsupportedOption { option: &'static str },
    #[error("option {option} of the connection setting has a value that cannot be used")]
    Value { option: &'static str },
    #[error("the connection setting contains a password")]
    Password,
    #[error("the connection setting asks for TLS, which is not supported yet")]
    Tls,
}

/// Reads a connection setting, `key=value` pairs or a `postgresql://` address, and fills in what is left out.
pub(super) fn parse(conninfo: &str) -> Result<Config, ConninfoError> {
    let mut config = if conninfo.starts_with("postgresql://") || conninfo.starts_with("postgres://") {
        parse_address(conninfo)?
    } else {
        parse_pairs(conninfo)?
    };
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        for directory in SOCKET_DIRECTORIES {
            config.host_path(directory);
        }
    }
    if config.get_dbname().is_none() {
        config.dbname(DATABASE);
    }
    Ok(config)
}

fn parse_address(address: &str) -> Result<Config, ConninfoError> {
    let config: Config = address.parse().map_err(|_| ConninfoError::MalformedAddress)?;
    if config.get_password().is_some() {
        return Err(ConninfoError::Password);
    }
    if config.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
        return Err(ConninfoError::Tls);
    }
    Ok(config)
}

fn parse_pairs(conninfo: &str) -> Result<Config, ConninfoError> {
    let mut known = String::new();
    for (index, (key, value)) in pairs(conninfo)?.into_iter().enumerate() {
        match key {
            "password" => return Err(ConninfoError::Password),
            "sslmode" => check_sslmode(&value)?,
            _ if value.is_empty() => {}
            _ => known.push_str(&driver_option(key, &value, index + 1)?),
        }
    }
    known.parse().map_err(|_| ConninfoError::Malformed { at: 0 })
}

fn check_sslmode(value: &str) -> Result<(), ConninfoError> {
    match value {
        "" | "disable" | "allow" | "prefer" => Ok(()),
        "require" | "verify-ca" | "verify-full" => Err(ConninfoError::Tls),
        _ => Err(ConninfoError::Value { option: "sslmode" }),
    }
}

/// One option as the driver wants it. The driver's own message is dropped because it may quote the value.
fn driver_option(key: &str, value: &str, number: usize) -> Result<String, ConninfoError> {
    let Some((option, driver_name)) = UNDERSTOOD.iter().find(|(option, _)| *option == key) else {
        let foreign = FOREIGN.iter().find(|option| **option == key);
        return Err(foreign.map_or(ConninfoError::UnknownOption { number }, |option| {
            ConninfoError::UnsupportedOption { option }
        }));
    };
    let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
    let text = format!("{driver_name}='{quoted}' ");
    text.parse::<Config>().map_err(|_| ConninfoError::Value { option })?;
    Ok(text)
}

/// Splits `key = value` pairs; a value may be quoted with `'`, and `\` takes the next character as it is.
fn pairs(conninfo: &str) -> Result<Vec<(&str, String)>, ConninfoError> {
    let mut found = Vec::new();
    let mut rest = conninfo.trim_start();
    while !rest.is_empty() {
        let here = || ConninfoError::Malformed { at: conninfo.len() - rest.len() };
        let (key, after) = rest.split_once('=').ok_or_else(here)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(here());
        }
        let (value, after) = value(after.trim_start()).ok_or_else(here)?;
        found.push((key, value));
        rest = after.trim_start();
    }
    Ok(found)
}

/// The value at the beginning of `text` and what follows it; `None` where a quote is not closed or is followed by
/// more than space.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => {
                let after = text.get(at + 1..)?;
                let ends = after.is_empty() || after.starts_with(char::is_whitespace);
                return ends.then_some((value, after));
            }
            c if !quoted && c.is_whitespace() => return Some((value, text.get(at..)?)),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn what_is_left_out_is_the_local_server_and_database_postgres() {
        let config = parse("").unwrap();
        let sockets = SOCKET_DIRECTORIES.map(|directory| Host::Unix(PathBuf::from(directory)));
        assert_eq!(config.get_hosts(), sockets);
        assert_eq!(config.get_dbname(), Some("postgres"));
    }

    #[test]
    fn quotes_and_escapes_are_libpq_s() {
        let config =
            parse(r"user = 'o\'neill' dbname=a\ b host=/tmp/x port=5433 keepalives_count=3").unwrap();
        assert_eq!(config.get_user(), Some("o'neill"));
        assert_eq!(config.get_dbname(), Some("a b"));
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(config.get_hosts(), [Host::Unix(PathBuf::from("/tmp/x"))]);
    }

    #[test]
    fn an_address_is_understood_too() {
        let config = parse("postgresql://seawall@db.example.net:5433/orders").unwrap();
        assert_eq!((config.get_user(), config.get_dbname()), (Some("seawall"), Some("orders")));
    }

    #[test]
    fn a_password_is_refused_and_never_shown() {
        for secret in [
            "password=hunter2",
            "user=x password='hun ter2'",
            "postgresql://u:hunter2@h/db",
            "password = hunter2 x",
        ] {
            let error = parse(secret).unwrap_err();
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
        // A space in an unquoted password makes its end look like an option.
        let error = parse("user=x pass=a hunter2=1").unwrap_err();
        assert_eq!(error, ConninfoError::UnknownOption { number: 2 });
    }

    #[test]
    fn tls_is_refused_in_words() {
        for asked in ["sslmode=require", "sslmode=verify-full", "postgresql://h/db?sslmode=require"] {
            assert_eq!(parse(asked).unwrap_err(), ConninfoError::Tls, "{asked}");
        }
        assert!(parse("sslmode=prefer").is_ok());
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(parse("host").unwrap_err(), ConninfoError::Malformed { at: 0 });
        assert_eq!(parse("host=a user='b").unwrap_err(), ConninfoError::Malformed { at: 7 });
        assert_eq!(parse("port=no").unwrap_err(), ConninfoError::Value { option: "port" });
        assert_eq!(parse("service=x").unwrap_err(), ConninfoError::UnsupportedOption { option: "service" });
        assert_eq!(parse("postgresql://[").unwrap_err(), ConninfoError::MalformedAddress);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_a_panic(text: String) {
            let _either = parse(&text);
        }

        #[test]
        fn any_value_survives_quoting(user in "[^\0]{1,20}") {
            let text = format!("user='{}'", user.replace('\\', "\\\\").replace('\'', "\\'"));
            let config = parse(&text).unwrap();
            prop_assert_eq!(config.get_user(), Some(user.as_str()));
        }
    }
}
