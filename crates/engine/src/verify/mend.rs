//! What to do about a finding: words, and a command that works today.
//!
//! Pure. Promises: nothing is suggested that cannot be typed; what another region makes good, one command does.

use super::found::{Found, Subject, Way};

/// What mends a finding.
pub(super) fn mend(found: &Found) -> String {
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
    match copy(found) {
        Some(words) => words,
        None => alone(found),
    }
}

/// Another region's copy beside or in place of this one.
fn copy(found: &Found) -> Option<String> {
    let good = found.elsewhere.first()?;
    let read = if found.read_good > 0 {
        format!("region {good} has a good copy")
    } else {
        format!("region {good} shows a copy")
    };
    Some(match (&found.subject, found.way) {
        (Subject::Intent, _) => format!("{read}; a running backup renews its word every hour"),
        (_, Way::Missing | Way::WalHole) => {
            format!("{read}, and restores use it; to put it here: seawall sync")
        }
        _ => format!("{read}, and restores use it; to heal this one: seawall sync --heal {}", found.object),
    })
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
        Subject::Heal(original) => {
            format!("seawall sync --heal {original} makes another, if it is still needed and a good copy is at hand")
        }
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
