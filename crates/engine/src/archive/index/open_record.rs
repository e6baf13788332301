//! A record that is left open at the end of a segment, kept in the data directory until the next segment is handed over.
//!
//! Whoever hands a segment over may find the one before it recycled: then nobody could tell what the record between them changed, and the
//! next backup would read every page. Promises: what is kept is believed only whole (its digest stands in front), where the record's own CRC
//! fits in the end, and only behind the segment it was kept for; whatever else the file is, nothing is known. It holds what `pg_wal` held and is readable by
//! the same user alone; no restore brings it back, and anybody may delete it.

use std::path::Path;

use seawall_pg::wal::{Continuation, Joiner, Piece, Unfinished, WalOf};
use seawall_pg::{History, SegmentName};
use seawall_store::durable;
use seawall_store::world::Random;
use serde::{Deserialize, Serialize};

use super::carry::{Carry, name_before};

/// Its name in the data directory.
pub(crate) const OPEN_RECORD_FILE_NAME: &str = "seawall_open_record.json";
const FILE_MODE: u32 = 0o600;
/// Of longer records nothing is kept: of all but a few, some hundred bytes are.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// Each byte is written as a number of up to three digits and a comma.
const FILE_BYTES_MAX: u64 = 4 * RECORD_BYTES_MAX as u64 + 4096;

/// What was seen of a record whose end was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenRecord {
    /// Its piece at the end of the segment in which it begins.
    pub(super) begun: Unfinished,
    /// The segments behind that which it fills.
    middles: Vec<Middle>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Middle {
    /// Bytes missing at the segment's start.
    remaining: u32,
    piece: Piece,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    system: String,
    /// The segment at whose end it is open.
    segment: String,
    record: OpenRecord,
}

impl OpenRecord {
    pub(super) fn begun(begun: Unfinished) -> Self {
        Self { begun, middles: Vec::new() }
    }

    /// The same behind a segment that it fills.
    pub(super) fn behind(mut self, middle: &Continuation) -> Self {
        self.middles.push(Middle { remaining: middle.remaining, piece: middle.piece.clone() });
        self
    }

    /// None where its pieces do not fit each other. `sure`: the segments themselves lie there.
    pub(super) fn carry(self, of: WalOf, sure: bool) -> Option<Carry> {
        let mut joiner = Joiner::begin(of.version, &self.begun).ok()?;
        for Middle { remaining, piece } in &self.middles {
            joiner.add(*remaining, piece).ok()?;
        }
        Some(Carry { record: self, joiner, sure })
    }

    fn bytes(&self) -> usize {
        let pieces = self.middles.iter().map(|middle| &middle.piece).chain([&self.begun.piece]);
        pieces.map(|piece| piece.front.len() + piece.back.len()).sum()
    }
}

/// Keeps what is open behind `segment` for whoever hands over the next one; what was kept before goes.
///
/// # Errors
/// It cannot be written, or what was kept cannot be removed: why, for a person.
pub(crate) fn keep_open_record(
    data_directory: &Path,
    of: WalOf,
    segment: SegmentName,
    record: Option<OpenRecord>,
    random: &dyn Random,
) -> Result<(), String> {
    let file = data_directory.join(OPEN_RECORD_FILE_NAME);
    match record.filter(|record| record.bytes() <= RECORD_BYTES_MAX) {
        Some(record) => {
            let stored = Stored { system: of.system.to_string(), segment: segment.to_string(), record };
            let text = serde_json::to_string(&stored).map_err(|error| error.to_string())?;
            let text = format!("{}\n{text}", blake3::hash(text.as_bytes()));
            durable::replace(&file, text.as_bytes(), FILE_MODE, random).map_err(|error| error.to_string())
        }
        None => match std::fs::symlink_metadata(&file) {
            Ok(_) => durable::remove(&file).map_err(|error| error.to_string()),
            Err(_) => Ok(()),
        },
    }
}

/// The record that is open where `segment` begins, as far as it was kept. `history` is that of the segment's timeline.
pub(crate) fn kept_open_record(
    data_directory: &Path,
    of: WalOf,
    segment: SegmentName,
    history: &History,
) -> Option<Carry> {
    let bytes = durable::read_whole(&data_directory.join(OPEN_RECORD_FILE_NAME), FILE_BYTES_MAX).ok()?;
    let (digest, text) = std::str::from_utf8(&bytes).ok()?.split_once('\n')?;
    if blake3::hash(text.as_bytes()).to_string() != digest {
        return None;
    }
    let stored: Stored = serde_json::from_str(text).ok()?;
    let before = name_before(of, segment, history)?;
    let fits = stored.system == of.system.to_string() && stored.segment == before.to_string();
    fits.then(|| stored.record.carry(of, false)).flatten()
}
