//! What a request of a recovering server means, before any region is asked.
//!
//! Pure. Promises: `NotThere` is decided here only where it is the truth whatever the repository holds. The server asks for
//! each segment on the newest timeline that can have it and then on older ones (`XLogFileReadAnyTLI`), so "not there" for a
//! timeline that is not to be used leads it to no other life of the cluster.

use seawall_pg::{ControlFile, SegmentName, WalFileName, WalSegmentSize};

use crate::archive::plan_file::{PlanAnswer, PlanFile, PlannedWay, Standing};

/// When not finding a file is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// Never: the plan counts on it.
    Damage,
    /// When every region has said so.
    WhenProven,
    /// At once: it lies beyond the frontier, and nothing that the restore has promised depends on it.
    WhenNotServed,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Hand over this file of the archive.
    Serve(WalFileName, Absence),
    /// The server has it in `pg_wal`, if it lies there as the plan says.
    InPgWal(SegmentName),
    /// It is not there, and why that is the truth.
    NotThere(String),
    /// No answer is right.
    Stop(String),
}

/// Decides.
pub(super) fn decide(plan: Option<&PlanFile>, control: &ControlFile, file: WalFileName) -> Decision {
    if let Some(segment) = file.segment()
        && let Err(error) = segment.number(control.wal_segment_size)
    {
        return Decision::Stop(error.to_string());
    }
    let Some(plan) = plan else { return Decision::Serve(file, Absence::WhenProven) };
    match plan.standing(control) {
        Standing::ForeignSystem { found } => Decision::Stop(format!(
            "the plan is for system identifier {}, and this data directory has {found}",
            plan.system
        )),
        // The plan has done its work: what a promoted server needs, it could not know.
        Standing::Outlived { .. } => Decision::Serve(file, Absence::WhenProven),
        Standing::Applies => match &plan.way {
            // A standby follows whatever comes.
            None => Decision::Serve(file, Absence::WhenProven),
            Some(way) => by_plan(plan, way, file),
        },
    }
}

fn by_plan(plan: &PlanFile, way: &PlannedWay, file: WalFileName) -> Decision {
    let beyond = is_beyond(way, plan.segment_size, file);
    match plan.answer(file) {
        PlanAnswer::Deliver(object) => Decision::Serve(object, Absence::Damage),
        PlanAnswer::IfThere(object) => Decision::Serve(object, absence_of(beyond)),
        PlanAnswer::InPgWal => match file {
            WalFileName::Segment(segment) => Decision::InPgWal(segment),
            _ => Decision::Stop("only segments lie in pg_wal".to_owned()),
        },
        PlanAnswer::NotOfThisWay => not_of_this_way(way, file, beyond),
    }
}

/// A segment beyond the frontier may be missing. A history file decides about a timeline's number: every region must say.
fn absence_of(beyond: bool) -> Absence {
    if beyond { Absence::WhenNotServed } else { Absence::WhenProven }
}

fn is_beyond(way: &PlannedWay, size: WalSegmentSize, file: WalFileName) -> bool {
    let WalFileName::Segment(segment) = file else { return false };
    segment.first_lsn(size).is_ok_and(|first| first >= way.frontier)
}

/// Another timeline serves this part of WAL. For a timeline of the way "not there" is right: the server has asked, or will
/// ask, for the one that serves. A timeline that is not on the way means that the server follows another one than planned.
fn not_of_this_way(way: &PlannedWay, file: WalFileName, beyond: bool) -> Decision {
    let timeline = file.timeline();
    if way.path.iter().any(|span| span.timeline == timeline) {
        return Decision::NotThere(format!("another timeline than {timeline} serves this part of the plan"));
    }
    if beyond {
        // The server may go on to a timeline that began after the plan was made.
        return Decision::Serve(file, Absence::WhenProven);
    }
    Decision::Stop(format!(
        "the server follows timeline {timeline}, and the plan leads over timeline {}: was recovery_target_timeline changed?",
        way.timeline
    ))
}
