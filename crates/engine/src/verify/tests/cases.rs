//! What the matrix cannot say: faults that were sealed in, many objects of one cause, what is only information, regions that fail.

use bytes::Bytes;
use seawall_repo::layout::Named;
use seawall_store::faulty::{CallKind, Fault, Rule};

use super::ground::{As, Ground, options, page};
use crate::verify::{Depth, VerifyReport};

fn said(report: &VerifyReport) -> Vec<(&'static str, String, String)> {
    let of = |finding: &crate::verify::VerifyFinding| {
        (finding.id, finding.region.to_string(), finding.object.clone())
    };
    report.findings.iter().map(of).collect()
}

fn ids(report: &VerifyReport) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

/// A backup whose server was right when it stored a damaged page: only the page's own checksum tells, and only with the private key.
#[tokio::test]
async fn a_page_that_was_broken_before_it_was_sealed_is_found_by_its_checksum() {
    let mut ground = Ground::new(1).await;
    let mut pages: Vec<u8> = (0..3).flat_map(|block| page(block, 7)).collect();
    pages[8192 + 4000] ^= 1;
    ground.backup(2, &[(b"base/5/16384", pages)]).await;
    ground.segment(1, 2).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    assert_eq!(ids(&report), ["verify.page-checksum"; 2], "one in each region: {:?}", said(&report));
    assert!(
        report.findings[0].fault.contains("1 pages with a wrong checksum"),
        "{}",
        report.findings[0].fault
    );
    assert!(report.findings[0].fault.contains("base/5/16384, block 1"), "{}", report.findings[0].fault);
    assert_eq!(report.findings[0].endangers.backups, ground.backups);
    let as_host = ground.verify(As::Host, &options(Depth::Full)).await;
    assert!(!as_host.has_findings());
    assert!(as_host.not_checked[0].contains("checksums need the private key"), "{:?}", as_host.not_checked);
}

/// What a backup knew when it stored it is no finding, and is said; what it did not know is found beside it.
#[tokio::test]
async fn damage_that_a_backup_knew_of_is_told_apart_from_what_is_found_now() {
    for more in [false, true] {
        let mut ground = Ground::new(1).await;
        let mut pages: Vec<u8> = (0..3).flat_map(|block| page(block, 7)).collect();
        pages[8192 + 4000] ^= 1;
        ground.known = vec![seawall_repo::manifest::Finding {
            path: seawall_repo::base64_field::Base64Bytes(b"base/5/16384".to_vec()),
            page: 1,
            expected: 1,
            found: 2,
            reason: "checksum".to_owned(),
        }];
        if more {
            pages[2 * 8192 + 4000] ^= 1;
        }
        ground.backup(2, &[(b"base/5/16384", pages)]).await;
        ground.segment(1, 2).await;
        let report = ground.verify(As::Reader, &options(Depth::Full)).await;
        let known: Vec<_> = report.known_damage.iter().map(|known| (known.backup, known.pages)).collect();
        assert!(more || known == [(ground.backups[0], 1)], "{known:?}");
        assert_eq!(
            ids(&report),
            vec!["verify.page-checksum"; if more { 2 } else { 0 }],
            "{:?}",
            said(&report)
        );
        for finding in &report.findings {
            assert!(
                finding.fault.contains("1 pages") && finding.fault.contains("block 2"),
                "{}",
                finding.fault
            );
        }
        // Without the private key nobody looked.
        assert!(ground.verify(As::Host, &options(Depth::Full)).await.known_damage.is_empty());
    }
}

/// What a writer signed before it was revoked stays good; what comes after counts for nothing, and is named one by one.
#[tokio::test]
async fn what_a_revoked_writer_signed_counts_by_when_it_was_stored() {
    use seawall_repo::records::Revocation;
    let mut ground = Ground::with_time(1).await;
    let hour = std::time::Duration::from_secs(3600);
    ground.backup(2, &[(b"PG_VERSION", b"17\n".to_vec())]).await;
    ground.segment(1, 2).await;
    ground.bench.world.clock.sleep_blocking(hour);
    let writer = ground.host.writer().unwrap().id();
    let revoked = crate::backup::now(&ground.bench.world).unwrap();
    let (id, owner) = ground.bench.owner.as_ref().unwrap();
    let record = Revocation { writer, revoked, reason: "taken".to_owned() };
    ground.bench.put(id, owner, Named::Revocation(writer), &record).await;
    for depth in [Depth::Quick, Depth::Full] {
        let report = ground.verify(As::Reader, &options(depth)).await;
        assert!(!report.has_findings(), "{depth:?}: {:?}", said(&report));
    }
    ground.bench.world.clock.sleep_blocking(hour);
    ground.segment(1, 3).await;
    ground.backup(4, &[(b"PG_VERSION", b"18\n".to_vec())]).await;
    ground.segment(1, 4).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    // A pack, a map, a manifest and two segments, in each region.
    assert_eq!(ids(&report), vec!["verify.not-believed"; 10], "{:?}", said(&report));
    let old = ground.backups[0].to_string();
    for finding in &report.findings {
        assert!(finding.fault.contains("revoked") && !finding.object.contains(&old), "{finding:?}");
    }
    let quick = ground.verify(As::Reader, &options(Depth::Quick)).await;
    let manifest = ground.backups[1].to_string();
    let told = quick.findings.iter().filter(|finding| finding.object.contains(&manifest)).count();
    assert!(
        told >= 2 && quick.findings.iter().all(|finding| !finding.object.contains(&old)),
        "{:?}",
        said(&quick)
    );
}

/// A pack that is whole and signed, but is not the one the map was written for: a restore would stop at it.
#[tokio::test]
async fn a_map_and_a_pack_that_do_not_belong_together_are_told_without_any_other_region() {
    let mut ground = Ground::new(1).await;
    let file = |fill: u8| -> Vec<u8> { (0..3).flat_map(|block| page(block, fill)).collect() };
    ground.backup(2, &[(b"base/5/16384", file(1))]).await;
    ground.segment(1, 2).await;
    let sound = ground.objects().await;
    let name = sound[0].keys().find(|name| name.contains("/pack/0")).unwrap().clone();
    let other = resealed_pack(&mut ground, &file(2));
    let regions: Vec<_> = sound
        .iter()
        .map(|objects| {
            let mut objects = objects.clone();
            objects.insert(name.clone(), other.clone());
            objects
        })
        .collect();
    ground.lay(&regions).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    let found = said(&report);
    // A pack of another size is told by that; of the same size, by what the map says of its pages.
    let wanted = if other.len() == sound[0][&name].len() { "verify.map-mismatch" } else { "verify.damaged" };
    assert_eq!(ids(&report), [wanted; 2], "{found:?}");
    assert_eq!(report.findings[0].endangers.backups, ground.backups, "{found:?}");
}

fn resealed_pack(ground: &mut Ground, content: &[u8]) -> Bytes {
    use seawall_repo::pack::{PackBuilder, PackId, Run};
    let world = ground.bench.world.clone();
    let mut entropy = crate::repository::WorldEntropy::new(&world);
    let (sealer, key) = (ground.host.sealer().unwrap().clone(), ground.host.writer().unwrap());
    let digests: Vec<_> = content.chunks(8192).map(|page| sealer.digest_key().page_digest(page)).collect();
    let id = PackId { backup: ground.backups[0], number: 0 };
    let mut pack = PackBuilder::new(&sealer, &ground.bench.place(), id, &mut entropy).unwrap();
    for ((bytes, digest), number) in content.chunks(8192).zip(&digests).zip(0..) {
        let run = Run {
            file: 0,
            path: b"base/5/16384",
            first_page: number,
            bytes,
            digests: std::slice::from_ref(digest),
        };
        pack.add_run(&run, &mut ground.compressor).unwrap();
    }
    let object = pack.finish(key, &mut ground.compressor).unwrap().unwrap().object;
    Bytes::copy_from_slice(object.bytes())
}

/// Everything that a writer signed is not to blame for its certificate.
#[tokio::test]
async fn a_certificate_that_is_lost_everywhere_is_one_finding_in_each_region() {
    let mut ground = Ground::full().await;
    let writer = ground.host.writer().unwrap().id();
    let certificate = seawall_repo::layout::ObjectName::from(Named::Writer(writer)).to_string();
    let mut regions = ground.objects().await;
    regions.iter_mut().for_each(|objects| drop(objects.remove(&certificate)));
    ground.lay(&regions).await;
    for depth in [Depth::Quick, Depth::Full] {
        let report = ground.verify(As::Reader, &options(depth)).await;
        let wanted = ["north", "south"]
            .map(|region| ("verify.unknown-writer", region.to_owned(), certificate.clone()));
        assert_eq!(said(&report), wanted, "{depth:?}");
        assert!(report.findings[0].fault.contains("signed"), "{}", report.findings[0].fault);
    }
}

#[tokio::test]
async fn strangers_are_named_and_orphans_only_counted() {
    let mut ground = Ground::full().await;
    let mut regions = ground.objects().await;
    let pack =
        regions[0].iter().find(|(name, _)| name.contains("/pack/")).map(|(_, bytes)| bytes.clone()).unwrap();
    let place = ground.bench.place();
    let backup = "20200101T000000Z-0123456789abcdef".parse().unwrap();
    let orphan =
        seawall_repo::layout::ObjectName::from(Named::Pack { place: place.clone(), backup, number: 3 })
            .to_string();
    for objects in &mut regions {
        objects.insert(orphan.clone(), pack.clone());
        objects.insert(format!("{}tail/later", place.all()), Bytes::from_static(b"of a later version"));
    }
    let under_backup = format!("{}backup/notes.txt", place.all());
    for stranger in ["notes.txt", "orders/notes.txt", under_backup.as_str()] {
        regions[0].insert(stranger.to_owned(), Bytes::from_static(b"hello"));
    }
    let foreign = "orders/7000000000000000001/wal/00000001/0000000100000000/000000010000000000000001";
    regions[0].insert(foreign.to_owned(), pack.clone());
    ground.lay(&regions).await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    let north = |id, object: &str| (id, "north".to_owned(), object.to_owned());
    let wanted = [
        north("verify.unknown-name", "notes.txt"),
        north("verify.not-adopted", "orders/7000000000000000001/"),
        north("verify.unknown-name", &under_backup),
        north("verify.unknown-name", "orders/notes.txt"),
    ];
    assert_eq!(said(&report), wanted);
    for region in &report.regions {
        assert_eq!(
            (region.orphans.objects, region.orphans.bytes),
            (1, pack.len() as u64),
            "{}",
            region.region
        );
    }
}

/// A region is judged by its own copies: the other's do not make up for what it lacks, and only it is blamed.
#[tokio::test]
async fn a_region_alone_is_judged_alone() {
    let mut ground = Ground::full().await;
    let sound = ground.objects().await;
    let mut regions = sound.clone();
    regions[1].retain(|name, _| !name.contains("/pack/") && !name.contains("/map/"));
    ground.lay(&regions).await;
    let only = |region: &str, depth| crate::verify::VerifyOptions {
        region: Some(region.to_owned()),
        ..options(depth)
    };
    for depth in [Depth::Quick, Depth::Full] {
        let north = ground.verify(As::Reader, &only("north", depth)).await;
        assert_eq!((north.has_findings(), north.regions.len()), (false, 1), "{depth:?} {:?}", said(&north));
        let south = ground.verify(As::Reader, &only("south", depth)).await;
        assert_eq!(ids(&south), ["verify.missing"; 4], "{depth:?} {:?}", said(&south));
        assert!(
            south.findings.iter().all(|finding| finding.mend.contains("region north")),
            "{:?}",
            south.findings
        );
    }
    // A backup that a region was left out of is one finding there, not one for each of its objects.
    let mut regions = sound;
    let left_out = ground.backups[1].to_string();
    regions[1].retain(|name, _| !name.contains(&left_out));
    ground.lay(&regions).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    assert_eq!(ids(&report), ["verify.missing"], "{:?}", said(&report));
    assert_eq!(report.findings[0].endangers.backups, ground.backups[1..], "{:?}", report.findings[0]);
}

/// Whichever of its listings fails first, a region that goes down is not blamed for what it could not show, and the other is verified.
#[tokio::test]
async fn a_region_that_goes_down_is_said_and_the_other_is_verified_to_the_end() {
    let mut ground = Ground::full().await;
    let sound = ground.objects().await;
    let mut noticed = 0;
    for before in 0..20 {
        ground.lay(&sound).await;
        ground.bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::List).after(before).for_good());
        let report = ground.verify(As::Reader, &options(Depth::Full)).await;
        let down = [("verify.region-not-listed", "south".to_owned(), "the region".to_owned())];
        if report.has_findings() {
            assert_eq!(said(&report), down, "after {before} listings");
            noticed += 1;
        }
        let [north, south] = report.regions.as_slice() else { panic!("{:?}", report.regions) };
        assert!(
            north.broken.is_none() && north.kinds.iter().all(|kind| kind.read == kind.objects),
            "{north:?}"
        );
        assert_eq!(south.broken.is_some(), report.has_findings(), "{south:?}");
    }
    assert!(
        (8..20).contains(&noticed),
        "{noticed}: the last listings of a run were met, and one that no run makes"
    );
}

/// Segments in parts: a part that is gone, spoiled, or another's is found, and by its name.
#[tokio::test]
async fn parts_of_large_segments_are_followed() {
    let mut ground = Ground::new(64).await;
    ground.backup(2, &[(b"PG_VERSION", b"17\n".to_vec())]).await;
    ground.segment(1, 2).await;
    let sound = ground.objects().await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    assert!(!report.has_findings(), "{:?}", said(&report));
    assert!(
        report.regions[0].kinds.iter().all(|kind| kind.read == kind.objects),
        "{:?}",
        report.regions[0].kinds
    );
    let parts: Vec<String> = sound[0].keys().filter(|name| name.contains(".p")).cloned().collect();
    assert_eq!(parts.len(), 2, "{parts:?}");
    let mut gone = sound.clone();
    gone[0].remove(&parts[1]);
    let mut flipped = sound.clone();
    let mut bytes = sound[0][&parts[0]].to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    flipped[0].insert(parts[0].clone(), bytes.into());
    for (regions, depths, id, part) in [
        (gone, &[Depth::Quick, Depth::Stored, Depth::Full][..], "verify.missing", &parts[1]),
        (flipped, &[Depth::Stored, Depth::Full], "verify.damaged", &parts[0]),
    ] {
        ground.lay(&regions).await;
        for depth in depths {
            let report = ground.verify(As::Reader, &options(*depth)).await;
            assert_eq!(said(&report), [(id, "north".to_owned(), part.clone())], "{depth:?}");
            assert_eq!(report.findings[0].endangers.backups, ground.backups, "{:?}", report.findings[0]);
        }
    }
}
