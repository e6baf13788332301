//! The acknowledgement rule: when a put counts as done.
//!
//! Pure: results in, verdict out. Promises: never met while a region that answered holds other bytes under the name.
//! Does not do: degrading the rule after a time; its owner calls with another rule and says so.

use super::PerRegion;
use crate::error::StoreError;
use crate::put::Put;
use crate::region::RegionName;
use serde::{Deserialize, Serialize};

/// How many regions must hold an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// Every region of the repository.
    All,
    /// At least so many; 0 is taken as 1.
    AtLeast(usize),
}

/// What the rule says of one put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it is met.
    pub met: bool,
    /// How many regions must hold the object.
    pub needed: usize,
    /// Regions that hold exactly these bytes.
    pub holding: Vec<RegionName>,
    /// Regions that hold other bytes under the name.
    pub conflicting: Vec<RegionName>,
    /// Regions whose put failed.
    pub failed: Vec<RegionName>,
}

/// Holds the results of one put against the rule. `regions_total` counts the repository's regions, those left out of
/// this operation included.
#[must_use]
pub fn acknowledge(ack: Ack, regions_total: usize, puts: &PerRegion<Result<Put, StoreError>>) -> Verdict {
    let needed = match ack {
        Ack::All => regions_total.max(1),
        Ack::AtLeast(count) => count.max(1),
    };
    let mut verdict = Verdict { met: false, needed, holding: vec![], conflicting: vec![], failed: vec![] };
    for (region, put) in puts.iter() {
        let list = match put {
            Ok(put) if put.is_stored() => &mut verdict.holding,
            Ok(_) => &mut verdict.conflicting,
            Err(_) => &mut verdict.failed,
        };
        list.push(region.clone());
    }
    verdict.met = verdict.holding.len() >= needed && verdict.conflicting.is_empty();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put::Existing;

    fn name(name: &str) -> RegionName {
        RegionName::new(name).unwrap()
    }

    fn puts(values: &[char]) -> PerRegion<Result<Put, StoreError>> {
        let one = |(index, value): (usize, &char)| {
            let region = name(&format!("r{index}"));
            let put = match value {
                'c' => Ok(Put::Created),
                't' => Ok(Put::AlreadyThere),
                'x' => Ok(Put::Conflict { existing: Existing::TooLarge { size_bytes: 1 } }),
                _ => Err(StoreError::NotFound { region: region.clone(), name: "o".to_owned() }),
            };
            (region, put)
        };
        PerRegion::new(values.iter().enumerate().map(one).collect())
    }

    #[test]
    fn all_means_every_region_of_the_repository() {
        assert!(acknowledge(Ack::All, 2, &puts(&['c', 't'])).met);
        assert!(!acknowledge(Ack::All, 2, &puts(&['c', 'f'])).met);
        assert!(!acknowledge(Ack::All, 2, &puts(&['c'])).met, "one was left out of the operation");
        assert!(!acknowledge(Ack::All, 0, &puts(&[])).met, "nobody holds it");
    }

    #[test]
    fn at_least_counts_those_that_hold_it() {
        assert!(acknowledge(Ack::AtLeast(1), 3, &puts(&['f', 't', 'f'])).met);
        assert!(!acknowledge(Ack::AtLeast(2), 3, &puts(&['f', 't', 'f'])).met);
        assert!(!acknowledge(Ack::AtLeast(0), 3, &puts(&['f', 'f', 'f'])).met, "0 is taken as 1");
    }

    #[test]
    fn a_conflict_anywhere_is_never_met() {
        let verdict = acknowledge(Ack::AtLeast(1), 3, &puts(&['c', 'c', 'x']));
        assert!(!verdict.met);
        assert_eq!(verdict.conflicting, [name("r2")]);
    }
}
