//! Every setting there is, declared once: name, kind, default, meaning. Parser, `config show`, suggestions and
//! `docs/SETTINGS.md` follow from this table.
//!
//! Deliberately holds nothing for later: a key stands here when something uses it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seawall_engine::repository::{Access, RegionSettings};

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// An absolute path.
    Path,
    /// `true` or `false`.
    Bool,
    /// A time span with unit, such as `"5m"`.
    Duration,
    /// Bytes per second with unit, such as `"100MiB/s"`.
    Rate,
    /// A whole number between two bounds, both included.
    Integer(i64, i64),
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// `"all"` or a number of regions.
    Ack,
    /// `"zstd:<level>"`.
    Compression,
    /// `"ed25519:…"`.
    Owner,
    /// 32 hexadecimal digits.
    RepositoryId,
    /// A list of age recipients.
    Recipients,
    /// A list of names of places.
    Places,
    /// `[[repository.region]]` tables with `name` and `url`.
    Regions,
}

impl Kind {
    /// What to write, for messages and for the reference page.
    #[must_use]
    pub fn wanted(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Path => "an absolute path".into(),
            Self::Bool => "true or false".into(),
            Self::Duration => {
                "a time span with its unit, such as \"90s\", \"5m\", \"24h\" or \"1h30m\"".into()
            }
            Self::Rate => "bytes per second with their unit, such as \"100MiB/s\"".into(),
            Self::Integer(from, to) => format!("a whole number from {from} to {to}"),
            Self::OneOf(words) => {
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            Self::Ack => "\"all\" or a number of regions".into(),
            Self::Compression => "\"zstd:LEVEL\" with a level from 1 to 19, such as \"zstd:3\"".into(),
            Self::Owner => "the owner's public key, \"ed25519:\" and 44 characters of base64".into(),
            Self::RepositoryId => "32 hexadecimal digits".into(),
            Self::Recipients => "a list of age recipients, such as [\"age1…\", \"age1…\"]".into(),
            Self::Places => "a list of places, such as [\"EU\", \"europe-west3\"]".into(),
            Self::Regions => "[[repository.region]] tables, each with a name and a url".into(),
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its place in a cluster's settings, with dots: `repository.ack`.
    pub path: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Its value when nobody sets it, as it would be written; `None` where there is none.
    pub default: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

const fn key(path: &'static str, kind: Kind, default: Option<&'static str>, help: &'static str) -> Key {
    Key { path, kind, default, help }
}

/// What a region can say, and what it means.
pub const REGION_FIELDS: &[(&str, &str)] = &[
    ("name", "What people call it. Needed."),
    (
        "url",
        "Where it is: gs://bucket/prefix, s3://bucket/prefix, az://container/prefix or file:///absolute/path. Needed.",
    ),
    (
        "credentials_file",
        "Google: JSON of a service_account, an authorized_user, an external_account (workload identity federation) or an impersonated_service_account. S3: a file like ~/.aws/credentials. Azure: TOML with account_key, or sas_token, or client_id, client_secret and tenant_id. Nobody but its owner and group may read it. Unset: what the provider's own tools would find (environment, machine's identity).",
    ),
    ("profile", "S3: the section of that file. Unset: default."),
    (
        "endpoint",
        "Where the service answers, if not at the provider's address: https://host:port; http:// on the loopback only.",
    ),
    ("ca_file", "PEM file with certificates to believe besides the system's."),
    ("proxy", "Proxy for all calls: http://host:port. Unset: HTTPS_PROXY and its fellows decide."),
    ("storage_class", "Storage class of new objects, in the provider's word (Azure: access tier)."),
    (
        "kms_key",
        "Google, S3: the key in the provider's key management that seals new objects on its side, besides our own sealing.",
    ),
    ("user_project", "Google: the project that pays for requests."),
    ("aws_region", "S3: the region that requests are signed for. Unset: AWS_REGION, else us-east-1."),
    ("account", "Azure: the storage account. Unset: AZURE_STORAGE_ACCOUNT_NAME."),
];

/// A region of its fields; none without a name and a place.
#[must_use]
pub fn region(mut fields: BTreeMap<&str, String>) -> Option<RegionSettings> {
    let mut take = |name: &str| fields.remove(name);
    Some(RegionSettings {
        name: take("name")?,
        url: take("url")?,
        access: Access {
            credentials_file: take("credentials_file").map(PathBuf::from),
            profile: take("profile"),
            endpoint: take("endpoint"),
            ca_file: take("ca_file").map(PathBuf::from),
            proxy: take("proxy"),
            storage_class: take("storage_class"),
            kms_key: take("kms_key"),
            user_project: take("user_project"),
            aws_region: take("aws_region"),
            account: take("account"),
        },
    })
}

/// All settings, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key(
        "data_directory",
        Kind::Path,
        None,
        "The server's data directory (SHOW data_directory). Only in [cluster.NAME].",
    ),
    key(
        "connection",
        Kind::Text,
        Some("dbname=postgres"),
        "How to reach the server, as libpq writes it: host (a socket directory or a name), port, user, dbname. With a \
         password in it the settings file must not be readable by others.",
    ),
    key(
        "repository.id",
        Kind::RepositoryId,
        None,
        "Which repository is meant; `init` prints it. Any other is refused.",
    ),
    key(
        "repository.owner",
        Kind::Owner,
        None,
        "Whose signatures are believed; `init` prints it. Nobody else's are.",
    ),
    key(
        "repository.encryption",
        Kind::OneOf(&["aes-256-gcm", "none"]),
        Some("aes-256-gcm"),
        "How content is sealed. A repository that is sealed otherwise is refused.",
    ),
    key(
        "repository.ack",
        Kind::Ack,
        Some("all"),
        "In which regions a WAL segment must be stored before PostgreSQL is told that it is archived: \"all\" that are healthy, or so many of them.",
    ),
    key(
        "repository.ack_degrade",
        Kind::Duration,
        Some("60s"),
        "With ack = \"all\": a region to which every call has failed for so long is done without, with an alarm, until it answers again. \
         Whoever wants no such relief sets ack to the number of regions.",
    ),
    key("repository.compression", Kind::Compression, Some("zstd:3"), "How backups are compressed."),
    key(
        "repository.wal_compression",
        Kind::Compression,
        Some("zstd:1"),
        "How WAL is compressed. PostgreSQL waits for each segment; higher levels seldom make WAL smaller.",
    ),
    key(
        "repository.recipients",
        Kind::Recipients,
        None,
        "Who can read the repository: age recipients, two or more. Used by `init`; `key add-recipient` adds one later.",
    ),
    key(
        "repository.identity_file",
        Kind::Path,
        None,
        "The age identity that opens the keys. Only on hosts where restores run, never on a database host.",
    ),
    key(
        "repository.writer_key_file",
        Kind::Path,
        Some("/var/lib/seawall/{cluster}.key"),
        "This host's signing key and its copy of the meta key, written by `init`; {cluster} stands for the cluster's name. \
         Refused when others can read it.",
    ),
    key(
        "repository.prune_key_file",
        Kind::Path,
        None,
        "The key file of a writer that has the right to prune (`key add-writer --right prune`), for `prune` and `hold`. Best on \
         a host that is no database host: who takes that one can then delete nothing. Unset: repository.writer_key_file.",
    ),
    key(
        "repository.residency",
        Kind::Places,
        None,
        "Where data may be, in the providers' names for locations (case does not count): a bucket elsewhere, and one that does not tell, is a \
         finding of `check`. A pair of regions may be where both of its regions may, or its own name. Names stand for themselves: EU is \
         Google's multi-region of that name and not everything in Europe. Unset: everywhere.",
    ),
    key(
        "repository.region",
        Kind::Regions,
        None,
        "The places that each hold the whole repository; what each can say stands below.",
    ),
    key(
        "backup.fast_checkpoint",
        Kind::Bool,
        Some("true"),
        "Whether a backup begins with a checkpoint at full speed; otherwise it waits for one spread over time.",
    ),
    key(
        "backup.checkpoint_deadline",
        Kind::Duration,
        Some("15m"),
        "How long to wait for that checkpoint before the backup gives up.",
    ),
    key(
        "backup.bandwidth",
        Kind::Rate,
        None,
        "The most a backup sends to all regions together. WAL is not held back by it. Unset: no limit.",
    ),
    key(
        "backup.read_bandwidth",
        Kind::Rate,
        None,
        "The most a backup reads from the data directory. Unset: no limit but the disk's.",
    ),
    key("backup.workers", Kind::Integer(1, 64), None, "Threads that read and seal. Unset: one for each CPU."),
    key(
        "backup.nice",
        Kind::Integer(0, 19),
        Some("10"),
        "How far a backup stands back for the server's CPU and disk: 0 not at all, 19 most.",
    ),
    key(
        "backup.include_private_keys",
        Kind::Bool,
        Some("false"),
        "Whether private keys for TLS outside the data directory are part of the backup.",
    ),
    key(
        "wal.fetch.wait_for_region",
        Kind::Duration,
        Some("5m"),
        "How long `wal fetch` waits for a region that is away before it stops the recovery. `seawall restore` writes it into the plan that it leaves.",
    ),
    key(
        "retention.last",
        Kind::Integer(0, 100_000),
        None,
        "Keeps the backups of so many newest hours that have any. Like every rule of this section it counts good backups only, and \
         never lets the newest good one go. While none of last, hourly, daily, weekly, monthly, yearly, within and pitr is \
         set, nothing is pruned.",
    ),
    key(
        "retention.hourly",
        Kind::Integer(0, 100_000),
        None,
        "Keeps the first backup of each of so many newest hours that have one.",
    ),
    key(
        "retention.daily",
        Kind::Integer(0, 100_000),
        None,
        "The same of days. Days without a backup do not count, so an absence ages nothing out.",
    ),
    key("retention.weekly", Kind::Integer(0, 100_000), None, "The same of ISO weeks, which begin on Monday."),
    key("retention.monthly", Kind::Integer(0, 100_000), None, "The same of months."),
    key("retention.yearly", Kind::Integer(0, 100_000), None, "The same of years."),
    key("retention.within", Kind::Duration, None, "Keeps every backup that is younger."),
    key(
        "retention.pitr",
        Kind::Duration,
        None,
        "Every instant of this span stays reachable: its WAL, a backup before it, and one of each day in it. Outside it a kept \
         backup keeps only the WAL that makes it consistent. Unset: the newest day.",
    ),
    key(
        "retention.max_age",
        Kind::Duration,
        None,
        "Nothing stored may be older, whatever another rule says: a backup leaves a day before. Only holds and the newest good \
         backup go before it, and are reported. At least 2 days; 3 days more than pitr and 1 more than within.",
    ),
    key(
        "retention.min_backups",
        Kind::Integer(0, 100_000),
        Some("2"),
        "So many newest good backups stay whatever the rules say, max_age excepted. Of one hour one counts.",
    ),
    key(
        "retention.time_zone",
        Kind::Text,
        Some("UTC"),
        "Where days, weeks, months and years begin: an IANA name such as \"Europe/Berlin\".",
    ),
    key(
        "retention.shrink_delay",
        Kind::Duration,
        Some("7d"),
        "How long a policy that keeps less waits before it takes effect.",
    ),
    key(
        "retention.grace",
        Kind::Duration,
        Some("24h"),
        "How long what is condemned stays before it is deleted, and can be spared. At least 6 hours.",
    ),
    key(
        "objectives.rpo",
        Kind::Duration,
        None,
        "How much may be lost at most; `status` says when it would be more.",
    ),
];

/// The setting with this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys stand below this path: `wal`, `wal.fetch`.
#[must_use]
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Names that may stand directly below a section, or at the top of a cluster's settings for the empty path.
#[must_use]
pub fn names_below(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in KEYS {
        let rest = if section.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split('.').next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// The most similar of the known names, if one is similar enough to be meant.
#[must_use]
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unique_and_no_key_is_a_section() {
        let mut paths: Vec<_> = KEYS.iter().map(|key| key.path).collect();
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair.first() != pair.last()));
        assert!(KEYS.iter().all(|key| !is_section(key.path)));
    }

    #[test]
    fn sections_know_what_may_stand_in_them() {
        assert!(
            is_section("wal") && is_section("wal.fetch") && !is_section("wal.f") && !is_section("nothing")
        );
        assert_eq!(names_below("wal"), ["fetch"]);
        assert!(names_below("").contains(&"repository"));
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        assert_eq!(suggest("compresion", names_below("repository")), Some("compression"));
        assert_eq!(suggest("xyz", names_below("repository")), None);
    }
}
