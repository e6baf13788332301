//! Exit codes that are not errors' own (those stand with [`seawall_engine::Kind`]).

/// The command or the settings are wrong.
pub const USAGE: u8 = 2;
/// A bug.
pub const BUG: u8 = 70;
/// What `wal fetch` answers when it can neither deliver nor truly say that there is nothing: PostgreSQL stops. From 1 to
/// 125 it would take the answer for the end of WAL and promote (`RestoreArchivedFile` in `access/transam/xlogarchive.c`).
pub const FETCH_FAILED: u8 = 126;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// As asked, and something was found that somebody must look at.
    Findings,
    /// `wal fetch`: every region said that there is no such file.
    NotThere,
    /// `status`: no recovery is possible now.
    NoRecovery,
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings | Self::NotThere => 1,
            Self::NoRecovery => 4,
        }
    }

    /// Done, or done with findings.
    #[must_use]
    pub const fn with_findings(count: u64) -> Self {
        if count == 0 { Self::Done } else { Self::Findings }
    }
}
