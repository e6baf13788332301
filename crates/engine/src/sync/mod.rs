//! Sync: bringing regions to what the others hold.
//!
//! The road: `absence` (who was away for too long), `wanted` (which backups and WAL are kept, what is condemned, what each manifest needs), `pass` (all names of one kind, in
//! order, with who lacks them), [`report`] for what would be done and what was; `copy` moves one object, `good` finds a good copy of it. Order: records, tombstones and
//! other small things; WAL with its parts before the whole; packs and maps; manifests last, each only where everything it needs is. Then
//! `damage` (what verifications recorded, what is asked for) and `heal`, one object beside the damaged one.
//!
//! Commit point: an object's manifest, or a file's plain name, in the region that lacked it. Promises: nothing is overwritten and nothing
//! deleted; a copy is passed on only if its signature and its digest are right; what a tombstone names is not copied, and what stands
//! under one name with two contents is left as it is and told; a run that was killed goes on where it was, since what is there is not
//! copied again; two runs at once put the same objects and find them there.
//! Deliberately does not read what both sides have, unless asked: that is `verify`'s.

mod absence;
mod border;
mod copy;
mod damage;
mod good;
mod heal;
mod pass;
mod report;
mod run;
mod wanted;

#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod scale_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undone_tests;

pub(crate) use absence::{REGION_BEGUN, REMEMBERED, forgotten, only_in};
pub use damage::Heal;
pub(crate) use good::{Bad, healed, under};
pub use report::{KindReport, RegionReport, SyncReport};
pub(crate) use run::record_prefixes;
pub use run::{SyncOptions, sync};
pub(crate) use wanted::Wanted;
