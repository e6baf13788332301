use proptest::prelude::*;
use seawall_pg::{Lsn, WalFolder, WalSegmentSize};

use super::*;

fn place() -> Place {
    Place { cluster: "orders".parse().unwrap(), system: SystemId(7_575) }
}

fn backup() -> BackupId {
    "20240229T123456Z-00ff00ff00ff00ff".parse().unwrap()
}

#[test]
fn names_are_as_documented() {
    let text = |named: Named| named.to_name().to_string();
    let wal = |file: &str| text(Named::Wal { place: place(), file: file.parse().unwrap() });
    let segment = "0000000100000A2B000000FF".parse().unwrap();
    let cluster = place().cluster;
    let (writer, generation) = (WriterId::from_bytes([0xab; 16]), Generation::FIRST);
    assert_eq!(text(Named::Seawall), "seawall.json");
    assert_eq!(text(Named::Owner { change: 2 }), "owner/2");
    assert_eq!(text(Named::Writer(writer)), "writer/abababababababababababababababab.json");
    assert_eq!(text(Named::Revocation(writer)), "writer/abababababababababababababababab.revoked.json");
    assert_eq!(text(Named::Key { cluster, generation, change: 3 }), "orders/key/1.3");
    assert_eq!(text(Named::Adoption(place())), "orders/adopt/7575.json");
    assert_eq!(
        text(Named::Intent { place: place(), backup: backup(), number: 4 }),
        "orders/7575/intent/20240229T123456Z-00ff00ff00ff00ff.4"
    );
    assert_eq!(
        text(Named::Pack { place: place(), backup: backup(), number: 0 }),
        "orders/7575/backup/20240229T123456Z-00ff00ff00ff00ff/pack/0"
    );
    assert_eq!(
        text(Named::Map { place: place(), backup: backup(), number: 12 }),
        "orders/7575/backup/20240229T123456Z-00ff00ff00ff00ff/map/12"
    );
    assert_eq!(
        text(Named::Manifest { place: place(), backup: backup() }),
        "orders/7575/manifest/20240229T123456Z-00ff00ff00ff00ff"
    );
    assert_eq!(wal("0000000A.history"), "orders/7575/wal/0000000A.history");
    assert_eq!(
        wal("0000000100000A2B000000FF.partial"),
        "orders/7575/wal/00000001/0000000100000A2B/0000000100000A2B000000FF.partial"
    );
    assert_eq!(
        text(Named::WalPart { place: place(), file: PartedFile::Segment(segment), part: 7 }),
        "orders/7575/wal/00000001/0000000100000A2B/0000000100000A2B000000FF.p7"
    );
    assert_eq!(
        text(Named::Chapter { place: place(), folder: WalFolder::of(segment), number: 0 }),
        "orders/7575/chapter/00000001/0000000100000A2B"
    );
    assert_eq!(
        text(Named::Chapter { place: place(), folder: WalFolder::of(segment), number: 2 }),
        "orders/7575/chapter/00000001/0000000100000A2B.2"
    );
    let id: RecordId = backup().to_string().parse().unwrap();
    let region = RegionLabel::new("eu.west-1").unwrap();
    assert_eq!(text(Named::Policy { cluster: place().cluster, number: 3 }), "orders/policy/3");
    for (named, wanted) in [
        (Named::Tombstone { place: place(), id }, "tombstone/20240229T123456Z-00ff00ff00ff00ff"),
        (
            Named::TombstoneRevoked { place: place(), id },
            "tombstone/20240229T123456Z-00ff00ff00ff00ff.revoked",
        ),
        (
            Named::TombstoneDone { place: place(), id, region },
            "tombstone/20240229T123456Z-00ff00ff00ff00ff.done.eu.west-1",
        ),
        (Named::Hold { place: place(), id }, "hold/20240229T123456Z-00ff00ff00ff00ff"),
        (Named::HoldReleased { place: place(), id }, "hold/20240229T123456Z-00ff00ff00ff00ff.released"),
        (Named::Hole { place: place(), id }, "hole/20240229T123456Z-00ff00ff00ff00ff"),
        (Named::Event { place: place(), id }, "event/2024/02/29/20240229T123456Z-00ff00ff00ff00ff"),
    ] {
        assert_eq!(text(named), format!("orders/7575/{wanted}"));
    }
}

#[test]
fn heal_copies_lie_beside_what_their_originals_belong_to() {
    for (original, heal, folder) in [
        ("seawall.json", "heal/seawall.json.1", "heal/"),
        ("owner/2", "heal/owner/2.1", "heal/owner/"),
        ("orders/key/1.3", "orders/heal/key/1.3.1", "orders/heal/key/"),
        ("orders/adopt/7575.json", "orders/heal/adopt/7575.json.1", "orders/heal/adopt/"),
        ("orders/policy/3", "orders/heal/policy/3.1", "orders/heal/policy/"),
        (
            "orders/7575/wal/0000000A.history",
            "orders/7575/heal/wal/0000000A.history.1",
            "orders/7575/heal/wal/",
        ),
        (
            "orders/7575/chapter/00000001/0000000100000A2B.2",
            "orders/7575/heal/chapter/00000001/0000000100000A2B.2.1",
            "orders/7575/heal/chapter/00000001/",
        ),
    ] {
        let original = ObjectName::parse(original).unwrap();
        let copy = original.heal(1).unwrap();
        assert_eq!((copy.as_str(), original.heals_folder().as_str()), (heal, folder));
        assert_eq!(copy.healed().as_ref(), Some(&original));
        assert_eq!((&*copy.signed(), &*original.signed()), (&original, &original));
        assert_eq!((original.heal(0), copy.heal(1), original.healed()), (None, None, None));
        assert_eq!(
            (copy.named().place(), copy.named().cluster()),
            (original.named().place(), original.named().cluster())
        );
    }
    assert!("heal".parse::<ClusterName>().is_err(), "its folder is that of heal copies");
}

#[test]
fn other_spellings_and_other_names_are_nobodys() {
    let id = "20240229T123456Z-00ff00ff00ff00ff";
    for text in [
        "".to_owned(),
        "seawall.json/".to_owned(),
        "/seawall.json".to_owned(),
        "owner/0".to_owned(),
        "owner/01".to_owned(),
        "owner/key/1.1".to_owned(),
        "orders/key/0.1".to_owned(),
        "orders/key/1.0".to_owned(),
        "orders/key/01.1".to_owned(),
        "orders/adopt/07.json".to_owned(),
        format!("orders/7575/intent/{id}.0"),
        format!("orders/7575/manifest/{id}/"),
        format!("orders/7575/manifest/{}", id.to_uppercase()),
        format!("orders/7575/backup/{id}/pack/00"),
        format!("orders/7575/backup/{id}/pack/4294967296"),
        format!("orders/7575/backup/{id}/other/0"),
        format!("orders/7575/tombstone/{id}.undone"),
        format!("orders/7575/tombstone/{id}.done."),
        format!("orders/7575/tombstone/{id}.done.a/b"),
        format!("orders/7575/hold/{id}.revoked"),
        format!("orders/7575/event/{id}"),
        format!("orders/7575/event/2024/02/28/{id}"),
        "orders/policy/0".to_owned(),
        "heal/seawall.json".to_owned(),
        "heal/seawall.json.0".to_owned(),
        "heal/seawall.json.01".to_owned(),
        "heal/heal/seawall.json.1.1".to_owned(),
        "heal/orders/key/1.1.1".to_owned(),
        "orders/heal/7575/wal/0000000A.history.1".to_owned(),
        "orders/heal/7575/heal/wal/0000000A.history.1.1".to_owned(),
        "orders/7575/heal/heal/wal/0000000A.history.1.1".to_owned(),
        "orders/7575/chapter/0000000100000A2B".to_owned(),
        "orders/7575/chapter/00000002/0000000100000A2B".to_owned(),
        "orders/7575/chapter/00000001/0000000100000A2B000000FF".to_owned(),
        "orders/7575/wal/0000000100000A2B000000FF".to_owned(),
        "orders/7575/wal/00000001/0000000A.history".to_owned(),
        "orders/7575/wal/00000002/0000000100000A2B/0000000100000A2B000000FF".to_owned(),
        "orders/7575/wal/00000001/0000000100000A2C/0000000100000A2B000000FF".to_owned(),
        "orders/7575/wal/00000001/0000000100000A2B/0000000100000A2B000000FF.p01".to_owned(),
        "orders/7575/wal/00000001/0000000100000A2B/0000000100000A2B000000FF.00000028.backup.p1".to_owned(),
    ] {
        assert_eq!(ObjectName::parse(&text), None, "{text}");
    }
}

#[test]
fn folders_name_clusters_and_systems() {
    assert_eq!(prefix::cluster_of_folder("orders/"), Some(place().cluster));
    assert_eq!(prefix::cluster_of_folder("writer/"), None);
    assert_eq!(prefix::system_of_folder("orders/7575/"), Some(SystemId(7_575)));
    assert_eq!(prefix::system_of_folder("orders/key/"), None);
}

fn any_place() -> impl Strategy<Value = Place> {
    let cluster = "[a-z0-9][a-z0-9._-]{0,62}".prop_filter_map("reserved", |name| name.parse().ok());
    (cluster, any::<u64>()).prop_map(|(cluster, system)| Place { cluster, system: SystemId(system) })
}

fn any_backup() -> impl Strategy<Value = BackupId> {
    (0..253_402_300_800u64, any::<u64>()).prop_map(|(seconds, random)| {
        BackupId::from_bytes([seconds.to_le_bytes(), random.to_le_bytes()].concat().try_into().unwrap())
            .unwrap()
    })
}

fn any_segment() -> impl Strategy<Value = SegmentName> {
    (1..u32::MAX, any::<u64>(), 20..31u32).prop_map(|(timeline, lsn, log2)| {
        let size = WalSegmentSize::new(1 << log2).unwrap();
        SegmentName::of(Timeline::new(timeline).unwrap(), Lsn(lsn), size)
    })
}

fn any_wal_file() -> impl Strategy<Value = WalFileName> {
    prop_oneof![
        any_segment().prop_map(WalFileName::Segment),
        any_segment().prop_map(WalFileName::Partial),
        (any_segment(), any::<u32>())
            .prop_map(|(segment, offset)| WalFileName::BackupHistory { segment, offset }),
        any_segment().prop_map(|segment| WalFileName::TimelineHistory(segment.timeline())),
    ]
}

fn any_named() -> impl Strategy<Value = Named> {
    (any_original(), 0..=u32::MAX, any::<bool>()).prop_map(|(named, number, healed)| match (number, healed) {
        (1.., true) => Named::Heal { of: Box::new(named), number },
        _ => named,
    })
}

fn any_original() -> impl Strategy<Value = Named> {
    prop_oneof![
        (1..=u32::MAX).prop_map(|change| Named::Owner { change }),
        any::<[u8; 16]>().prop_map(|id| Named::Writer(WriterId::from_bytes(id))),
        any::<[u8; 16]>().prop_map(|id| Named::Revocation(WriterId::from_bytes(id))),
        (any_place(), 1..=u32::MAX, 1..=u32::MAX).prop_map(|(place, generation, change)| Named::Key {
            cluster: place.cluster,
            generation: Generation::new(generation).unwrap(),
            change
        }),
        any_place().prop_map(Named::Adoption),
        (any_place(), any_backup(), 1..=u32::MAX).prop_map(|(place, backup, number)| Named::Intent {
            place,
            backup,
            number
        }),
        (any_place(), any_backup(), any::<u32>()).prop_map(|(place, backup, number)| Named::Pack {
            place,
            backup,
            number
        }),
        (any_place(), any_backup(), any::<u32>()).prop_map(|(place, backup, number)| Named::Map {
            place,
            backup,
            number
        }),
        (any_place(), any_backup()).prop_map(|(place, backup)| Named::Manifest { place, backup }),
        (any_place(), any_wal_file()).prop_map(|(place, file)| Named::Wal { place, file }),
        (any_place(), any_segment(), any::<u32>()).prop_map(|(place, segment, part)| Named::WalPart {
            place,
            file: PartedFile::Partial(segment),
            part
        }),
        (any_place(), any_segment(), any::<u32>()).prop_map(|(place, segment, number)| Named::Chapter {
            place,
            folder: WalFolder::of(segment),
            number
        }),
        (any_place(), 1..=u32::MAX)
            .prop_map(|(place, number)| Named::Policy { cluster: place.cluster, number }),
        (any_place(), any_record(), "[a-z][a-z0-9.-]{0,20}", 0..7u8).prop_map(
            |(place, id, region, which)| {
                match which {
                    0 => Named::Tombstone { place, id },
                    1 => Named::TombstoneRevoked { place, id },
                    2 => Named::TombstoneDone { place, id, region: RegionLabel::new(&region).unwrap() },
                    3 => Named::Hold { place, id },
                    4 => Named::HoldReleased { place, id },
                    5 => Named::Hole { place, id },
                    _ => Named::Event { place, id },
                }
            }
        ),
    ]
}

fn any_record() -> impl Strategy<Value = RecordId> {
    any_backup().prop_map(|id| id.to_string().parse().unwrap())
}

proptest! {
    #[test]
    fn names_round_trip(named in any_named()) {
        let name = named.to_name();
        prop_assert_eq!(ObjectName::parse(name.as_str()), Some(name.clone()));
        prop_assert_eq!(name.named(), &named);
    }

    #[test]
    fn whatever_parses_is_spelled_so(text in "(heal/)?(orders/|owner/|writer/)(heal/)?(key|adopt|7575|1)(/heal)?(/(wal|manifest|intent|1.1|7.json)(/[0-9A-F]{8}\\.history)?)?") {
        if let Some(name) = ObjectName::parse(&text) {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
