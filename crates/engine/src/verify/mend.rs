//! What to do about a finding: words, and a command that works today.
//!
//! Pure. Promises: nothing is suggested that cannot be typed: there is no repair by itself yet, so a good copy is put in place with the
//! store's own tools.

use std::collections::BTreeMap;

use seawall_store::RegionName;

use super::found::{Found, Subject, Way};

/// Where regions are, by name.
pub(super) type Urls = BTreeMap<RegionName, String>;

/// What mends a finding.
pub(super) fn mend(found: &Found, urls: &Urls) -> String {
    match found.way {
        Way::Conflict => {
            return "neither copy was touched; find out which host was right, and keep the other copy aside by hand".to_owned();
        }
        Way::UnknownName => {
            return "nothing reads it; find out who put it there, and take it away by hand".to_owned();
        }
        Way::NotAdopted => {
            return "if it is yours: seawall init on its host adopts it; until then no restore and no prune touches it".to_owned();
        }
        Way::Unlisted => return "bring the region back, and run seawall verify again".to_owned(),
        Way::Unreadable => {
            return "look into the store's or the file system's own log, then run seawall verify again"
                .to_owned();
        }
        Way::ChapterDiffers => {
            return "nothing believes it against its segments; find out how its writer came to it, and take it away by hand".to_owned();
        }
        Way::IndexWrong => {
            return "seawall backup --scan reads every page and asks no index; find out how the index's writer came to it".to_owned();
        }
        Way::LinkBroken => {
            return "recovery ends before it: find out which server archived each of the two; seawall backup opens a new window behind it".to_owned();
        }
        Way::NewerFormat => return "use a newer release of seawall".to_owned(),
        Way::PageChecksum => {
            return "the page was damaged before it was stored: look at the table with pg_amcheck; once it is repaired, seawall backup --full".to_owned();
        }
        _ => {}
    }
    match copy(found, urls) {
        Some(words) => words,
        None => alone(found),
    }
}

/// Another region's copy in place of this one.
fn copy(found: &Found, urls: &Urls) -> Option<String> {
    let good = found.elsewhere.first()?;
    let read = if found.read_good > 0 {
        format!("region {good} has a good copy")
    } else {
        format!("region {good} shows a copy (seawall verify --full --region {good} reads it)")
    };
    let path = |region: &RegionName| {
        urls.get(region)
            .and_then(|url| url.strip_prefix("file://"))
            .map(|root| root.trim_end_matches('/').to_owned())
    };
    Some(match (path(good), path(&found.region)) {
        (Some(from), Some(to)) if found.way == Way::WalHole => {
            format!(
                "{read}; to put it here: mkdir -p {to}/{0} && cp -rpn {from}/{0}. {to}/{0}",
                folder(&found.object)
            )
        }
        (Some(from), Some(to)) => {
            let object = &found.object;
            format!(
                "{read}, and restores use it; to put it here: mkdir -p {to}/{} && cp -p {from}/{object} {to}/{object}",
                folder(object).trim_end_matches('/')
            )
        }
        _ => format!("{read}, and restores use it; put it here with the store's own tools"),
    })
}

fn folder(object: &str) -> &str {
    object.rfind('/').and_then(|at| object.get(..=at)).unwrap_or("")
}

fn alone(found: &Found) -> String {
    let file = found.object.rsplit('/').next().unwrap_or_default();
    let missing = matches!(found.way, Way::Missing | Way::WalHole);
    match &found.subject {
        Subject::Pack(..) | Subject::Map(..) | Subject::Manifest(..) => {
            "no other copy is known: seawall backup --full makes a backup that needs nothing of it".to_owned()
        }
        Subject::Wal(..) | Subject::Partial(..) if missing => {
            format!("if the server still has it: seawall wal push pg_wal/{file}; otherwise seawall backup opens a new window behind it")
        }
        Subject::Wal(..) | Subject::Link(..) | Subject::Partial(..) => {
            "no other copy is known: seawall backup opens a new window behind it".to_owned()
        }
        Subject::History(..) => {
            format!("take the bad copy away, if there is one; on the server: seawall wal push pg_wal/{file}")
        }
        Subject::BackupHistory => "nothing needs it: the backup's manifest holds what it says".to_owned(),
        Subject::Seawall => "no other copy is known: look for one in older copies of the region".to_owned(),
        Subject::Certificate(writer) => {
            format!("seawall key show lists the writers that are known; where {writer} is yours, look for its certificate in older copies of the region, and where it is not, find out who could write there")
        }
        Subject::Revocation(writer) => format!("seawall key revoke-writer {writer} revokes it again"),
        Subject::Key | Subject::Owner => {
            "no other copy is known: seawall key add-recipient wraps the keys anew as long as another record opens; then take this one away".to_owned()
        }
        Subject::Adoption => "take the bad copy away; seawall init on the database host adopts the system identifier again".to_owned(),
        Subject::Intent => "nothing: a running backup renews its word every hour".to_owned(),
        Subject::Hole => {
            "find out who could write to the region; seawall wal ack-hole acknowledges the hole again".to_owned()
        }
        Subject::Chapter => {
            "nothing has to be done; take it away, and a later backup may make it anew".to_owned()
        }
        Subject::Keeping | Subject::Event => "find out who could write to the region; what it said stands nowhere else".to_owned(),
        Subject::System | Subject::Stranger | Subject::Region => "find out who could write to the region".to_owned(),
    }
}
