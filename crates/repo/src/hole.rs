//! `hole/<id>`: somebody acknowledges that segments of WAL are lost, so that nobody is alarmed about them any more.
//!
//! Promises the fields of FORMAT §2. It ends an alarm and nothing else: nothing is kept or deleted because of it. Deliberately signed by
//! who decides about keeping (the right `prune`): a host that only writes, once taken, silences nothing.

use seawall_pg::WalSegmentSize;
use serde::{Deserialize, Serialize};

use crate::condemned::WalStretch;
use crate::id::{ClusterName, RecordId, SystemId};
use crate::layout::Place;
use crate::time::Time;

/// An acknowledged hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoleRecord {
    /// Which.
    pub hole: RecordId,
    /// The cluster.
    pub cluster: ClusterName,
    /// The system identifier.
    pub system: SystemId,
    /// The size of the segments that are counted.
    pub segment_size: WalSegmentSize,
    /// The segments that are lost, on the timelines that served them.
    pub missing: Vec<WalStretch>,
    /// Why, for people.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Its writer's time.
    pub written: Time,
    /// On which host.
    pub host: String,
}

impl HoleRecord {
    /// Whether it is the record of this name, and counts segments of this size.
    pub fn speaks_of(&self, place: &Place, id: RecordId, size: WalSegmentSize) -> bool {
        (self.hole, &self.cluster, self.system, self.segment_size) == (id, &place.cluster, place.system, size)
    }
}

#[cfg(test)]
mod tests {
    use seawall_pg::{SegmentNo, Timeline};

    use super::*;
    use crate::testing::{place, time};

    #[test]
    fn the_record_is_the_documented_one_and_counts_under_its_own_name_only() {
        let id: RecordId = "20240229T123456Z-00ff00ff00ff00ff".parse().unwrap();
        let size = WalSegmentSize::DEFAULT;
        let record = HoleRecord {
            hole: id,
            cluster: place().cluster,
            system: place().system,
            segment_size: size,
            missing: vec![WalStretch { timeline: Timeline::FIRST, first: SegmentNo(7), last: SegmentNo(9) }],
            reason: "disk lost".to_owned(),
            by: "ann".to_owned(),
            written: time(1),
            host: "db1".to_owned(),
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"hole":"20240229T123456Z-00ff00ff00ff00ff","cluster":"orders","system":"7575","segment_size":16777216,"missing":[{"timeline":1,"first":7,"last":9}],"reason":"disk lost","by":"ann","written":"1970-01-01T00:00:00.000001Z","host":"db1"}"#
        );
        assert_eq!(serde_json::from_str::<HoleRecord>(&text).unwrap(), record);
        assert!(record.speaks_of(&place(), id, size));
        let other = "20240229T123456Z-00ff00ff00ff00fe".parse().unwrap();
        assert!(!record.speaks_of(&place(), other, size));
        assert!(!record.speaks_of(&place(), id, WalSegmentSize::new(1 << 20).unwrap()));
    }
}
