//! The damage matrix: every kind of object, spoiled in every way that storage, mistakes and attackers have, in one of two regions.
//!
//! Each cell is found at every depth that promises it, once, by the object's name, with what it endangers; nothing else is blamed. A sound
//! repository has no finding at any depth.

use bytes::Bytes;
use seawall_pg::WalFileName;
use seawall_repo::layout::{Named, ObjectName};

use super::copies::{By, copies};
use super::ground::{As, Ground, Objects, options};
use crate::verify::{Depth, VerifyFinding, VerifyReport};

/// In which way a copy is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    Missing,
    Empty,
    Truncated,
    FlippedHead,
    FlippedBody,
    FlippedEnd,
    /// The bytes of another object of the kind.
    Swapped,
    /// Other content under the same name, an older copy say, signed by somebody who may.
    Other,
    /// Other content of a segment, signed by somebody who may, that does not go on where the one before it ends: in every region.
    Unlinked,
    /// The same as `Other`, by a writer who is known and may not.
    Unentitled,
    /// The same, by a writer whom nobody certified; in the owner's name, where it is the owner's to sign.
    Forged,
}

use Damage::{
    Empty, FlippedBody, FlippedEnd, FlippedHead, Forged, Missing, Other, Swapped, Truncated, Unentitled,
    Unlinked,
};

impl Damage {
    /// What another region's copy heals: not what is missing, and not what somebody signed who may.
    pub(super) const HEALED: [Self; 8] =
        [Empty, Truncated, FlippedHead, FlippedBody, FlippedEnd, Swapped, Unentitled, Forged];
}

const ALL: [Damage; 11] = [
    Missing,
    Empty,
    Truncated,
    FlippedHead,
    FlippedBody,
    FlippedEnd,
    Swapped,
    Other,
    Unlinked,
    Unentitled,
    Forged,
];

/// A kind of object: what its name has, and what its consequence has to say.
pub(super) const KINDS: [(&str, &str, &str); 22] = [
    ("seawall.json", "seawall.json", "where only region north is at hand"),
    ("owner", "owner/1", "the owner's key"),
    ("certificate", "writer/", "everything that writer"),
    ("revocation", ".revoked.json", "was revoked is not known"),
    ("key", "/key/", "opening any content"),
    ("adoption", "/adopt/", "all backups of this system identifier"),
    ("intent", "/intent/", "what the running backup uses"),
    ("manifest", "/manifest/", "backup "),
    ("map", "/map/0", "backups "),
    ("pack", "/pack/0", "backups "),
    ("segment", "/000000010000000000000004", "recovery to any point from 0/400000 to 0/500200 on timeline 1"),
    ("partial", ".partial", "the newest points of timeline 1"),
    ("backup history", ".backup", "nothing that a restore needs"),
    ("timeline history", "00000002.history", "timeline 2"),
    ("event", "/event/", "nothing that a restore needs"),
    ("policy", "/policy/", "what is kept and what is deleted"),
    ("hold", "/hold/", "what is kept and what is deleted"),
    ("release", "/hold/*.released", "what is kept and what is deleted"),
    ("hole", "/hole/", "nothing that a restore needs"),
    ("tombstone", "/tombstone/", "what is kept and what is deleted"),
    ("taken back", "/tombstone/*.revoked", "what is kept and what is deleted"),
    ("carried out", "/tombstone/*.done.south", "what is kept and what is deleted"),
];

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

/// Where a bit is flipped: in the signed head, in the middle of the body, near the end (in the footer; in a text's signature).
fn place(bytes: &Bytes, damage: Damage) -> usize {
    let header = if bytes.starts_with(b"SEAWALL\n") {
        184 + u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize
    } else {
        bytes.len() / 3
    };
    match damage {
        FlippedHead => 60.min(header - 1),
        FlippedBody => header + (bytes.len() - header) / 2,
        _ => bytes.len() - 12,
    }
}

/// The object of a kind, and another of the same.
pub(super) fn object_and_sibling(objects: &Objects, part: &str, signer: &str) -> Option<(String, String)> {
    let (part, end) = part.split_once('*').unwrap_or((part, ""));
    let fits = |name: &&String| {
        let revoked = part != ".revoked.json" && name.ends_with(".revoked.json");
        name.contains(part) && name.ends_with(end) && !revoked
    };
    let mut names: Vec<&String> = objects.keys().filter(fits).collect();
    // The certificate that everything else was signed by is the one to lose.
    names.sort_by_key(|name| (!name.contains(signer), name.len()));
    let first = (*names.first()?).clone();
    let folder = first.rsplit_once('/').map_or("", |(folder, _)| folder);
    let text = !objects[&first].starts_with(b"SEAWALL\n");
    let other = |name: &&String| **name != first && objects[*name].starts_with(b"SEAWALL\n") != text;
    let near = names.iter().skip(1).find(|name| name.starts_with(folder)).or_else(|| names.get(1));
    let sibling =
        near.map_or_else(|| objects.keys().find(|name| other(name)).unwrap().clone(), |name| (*name).clone());
    Some((first, sibling))
}

pub(super) struct Spoiler<'g> {
    pub(super) ground: &'g mut Ground,
    pub(super) other: Objects,
    pub(super) unentitled: Objects,
    pub(super) forged: Objects,
}

impl Spoiler<'_> {
    /// Another server's content of a segment.
    fn unlinked(&mut self, name: &str) -> Option<Bytes> {
        let name = ObjectName::parse(name)?;
        let Named::Wal { file: file @ WalFileName::Segment(segment), .. } = name.named() else { return None };
        let number = segment.number(self.ground.bench.size).unwrap().0;
        let content = self.ground.segment_behind(segment.timeline().get(), number, 9, 8);
        let host = self.ground.host.clone();
        let object =
            self.ground.wal_signed(host.writer().unwrap(), &file.to_string(), &content).swap_remove(0);
        Some(Bytes::copy_from_slice(object.bytes()))
    }

    /// The spoiled bytes; the outer option is none where a kind cannot be spoiled so.
    pub(super) fn spoil(
        &mut self,
        objects: &Objects,
        name: &str,
        sibling: &str,
        damage: Damage,
    ) -> Option<Option<Bytes>> {
        let bytes = &objects[name];
        Some(match damage {
            Missing => None,
            Empty => Some(Bytes::new()),
            Truncated => Some(bytes.slice(..bytes.len() / 2)),
            FlippedHead | FlippedBody | FlippedEnd => Some(flipped(bytes, place(bytes, damage))),
            Swapped => Some(objects[sibling].clone()),
            Other => Some(self.other.get(name)?.clone()),
            Unlinked => Some(self.unlinked(name)?),
            Unentitled => Some(self.unentitled.get(name)?.clone()),
            Forged => Some(self.forged.get(name)?.clone()),
        })
    }
}

/// Whether quick is to find it, by what it promises: names, sizes where regions or manifests differ, records, manifests and heads of maps.
fn quick_finds(kind: &str, damage: Damage, same_size: bool) -> bool {
    match damage {
        Missing | Empty => true,
        Truncated => true,
        Unlinked => false,
        _ if !same_size => true,
        _ => match kind {
            "pack" | "segment" | "partial" | "backup history" | "timeline history" | "event" | "chapter" => {
                false
            }
            "map" => matches!(damage, FlippedHead | Swapped | Forged | Unentitled | Other),
            _ => true,
        },
    }
}

/// A broken link is told in every region, each by its own copies, and nothing else is.
fn judge_link(report: &VerifyReport, name: &str, consequence: &str) -> Result<(), String> {
    let said: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.id, finding.region.as_str(), finding.object.as_str()))
        .collect();
    if said != ["north", "south"].map(|region| ("verify.link-broken", region, name)) {
        return Err(format!("wanted the link in both regions, got {said:?}"));
    }
    let rightly = |finding: &VerifyFinding| {
        finding.endangers.what.contains(consequence) && finding.mend.contains("seawall backup")
    };
    match report.findings.iter().find(|finding| !rightly(finding)) {
        Some(finding) => Err(format!("{finding:?}")),
        None => Ok(()),
    }
}

fn judge(report: &VerifyReport, allowed: &[&str], name: &str, consequence: &str) -> Result<(), String> {
    let said: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.id, finding.object.as_str(), finding.fault.as_str()))
        .collect();
    let [finding] = report.findings.as_slice() else {
        return Err(format!("wanted one finding, got {said:?}"));
    };
    // Of two copies that are both what their writers signed, neither is the bad one.
    let here = finding.region.as_str() == "north" || finding.id == "verify.conflict";
    if finding.object != name || !here || !allowed.contains(&finding.id) {
        return Err(format!("another finding: {} {said:?}", finding.region));
    }
    if finding.id == "verify.conflict" {
        return Ok(());
    }
    if !finding.endangers.what.contains(consequence) {
        return Err(format!("{:?}", finding.endangers));
    }
    let mends = finding.mend.contains("region south");
    if mends { Ok(()) } else { Err(finding.mend.clone()) }
}

/// Which findings a cell may be: damage to signed text cannot be told from forgery.
fn ids(kind: &str, damage: Damage, text: bool) -> &'static [&'static str] {
    let of_owner = ["seawall.json", "owner", "certificate", "revocation", "key"].contains(&kind);
    match (kind, damage) {
        ("segment", Missing) => &["verify.wal-hole"],
        (_, Missing) => &["verify.missing"],
        (_, Empty) => &["verify.damaged"],
        (_, Other) => &["verify.conflict"],
        (_, Unentitled) if of_owner => &["verify.forged"],
        (_, Unentitled) => &["verify.not-believed"],
        (_, Forged) if of_owner || kind == "adoption" => &["verify.forged"],
        (_, Forged) => &["verify.unknown-writer"],
        _ if text => &["verify.damaged", "verify.forged", "verify.not-believed", "verify.unknown-writer"],
        (_, Swapped) => &["verify.forged"],
        _ => &["verify.damaged"],
    }
}

#[tokio::test]
async fn a_sound_repository_has_no_finding_at_any_depth() {
    let ground = Ground::full().await;
    for depth in [Depth::Quick, Depth::Sample("100%".parse().unwrap()), Depth::Stored, Depth::Full] {
        for who in [As::Reader, As::Host] {
            let report = ground.verify(who, &options(depth)).await;
            assert!(!report.has_findings(), "{depth:?} {who:?}: {:#?}", report.findings);
            let full_reader = depth == Depth::Full && who == As::Reader;
            assert_eq!(
                report.not_checked.is_empty(),
                full_reader,
                "{depth:?} {who:?}: {:?}",
                report.not_checked
            );
            for region in &report.regions {
                // Timeline 1 from 2 to 6; 6 to 8 of timeline 2, which left it in 6.
                assert_eq!(region.links, if depth == Depth::Quick { 0 } else { 7 }, "{depth:?} {who:?}");
                let read: u64 = region.kinds.iter().map(|kind| kind.objects - kind.read).sum();
                assert_eq!(read == 0, depth != Depth::Quick, "{depth:?}: {:?}", region.kinds);
                let opens = !matches!(depth, Depth::Quick | Depth::Stored);
                assert_eq!(region.pages > 0, opens && who == As::Reader, "{region:?}");
                assert_eq!((region.pages_unjudged, region.orphans.objects), (0, 0));
            }
        }
    }
}

#[tokio::test]
async fn every_cell_of_the_matrix_is_found_once_and_nothing_else_is_blamed() {
    let depths = [Depth::Full, Depth::Sample("100%".parse().unwrap()), Depth::Stored, Depth::Quick];
    let (cells, wrong) = matrix(&mut Ground::full().await, &[As::Reader, As::Host], &depths, &KINDS).await;
    assert!(cells > 1_600, "{cells}");
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Without encryption whoever reads a region can look at everything, and forging is as hard.
#[tokio::test]
async fn every_cell_of_a_repository_that_is_not_encrypted_is_found_without_a_private_key() {
    let mut ground = Ground::plain().await;
    let report = ground.verify(As::Host, &options(Depth::Full)).await;
    assert_eq!(
        (report.has_findings(), report.not_checked.as_slice()),
        (false, &[][..]),
        "{:?}",
        report.findings
    );
    assert!(report.regions.iter().all(|region| region.pages > 0 && region.pages_unjudged == 0));
    let (cells, wrong) =
        matrix(&mut ground, &[As::Host], &[Depth::Full, Depth::Stored, Depth::Quick], &KINDS).await;
    assert!(cells > 580, "{cells}");
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Spoils each kind of object there is in each way; how many cells there were, and which were not as they have to be.
pub(super) async fn matrix(
    ground: &mut Ground,
    asking: &[As],
    depths: &[Depth],
    kinds: &[(&str, &str, &str)],
) -> (usize, Vec<String>) {
    let sound = ground.objects().await;
    let signer = ground.host.writer().unwrap().id().to_string();
    let other = copies(ground, &sound[0], By::Entitled).await;
    let unentitled = copies(ground, &sound[0], By::Unentitled).await;
    let forged = copies(ground, &sound[0], By::Stranger).await;
    // Everything can come back older, or be forged; only an event may be signed by everybody.
    assert_eq!((other.len(), forged.len()), (sound[0].len(), sound[0].len()));
    let events = sound[0].keys().filter(|name| name.contains("/event/")).count();
    assert_eq!(unentitled.len() + events, sound[0].len());
    let mut spoiler = Spoiler { ground, other, unentitled, forged };
    let (mut cells, mut wrong) = (0, Vec::new());
    for (kind, part, consequence) in kinds.iter().copied() {
        // Where nothing is encrypted, no keys are stored.
        let Some((name, sibling)) = object_and_sibling(&sound[0], part, &signer) else { continue };
        let text = !sound[0][&name].starts_with(b"SEAWALL\n");
        for damage in ALL {
            let Some(spoiled) = spoiler.spoil(&sound[0], &name, &sibling, damage) else { continue };
            let same_size = spoiled.as_ref().is_some_and(|bytes| bytes.len() == sound[0][&name].len());
            let mut north = sound[0].clone();
            match spoiled {
                Some(bytes) => drop(north.insert(name.clone(), bytes)),
                None => drop(north.remove(&name)),
            }
            let mut south = sound[1].clone();
            if damage == Unlinked {
                south.insert(name.clone(), north[&name].clone());
            }
            spoiler.ground.lay(&[north, south]).await;
            let allowed = ids(kind, damage, text);
            for (who, depth) in asking.iter().flat_map(|who| depths.iter().map(|depth| (*who, *depth))) {
                let at = format!("{kind} {damage:?}, {} as {who:?}", depth.word());
                let report = spoiler.ground.verify(who, &options(depth)).await;
                cells += 1;
                let promised = depth != Depth::Quick || quick_finds(kind, damage, same_size);
                if promised || report.has_findings() {
                    let judged = match damage {
                        Unlinked => judge_link(&report, &name, consequence),
                        _ => judge(&report, allowed, &name, consequence),
                    };
                    wrong.extend(judged.err().map(|why| format!("{at}: {why}")));
                }
            }
        }
    }
    (cells, wrong)
}
