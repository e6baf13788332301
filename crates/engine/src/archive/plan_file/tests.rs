use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn tli(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn range(timeline: u32, first: u64, last: u64) -> PlannedRange {
    PlannedRange { timeline: tli(timeline), first: SegmentNo(first), last: SegmentNo(last) }
}

/// From segment 8 of timeline 1, over the switch in the middle of segment 12, to the end of segment 20 of timeline 2.
fn plan() -> PlanFile {
    let switch = Lsn(12 * MIB + MIB / 2);
    let way = PlannedWay {
        timeline: tli(2),
        path: vec![
            PlannedSpan { timeline: tli(1), begin: Lsn(0), end: Some(switch) },
            PlannedSpan { timeline: tli(2), begin: switch, end: None },
        ],
        serve: vec![range(1, 8, 11), range(2, 12, 20)],
        frontier: Lsn(21 * MIB),
        partial: None,
        in_pg_wal: Vec::new(),
    };
    PlanFile {
        version: PLAN_FILE_VERSION,
        made: "2031-05-04T09:30:00.000000Z".parse().unwrap(),
        cluster: "orders".parse().unwrap(),
        system: SystemIdentifier(77),
        postgresql: Version::from_major(17).unwrap(),
        data_directory: PathBuf::from("/srv/new"),
        backup: "20310504T000001Z-0000000000000000".parse().unwrap(),
        segment_size: WalSegmentSize::new(1 << 20).unwrap(),
        way: Some(way),
        repository: PlannedRepository {
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            owner: "ed25519:AAAA".to_owned(),
            regions: vec![RegionSettings::new("north", "file:///mnt/north")],
            without_regions: vec!["south".to_owned()],
            identity_files: vec![PathBuf::from("/root/key.txt")],
            passphrase_files: vec![PathBuf::from("/root/words.txt")],
            wait_seconds: Some(300),
        },
    }
}

fn segment(timeline: u32, number: u64) -> WalFileName {
    let size = WalSegmentSize::new(1 << 20).unwrap();
    WalFileName::Segment(SegmentName::new(tli(timeline), SegmentNo(number), size).unwrap())
}

#[test]
fn each_segment_is_served_by_its_one_timeline() {
    let plan = plan();
    assert_eq!(plan.answer(segment(1, 11)), PlanAnswer::Deliver(segment(1, 11)));
    assert_eq!(plan.answer(segment(2, 12)), PlanAnswer::Deliver(segment(2, 12)));
    assert_eq!(
        plan.answer(segment(1, 12)),
        PlanAnswer::NotOfThisWay,
        "the parent's own copy may go on in another life"
    );
    assert_eq!(plan.answer(segment(1, 15)), PlanAnswer::NotOfThisWay);
    assert_eq!(plan.answer(segment(2, 11)), PlanAnswer::NotOfThisWay);
    assert_eq!(plan.answer(segment(3, 15)), PlanAnswer::NotOfThisWay);
}

#[test]
fn behind_the_frontier_only_the_target_timeline_may_still_deliver() {
    let plan = plan();
    assert_eq!(plan.answer(segment(2, 21)), PlanAnswer::IfThere(segment(2, 21)));
    assert_eq!(plan.answer(segment(1, 21)), PlanAnswer::NotOfThisWay);
    assert_eq!(plan.answer(segment(1, 7)), PlanAnswer::IfThere(segment(1, 7)));
    let foreign: WalFileName = "0000000100000000FFFFFFFF".parse().unwrap();
    assert_eq!(plan.answer(foreign), PlanAnswer::NotOfThisWay, "a name of another segment size");
}

#[test]
fn history_files_of_ancestors_must_be_there_and_others_are_asked_for() {
    let plan = plan();
    let history = |number| WalFileName::TimelineHistory(tli(number));
    assert_eq!(plan.answer(history(2)), PlanAnswer::Deliver(history(2)));
    assert_eq!(plan.answer(history(1)), PlanAnswer::IfThere(history(1)));
    assert_eq!(plan.answer(history(3)), PlanAnswer::IfThere(history(3)));
}

#[test]
fn a_partial_segment_serves_under_the_plain_name() {
    let mut plan = plan();
    plan.way.as_mut().unwrap().partial = Some(SegmentNo(20));
    let WalFileName::Segment(name) = segment(2, 20) else { unreachable!() };
    assert_eq!(plan.answer(segment(2, 20)), PlanAnswer::Deliver(WalFileName::Partial(name)));
    assert_eq!(plan.answer(segment(2, 19)), PlanAnswer::Deliver(segment(2, 19)));
}

#[test]
fn what_was_put_into_pg_wal_is_left_to_the_server() {
    let mut plan = plan();
    plan.way.as_mut().unwrap().in_pg_wal = vec![range(2, 21, 23)];
    assert_eq!(plan.answer(segment(2, 22)), PlanAnswer::InPgWal);
    assert_eq!(plan.answer(segment(1, 22)), PlanAnswer::NotOfThisWay);
    assert_eq!(plan.answer(segment(2, 24)), PlanAnswer::IfThere(segment(2, 24)));
}

#[test]
fn a_standby_is_given_whatever_there_is() {
    let mut plan = plan();
    plan.way = None;
    for name in [segment(1, 15), segment(7, 15), WalFileName::TimelineHistory(tli(9))] {
        assert_eq!(plan.answer(name), PlanAnswer::IfThere(name));
    }
}

#[test]
fn it_is_read_back_as_written_and_unknown_fields_are_no_error() {
    let plan = plan();
    let bytes = plan.encode().unwrap();
    assert_eq!(PlanFile::decode(&bytes).unwrap(), plan);
    let grown = String::from_utf8(bytes).unwrap().replacen('{', "{\"later\": 1,", 1);
    assert_eq!(PlanFile::decode(grown.as_bytes()).unwrap(), plan);
}

#[test]
fn a_newer_or_contradictory_plan_is_refused() {
    let text = String::from_utf8(plan().encode().unwrap()).unwrap();
    let newer = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert!(matches!(PlanFile::decode(newer.as_bytes()), Err(PlanFileError::Newer { found: 2 })));
    let mut gap = plan();
    gap.way.as_mut().unwrap().serve[1].first = SegmentNo(13);
    let mut backwards = plan();
    backwards.way.as_mut().unwrap().serve[0].last = SegmentNo(7);
    let mut other = plan();
    other.way.as_mut().unwrap().timeline = tli(1);
    for wrong in [gap, backwards, other] {
        let decoded = PlanFile::decode(&wrong.encode().unwrap());
        assert!(matches!(decoded, Err(PlanFileError::Contradiction { .. })), "{decoded:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_an_error(bytes: Vec<u8>) {
        drop(PlanFile::decode(&bytes));
    }
}

#[test]
fn a_region_is_given_up_by_name_and_never_the_last_one() {
    let mut plan = plan();
    plan.repository.regions.push(RegionSettings::new("west", "file:///mnt/west"));
    let gave = |plan: &mut PlanFile, name: &str| plan.give_up(&[name.to_owned()]).map_err(|error| error.id());
    assert_eq!(gave(&mut plan, "east"), Err("fetch.unknown-region"), "a mistyped name stops the server");
    assert_eq!(gave(&mut plan, "south"), Ok(()), "it was given up before");
    assert_eq!(gave(&mut plan, "west"), Ok(()));
    let left: Vec<&str> = plan.repository.regions.iter().map(|region| region.name.as_str()).collect();
    assert_eq!(left, ["north"]);
    assert_eq!(gave(&mut plan, "north"), Err("fetch.no-region"));
}

#[test]
fn no_bit_that_turns_over_changes_a_plan() {
    let plan = plan();
    let bytes = plan.encode().unwrap();
    let mut refused = 0;
    for bit in 0..bytes.len() * 8 {
        let mut spoiled = bytes.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        match PlanFile::decode(&spoiled) {
            Ok(read) => assert_eq!(read, plan, "bit {bit}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > bytes.len() * 7, "{refused}");
    let shorter = &bytes[..bytes.len() - 3];
    assert!(PlanFile::decode(shorter).is_err());
    // One of an older release: nothing but itself.
    let older = serde_json::to_vec_pretty(&plan).unwrap();
    assert_eq!(PlanFile::decode(&older).unwrap(), plan);
}
