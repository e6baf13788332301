//! Reading objects: verified, from the best region, another one taking over where a copy is missing or wrong.

use bytes::Bytes;
use seawall_repo::chapter::Chapter;
use seawall_repo::compress::{CompressError, Decompressor};
use seawall_repo::envelope::Head;
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::id::{Generation, WriterId};
use seawall_repo::layout::ObjectName;
use seawall_repo::object::{Footer, FrameAt, FrameBuffers, FrameOpener, OpenHead, WholeObject};
use seawall_repo::time::Time;
use seawall_repo::wal_index::SegmentIndex;
use seawall_repo::wal_object::{NoIndex, WalReader};
use seawall_store::{Extent, ReadFaultKind, RegionName};
use serde::de::DeserializeOwned;

use super::faults;
use super::handle::Repository;
use super::healed::get_any;
use crate::error::{Error, Result};

/// First read of a head: holds a manifest's whole head, and every other but of a segment in many parts.
const HEAD_READ_BYTES: u64 = 4096;

/// Longest object that is read whole.
pub const OBJECT_BYTES_MAX: u64 = (256 << 20) + (128 << 10);

/// Longest signed text.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// First read of a segment's head and index: nearly always all of both.
const INDEX_READ_BYTES: u64 = 64 << 10;

/// First read of a footer.
const FOOTER_READ_BYTES: u64 = 64 << 10;

/// A segment's index, or why it has none.
pub(crate) type MaybeIndex = std::result::Result<SegmentIndex, NoIndex>;

/// A value and the region that served it.
#[derive(Debug, Clone)]
pub struct From<T> {
    /// What was read.
    pub value: T,
    /// By whom.
    pub region: RegionName,
}

impl Repository {
    /// Reads part of an object from the best region whose bytes `check` accepts.
    async fn get<T>(
        &self,
        name: &ObjectName,
        extent: Extent,
        mut check: impl FnMut(Bytes) -> std::result::Result<T, ObjectError>,
    ) -> Result<From<T>> {
        let served = get_any(self.regions(), name, extent, |_region, bytes| check(bytes)).await;
        let served = served.map_err(|error| faults::not_served(&error))?;
        self.notice_faults(name, &served.faults);
        Ok(From { value: served.value, region: served.region })
    }

    /// As [`Repository::get`], of an object that may be on its way to some regions: there its absence is nothing wrong.
    async fn get_fresh<T>(
        &self,
        name: &ObjectName,
        extent: Extent,
        mut check: impl FnMut(Bytes) -> std::result::Result<T, ObjectError>,
    ) -> Result<T> {
        let served = get_any(self.regions(), name, extent, |_region, bytes| check(bytes)).await;
        let mut served = served.map_err(|error| faults::not_served(&error))?;
        served.faults.retain(|fault| !matches!(fault.kind, ReadFaultKind::Missing));
        self.notice_faults(name, &served.faults);
        Ok(served.value)
    }

    /// When the store says an object was made: asked only where it decides, which is when somebody was revoked.
    pub(crate) async fn created(&self, name: &ObjectName) -> Option<Time> {
        if !self.trust().has_revocations() {
            return None;
        }
        let answers = self.regions().each(|region| region.head(name.as_str())).await;
        let times =
            answers.into_iter().filter_map(|(_, answer)| answer.ok()).map(|info| info.modified_unix_us);
        // The first copy: later ones were made by `sync`.
        times.min().and_then(Time::from_micros)
    }

    /// A plain record that a writer or the owner signed.
    ///
    /// # Errors
    /// Missing, damaged, not believed, or out of reach in every region.
    pub async fn read_record<R: DeserializeOwned>(&self, name: &ObjectName) -> Result<From<R>> {
        let created = self.created(name).await;
        let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
        self.get(name, extent, |bytes| self.trust().open_writers(name, &bytes, created)).await
    }

    /// The stored bytes of such a record, of a copy that is believed: for a region that lacks it.
    ///
    /// # Errors
    /// As [`Repository::read_record`].
    pub(crate) async fn record_bytes(&self, name: &ObjectName) -> Result<Bytes> {
        let created = self.created(name).await;
        let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
        let believed = |bytes: Bytes| {
            self.trust().open_writers::<serde_json::Value>(name, &bytes, created).map(|_record| bytes)
        };
        Ok(self.get(name, extent, believed).await?.value)
    }

    /// A whole object, verified from end to end; what `take` makes of it.
    ///
    /// # Errors
    /// As [`Repository::read_record`]; also where `take` refuses every region's copy.
    pub async fn read_whole<T>(
        &self,
        name: &ObjectName,
        mut take: impl FnMut(&WholeObject<'_>, &mut Decompressor) -> std::result::Result<T, ObjectError>,
    ) -> Result<From<T>> {
        let created = self.created(name).await;
        let mut decompressor = decompressor()?;
        let extent = Extent::Whole { bytes_max: OBJECT_BYTES_MAX };
        self.get(name, extent, |bytes| {
            let object =
                WholeObject::open(name, &bytes, self.trust(), created, self.keys(), &mut decompressor)?;
            take(&object, &mut decompressor)
        })
        .await
    }

    /// What a folder's segments say, and who says so. That a region has no chapter is nothing wrong: it is a cache.
    ///
    /// # Errors
    /// Missing, damaged, not believed, or out of reach in every region.
    pub(crate) async fn chapter(&self, name: &ObjectName) -> Result<(Chapter, WriterId)> {
        let created = self.created(name).await;
        let mut decompressor = decompressor()?;
        let extent = Extent::Whole { bytes_max: OBJECT_BYTES_MAX };
        self.get_fresh(name, extent, |bytes| {
            let whole =
                WholeObject::open(name, &bytes, self.trust(), created, self.keys(), &mut decompressor)?;
            let generation = whole.head().generation();
            let missing = || {
                let generation = generation.unwrap_or(Generation::FIRST);
                whole.head().fault(Fault::NeedsMetaKey { generation })
            };
            let key = self.keys().digest_key(generation, self.trust().repository()).ok_or_else(missing)?;
            Ok((Chapter::open(&whole, &key, &mut decompressor)?, whole.head().head().writer()))
        })
        .await
    }

    /// The verified head of an object.
    ///
    /// # Errors
    /// As [`Repository::read_record`].
    pub async fn read_head(&self, name: &ObjectName) -> Result<From<OpenHead>> {
        let created = self.created(name).await;
        let first = Extent::Prefix(HEAD_READ_BYTES);
        let needed = self
            .get(name, first, |bytes| {
                let needs = Head::needs(&bytes).map_err(|error| ObjectError::new(name, error.into()))?;
                if needs as u64 > HEAD_READ_BYTES {
                    return Ok(Err(needs as u64));
                }
                OpenHead::open(name, &bytes, self.trust(), created).map(Ok)
            })
            .await?;
        match needed.value {
            Ok(head) => Ok(From { value: head, region: needed.region }),
            Err(needs) => {
                let open = |bytes: Bytes| OpenHead::open(name, &bytes, self.trust(), created);
                self.get(name, Extent::Prefix(needs), open).await
            }
        }
    }

    /// The index of a segment's records, by one ranged read, two where it is long. Within: why there is none.
    ///
    /// # Errors
    /// As [`Repository::read_record`].
    pub async fn segment_index(&self, name: &ObjectName) -> Result<MaybeIndex> {
        self.segment_told(name).await.map(|(_, index)| index)
    }

    /// The same, and the head in front of it.
    ///
    /// # Errors
    /// As [`Repository::read_record`].
    pub(crate) async fn segment_told(&self, name: &ObjectName) -> Result<(OpenHead, MaybeIndex)> {
        let created = self.created(name).await;
        let mut decompressor = decompressor()?;
        let reader = WalReader { trust: self.trust(), keys: self.keys() };
        let mut open = |bytes: &Bytes| {
            let head = OpenHead::open(name, bytes, self.trust(), created)?;
            let begin = head.head().head_bytes();
            let end = begin + head.head().front_bytes() as usize;
            match bytes.get(begin..end) {
                Some(front) => {
                    let index = reader.index(&head, front, &mut decompressor)?;
                    Ok(Ok((head, index)))
                }
                None => Ok(Err(end as u64)),
            }
        };
        let first = self
            .get_fresh(name, Extent::Prefix(INDEX_READ_BYTES), |bytes| {
                let needs = Head::needs(&bytes).map_err(|error| ObjectError::new(name, error.into()))? as u64;
                if needs > bytes.len() as u64 { Ok(Err(needs)) } else { open(&bytes) }
            })
            .await?;
        let mut needs = match first {
            Ok(told) => return Ok(told),
            Err(needs) => needs,
        };
        // Its head told how long the index is; where the head itself was too long, it tells now.
        for _ in 0..2 {
            match self.get_fresh(name, Extent::Prefix(needs), |bytes| open(&bytes)).await? {
                Ok(told) => return Ok(told),
                Err(more) if more > needs => needs = more,
                Err(_) => break,
            }
        }
        Err(Error::data("archive.index-cut", format!("the index of {name} is cut off")))
    }

    /// An object that is read frame by frame.
    ///
    /// # Errors
    /// As [`Repository::read_record`].
    pub async fn open_object(&self, name: &ObjectName) -> Result<ObjectReader> {
        let head = self.read_head(name).await?.value;
        let opener = head.opener(self.keys()).map_err(|error| faults::object_error(&error))?;
        Ok(ObjectReader { repository: self.clone(), head, opener })
    }
}

/// An object whose head was believed, and whose sections are read by their own ranges.
#[derive(Debug)]
pub struct ObjectReader {
    repository: Repository,
    head: OpenHead,
    opener: FrameOpener,
}

impl ObjectReader {
    /// The verified head.
    #[must_use]
    pub fn head(&self) -> &OpenHead {
        &self.head
    }

    /// The footer, by one ranged read, two where it is long.
    ///
    /// # Errors
    /// Damaged or out of reach in every region.
    pub async fn footer(&self) -> Result<Footer> {
        let mut decompressor = decompressor()?;
        let first = FOOTER_READ_BYTES.min(self.head.head().body_bytes());
        let opened = self
            .tail(first, |bytes| {
                let needs = self.opener.footer_needs(bytes)?;
                if needs > bytes.len() {
                    return Ok(Err(needs as u64));
                }
                self.opener.open_footer(bytes, &mut decompressor).map(Ok)
            })
            .await?;
        match opened {
            Ok(footer) => Ok(footer),
            Err(needs) => self.tail(needs, |bytes| self.opener.open_footer(bytes, &mut decompressor)).await,
        }
    }

    async fn tail<T>(
        &self,
        length: u64,
        mut check: impl FnMut(&[u8]) -> std::result::Result<T, ObjectError>,
    ) -> Result<T> {
        let end = self.head.head().head_bytes() as u64 + self.head.head().body_bytes();
        let range = Extent::Range(end.saturating_sub(length)..end);
        Ok(self.repository.get(self.head.name(), range, |bytes| check(&bytes)).await?.value)
    }

    /// The plain bytes of frames that lie within `length` bytes from `offset` of the body, by one ranged read.
    ///
    /// # Errors
    /// Damaged or out of reach in every region.
    pub async fn frames(&self, offset: u64, length: u64, frames: &[FrameAt]) -> Result<From<Vec<Vec<u8>>>> {
        let mut decompressor = decompressor()?;
        let from = self.head.head().head_bytes() as u64 + offset;
        let range = Extent::Range(from..from.saturating_add(length));
        self.repository
            .get(self.head.name(), range, |bytes| {
                frames.iter().map(|frame| self.open_in(frame, offset, &bytes, &mut decompressor)).collect()
            })
            .await
    }

    /// The stored bytes of a range of the body from the best region, not verified: [`ObjectReader::open_each`] does that.
    ///
    /// # Errors
    /// Out of reach in every region.
    pub async fn stored(&self, offset: u64, length: u64) -> Result<Bytes> {
        let from = self.head.head().head_bytes() as u64 + offset;
        let range = Extent::Range(from..from.saturating_add(length));
        Ok(self.repository.get(self.head.name(), range, Ok).await?.value)
    }

    /// Opens frames one after the other from the stored bytes that begin at `offset`, and gives each to `take` with its place in
    /// `frames`: memory is that of one frame. `false` where a frame does not open: this copy is damaged, and
    /// [`ObjectReader::frames`] says so and asks the other regions.
    ///
    /// # Errors
    /// What `take` says.
    pub fn open_each(
        &self,
        offset: u64,
        stored: &Bytes,
        frames: &[FrameAt],
        mut take: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        let (mut decompressor, mut buffers) = (decompressor()?, FrameBuffers::default());
        for (index, frame) in frames.iter().enumerate() {
            let opened = range_of(frame, offset, stored).and_then(|bytes| {
                self.opener.open_frame_in(frame, bytes, &mut decompressor, &mut buffers).ok()
            });
            let Some(plain) = opened else { return Ok(false) };
            take(index, plain)?;
        }
        Ok(true)
    }

    /// One frame.
    ///
    /// # Errors
    /// As [`ObjectReader::frames`].
    pub async fn frame(&self, frame: &FrameAt) -> Result<Vec<u8>> {
        let mut frames =
            self.frames(frame.offset, u64::from(frame.stored_len), std::slice::from_ref(frame)).await?;
        frames.value.pop().ok_or_else(|| Error::bug("repository.no-frame", "asked for one frame, got none"))
    }

    fn open_in(
        &self,
        frame: &FrameAt,
        offset: u64,
        bytes: &Bytes,
        decompressor: &mut Decompressor,
    ) -> std::result::Result<Vec<u8>, ObjectError> {
        let stored = range_of(frame, offset, bytes).ok_or_else(|| self.head.fault(Fault::BodyDamaged))?;
        self.opener.open_frame(frame, stored, decompressor)
    }
}

/// The stored bytes of a frame among those that begin at `offset`.
fn range_of<'b>(frame: &FrameAt, offset: u64, bytes: &'b Bytes) -> Option<&'b [u8]> {
    let within = usize::try_from(frame.offset.checked_sub(offset)?).ok()?;
    bytes.get(within..)?.get(..frame.stored_len as usize)
}

fn decompressor() -> Result<Decompressor> {
    Decompressor::new().map_err(|error: CompressError| {
        Error::bug("repository.decompressor", "zstd could not be set up").because(error)
    })
}
