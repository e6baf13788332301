//! Several regions together.

use super::*;
use crate::error::{ErrorKind, StoreError};
use crate::faulty::{CallKind, Fault, FaultyStore, Gate, Rule};
use crate::put::Put;
use crate::testing::{block_on, in_memory, name, pair, world};
use bytes::Bytes;
use futures::StreamExt;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
#[error("not what was put")]
struct Wrong;

fn expect(body: &'static str) -> impl FnMut(&RegionName, Bytes) -> Result<Bytes, Wrong> {
    move |_, bytes| if bytes == body { Ok(bytes) } else { Err(Wrong) }
}

const WHOLE: Extent = Extent::Whole { bytes_max: 100 };

fn down(faults: &FaultyStore) {
    faults.add(Rule::new(Fault::FailBefore));
}

#[test]
fn one_buffer_goes_to_every_region() {
    let (world, _) = world();
    let (regions, [_, second]) = pair(&world);
    let set = regions.set();
    let puts = block_on(set.put_all("a", &"x".into()));
    assert!(puts.iter().all(|(_, put)| matches!(put, Ok(Put::Created))));
    assert!(acknowledge(Ack::All, regions.len(), &puts).met);
    down(&second);
    let puts = block_on(set.put_all("b", &"x".into()));
    assert!(matches!(puts.get(&name("one")), Some(Ok(Put::Created))));
    assert!(matches!(puts.get(&name("two")), Some(Err(StoreError::Unavailable { .. }))));
    assert!(!acknowledge(Ack::All, regions.len(), &puts).met);
    assert!(acknowledge(Ack::AtLeast(1), regions.len(), &puts).met);
    assert!(set.detached().is_empty(), "failing does not detach by itself");
}

#[test]
fn lagging_region_is_let_go_and_gets_nothing_more() {
    let (world, clock) = world();
    let (regions, [_, second]) = pair(&world);
    let gate = Gate::default();
    second.add(Rule::new(Fault::Hang(gate.clone())));
    let set = regions.set().with_lag_max(Duration::from_secs(10));
    // Time passes only after the put has begun and the first region has finished.
    let passing = async {
        for _ in 0..11 {
            futures::future::ready(()).await;
            clock.advance(Duration::from_secs(1));
        }
    };
    let bytes = Bytes::from("x");
    let (puts, ()) = block_on(futures::future::join(set.put_all("a", &bytes), passing));
    assert!(matches!(puts.get(&name("one")), Some(Ok(Put::Created))));
    assert_eq!(puts.get(&name("two")).unwrap().as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    let reason = DetachReason::Lagging { waited: Duration::from_secs(10) };
    assert_eq!(set.detached(), [Detached { region: name("two"), reason }]);
    gate.open();
    let calls = second.count();
    let puts = block_on(set.put_all("b", &bytes));
    assert_eq!(puts.len(), 1);
    assert_eq!(second.count(), calls);
    assert!(!acknowledge(Ack::All, regions.len(), &puts).met, "who was let go does not count as done");
}

#[test]
fn a_spare_is_read_where_the_copy_is_wrong_or_gone_and_nowhere_else() {
    let rank = |name: &str| name.strip_prefix("spare/a.")?.parse().ok();
    let spares = || Spares { folder: "spare/".to_owned(), rank: &rank };
    let read =
        |regions: &Regions| block_on(regions.get_any_or_spare("a", Some(&spares()), WHOLE, expect("good")));
    let (world, _) = world();
    let (regions, [first, second]) = pair(&world);
    let put = |region: &str, name: &str, bytes: &'static str| {
        block_on(regions.find(region).unwrap().put_new(name, &bytes.into())).unwrap();
    };
    assert!(read(&regions).unwrap_err().is_absent_everywhere());
    // Gone everywhere, but for a spare: "absent" would be no truth.
    put("two", "spare/a.1", "good");
    put("two", "spare/b.1", "other");
    let served = read(&regions).unwrap();
    assert_eq!((served.region, served.faults.len()), (name("two"), 1), "the first lacks it");
    second.add(Rule::new(Fault::FailBefore).on(CallKind::List));
    assert!(!read(&regions).unwrap_err().is_absent_everywhere(), "nobody could ask for its spares");
    second.heal();
    // Wrong, and a spare beside it: no other region is asked, and nothing is a fault any more.
    put("one", "a", "bad");
    put("one", "spare/a.9", "good");
    put("one", "spare/a.10", "worse");
    let before = second.count();
    let served = read(&regions).unwrap();
    assert_eq!((served.region, served.faults.len(), second.count()), (name("one"), 0, before));
    // Good: no request more than without spares.
    let (regions, [first_alone, _]) = pair(&world);
    block_on(regions.find("one").unwrap().put_new("a", &"good".into())).unwrap();
    let calls = first_alone.count();
    read(&regions).unwrap();
    assert_eq!(first_alone.count(), calls + 1);
    assert!(first.count() > 0);
}

#[test]
fn first_reason_for_letting_go_stays() {
    let (world, _) = world();
    let (regions, _) = pair(&world);
    let set = regions.set();
    set.detach(&name("one"), DetachReason::Excluded);
    set.detach(&name("one"), DetachReason::Conflict { name: "a".to_owned() });
    assert_eq!(set.detached(), [Detached { region: name("one"), reason: DetachReason::Excluded }]);
    assert_eq!(set.attached().len(), 1);
    assert_eq!(regions.set().attached().len(), 2, "another operation has them all");
}

#[test]
fn damaged_copy_is_passed_over_and_told() {
    let (world, _) = world();
    let (regions, [first, _]) = pair(&world);
    block_on(regions.set().put_all("a", &"good".into()));
    first.add(Rule::new(Fault::FlipBit(3)).on(CallKind::Get));
    let served = block_on(regions.get_any("a", WHOLE, expect("good"))).unwrap();
    assert_eq!((served.value, served.region), ("good".into(), name("two")));
    assert!(matches!(&served.faults[..], [ReadFault { kind: ReadFaultKind::Damaged(_), .. }]));
    assert_eq!(served.faults[0].to_string(), "one: damaged: not what was put");
}

#[test]
fn missing_copy_and_dead_region_are_passed_over_and_told() {
    let (world, _) = world();
    let (regions, [first, second]) = pair(&world);
    block_on(regions.find("two").unwrap().put_new("a", &"x".into())).unwrap();
    let served = block_on(regions.get_any("a", Extent::Range(0..1), expect("x"))).unwrap();
    assert!(matches!(served.faults[..], [ReadFault { kind: ReadFaultKind::Missing, .. }]));
    down(&first);
    let served = block_on(regions.get_any("a", Extent::Suffix(1), expect("x"))).unwrap();
    assert_eq!(served.region, name("two"));
    down(&second);
    let none = block_on(regions.get_any("a", WHOLE, expect("x"))).unwrap_err();
    assert!(!none.is_absent_everywhere() && none.may_pass());
}

#[test]
fn absence_needs_the_word_of_every_region() {
    let (world, _) = world();
    let (regions, [first, second]) = pair(&world);
    assert!(matches!(block_on(regions.absent_everywhere("a")), Absence::Yes));
    assert!(block_on(regions.get_any("a", WHOLE, expect("x"))).unwrap_err().is_absent_everywhere());
    down(&first);
    let Absence::Unknown { unanswered } = block_on(regions.absent_everywhere("a")) else {
        panic!("an outage is no absence")
    };
    assert_eq!(unanswered.iter().map(|(region, _)| region.clone()).collect::<Vec<_>>(), [name("one")]);
    assert!(!block_on(regions.get_any("a", WHOLE, expect("x"))).unwrap_err().is_absent_everywhere());
    second.heal();
    block_on(regions.find("two").unwrap().put_new("a", &"x".into())).unwrap();
    assert!(
        matches!(block_on(regions.absent_everywhere("a")), Absence::No { held_by } if held_by == [name("two")])
    );
}

#[test]
fn region_that_is_down_or_slow_is_asked_last() {
    let (world, _) = world();
    let (regions, [first, second]) = pair(&world);
    let order = || regions.by_preference().iter().map(|region| region.name().to_string()).collect::<Vec<_>>();
    block_on(regions.set().put_all("a", &"x".into()));
    assert_eq!(order(), ["one", "two"]);
    first.add(Rule::new(Fault::Delay(Duration::from_secs(1))).times(1));
    block_on(regions.find("one").unwrap().exists("a")).unwrap();
    assert_eq!(order(), ["two", "one"]);
    down(&second);
    for _ in 0..3 {
        block_on(regions.find("two").unwrap().exists("a")).unwrap_err();
    }
    assert_eq!(order(), ["one", "two"], "better slow than down");
}

#[test]
fn merged_listing_says_who_has_what_and_whose_word_is_missing() {
    let (world, _) = world();
    let (regions, [_, second]) = pair(&world);
    block_on(regions.set().put_all("l/b", &"x".into()));
    block_on(regions.find("one").unwrap().put_new("l/a", &"xx".into())).unwrap();
    block_on(regions.find("two").unwrap().put_new("l/c", &"xxx".into())).unwrap();
    let told = || -> Vec<String> {
        let tell = |listed: &Listed| match listed {
            Listed::Object { name, held, unknown } => {
                let held: Vec<_> =
                    held.iter().map(|held| format!("{}:{}", held.region, held.size_bytes)).collect();
                let unknown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
                format!("{name} {} ?{}", held.join(","), unknown.join(","))
            }
            Listed::Broken { region, .. } => format!("broken {region}"),
        };
        block_on(regions.list_all("l").map(|listed| tell(&listed)).collect())
    };
    assert_eq!(told(), ["l/a one:2 ?", "l/b one:1,two:1 ?", "l/c two:3 ?"]);
    second.add(Rule::new(Fault::FailBefore).on(CallKind::List));
    assert_eq!(told(), ["broken two", "l/a one:2 ?two", "l/b one:1 ?two"]);
}

#[test]
fn regions_that_make_no_sense_are_refused() {
    let (world, _) = world();
    let (one, _) = in_memory("one", &world);
    let (again, _) = in_memory("one", &world);
    assert_eq!(Regions::new(vec![], &world).unwrap_err(), RegionsError::None);
    let error = Regions::new(vec![one, again], &world).unwrap_err();
    assert_eq!(error.to_string(), "two regions have the name one");
    let (one, _) = in_memory("one", &world);
    let place = crate::RegionConfig { url: one.url().to_owned() + "/", ..crate::testing::config("two") };
    let (two, _) = crate::testing::in_memory_with(place, &world);
    let error = Regions::new(vec![one, two], &world).unwrap_err();
    assert_eq!(error.to_string(), "the regions one and two are the same place: memory:///one");
}

/// Lets time pass in steps of a second while something else goes on.
async fn seconds(clock: &crate::world::ManualClock, count: u64) {
    for _ in 0..count {
        futures::future::ready(()).await;
        clock.advance(Duration::from_secs(1));
        // Whoever waited for that second takes its turn.
        let mut yielded = false;
        futures::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

#[test]
fn a_region_that_hesitates_is_raced_by_the_next_and_loses_its_place() {
    let (world, clock) = world();
    let (regions, [first, _]) = pair(&world);
    block_on(regions.set().put_all("a", &"x".into()));
    let gate = Gate::default();
    first.add(Rule::new(Fault::Hang(gate.clone())).on(CallKind::Get));
    let race = regions.get_any("a", WHOLE, expect("x"));
    let (served, ()) = block_on(futures::future::join(race, seconds(&clock, 3)));
    let served = served.unwrap();
    assert_eq!((served.region, served.faults.len()), (name("two"), 0), "slow is not wrong");
    let order: Vec<_> = regions.by_preference().iter().map(|region| region.name().to_string()).collect();
    assert_eq!(order, ["two", "one"]);
}

#[test]
fn where_the_raced_region_was_the_only_one_with_the_object_it_still_serves() {
    let (world, clock) = world();
    let (regions, [first, second]) = pair(&world);
    block_on(regions.find("one").unwrap().put_new("a", &"x".into())).unwrap();
    let gate = Gate::default();
    first.add(Rule::new(Fault::Hang(gate.clone())).on(CallKind::Get));
    let race = regions.get_any("a", WHOLE, expect("x"));
    let later = async {
        seconds(&clock, 3).await;
        gate.open();
    };
    let (served, ()) = block_on(futures::future::join(race, later));
    let served = served.unwrap();
    assert_eq!(served.region, name("one"));
    assert!(matches!(&served.faults[..], [ReadFault { kind: ReadFaultKind::Missing, .. }]));
    assert!(second.count() > 0);
}

#[test]
fn a_number_of_copies_is_waited_for_before_anybody_lags() {
    let (world, clock) = world();
    let (one, _) = in_memory("one", &world);
    let (two, slow) = in_memory("two", &world);
    let (three, hung) = in_memory("three", &world);
    let regions = Regions::new(vec![one, two, three], &world).unwrap();
    let gates = [Gate::default(), Gate::default()];
    slow.add(Rule::new(Fault::Hang(gates[0].clone())));
    hung.add(Rule::new(Fault::Hang(gates[1].clone())));
    let set = regions.set().with_quorum(2).with_lag_max(Duration::from_secs(5));
    let later = async {
        seconds(&clock, 20).await;
        gates[0].open();
        seconds(&clock, 10).await;
    };
    let bytes = Bytes::from("x");
    let (puts, ()) = block_on(futures::future::join(set.put_all("a", &bytes), later));
    assert!(puts.get(&name("two")).unwrap().is_ok(), "the second copy is needed, however late");
    assert!(puts.get(&name("three")).unwrap().is_err());
    assert_eq!(set.detached().len(), 1);
}

#[test]
fn a_region_with_a_bound_of_its_own_is_given_up_alone() {
    let (world, clock) = world();
    let (one, _) = in_memory("one", &world);
    let (two, hung) = in_memory("two", &world);
    let (three, slow) = in_memory("three", &world);
    let regions = Regions::new(vec![one, two, three], &world).unwrap();
    let gates = [Gate::default(), Gate::default()];
    hung.add(Rule::new(Fault::Hang(gates[0].clone())));
    slow.add(Rule::new(Fault::Hang(gates[1].clone())));
    let set = regions
        .set()
        .with_lag_max(Duration::from_secs(20))
        .with_lag_max_of(&name("two"), Duration::from_secs(2));
    let later = async {
        seconds(&clock, 10).await;
        gates[1].open();
    };
    let bytes = Bytes::from("x");
    let (puts, ()) = block_on(futures::future::join(set.put_all("a", &bytes), later));
    assert!(puts.get(&name("two")).unwrap().is_err() && puts.get(&name("three")).unwrap().is_ok());
}

#[test]
fn a_short_listing_does_not_wait_for_a_region_that_hangs() {
    let (world, clock) = world();
    let (regions, [first, _]) = pair(&world);
    block_on(regions.set().put_all("l/a", &"x".into()));
    first.add(Rule::new(Fault::Hang(Gate::default())).on(CallKind::List));
    let listed = regions.list_all_within("l", Duration::from_secs(4)).collect::<Vec<_>>();
    let (listed, ()) = block_on(futures::future::join(listed, seconds(&clock, 6)));
    let [Listed::Broken { region, error }, Listed::Object { held, unknown, .. }] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!((region, error.kind()), (&name("one"), ErrorKind::Unavailable));
    assert_eq!((held.len(), unknown), (1, &vec![name("one")]));
}

#[test]
fn a_region_that_is_left_alone_is_asked_nothing_until_it_is_tried() {
    let (world, _) = world();
    let (regions, [first, _]) = pair(&world);
    let one = regions.find("one").unwrap();
    one.leave_alone("another process says so".to_owned());
    let error = block_on(one.exists("a")).unwrap_err();
    assert!(error.chain().ends_with("another process says so"), "{}", error.chain());
    assert_eq!(first.count(), 0);
    one.try_again();
    down(&first);
    block_on(one.exists("a")).unwrap_err();
    assert_eq!(first.count(), 1, "one attempt is enough to find out");
}
