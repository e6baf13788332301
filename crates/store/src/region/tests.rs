//! Bounds, classification and health of one region.

use super::*;
use crate::error::ErrorKind;
use crate::faulty::{CallKind, Fault, Gate, Rule};
use crate::limit::Bandwidth;
use crate::testing::{block_on, config, in_dir, in_memory, in_memory_with, world};
use crate::world::Clock;
use bytes::Bytes;
use futures::TryStreamExt;
use std::time::Duration;

fn put(region: &Region, name: &str, body: &'static str) {
    assert!(block_on(region.put_new(name, &Bytes::from(body))).unwrap().is_stored());
}

#[test]
fn outage_is_retried_within_count_and_time() {
    let (world, clock) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::FailBefore));
    let error = block_on(region.get("a", 10)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { tried: 5, .. }), "{error:?}");
    assert!(clock.monotonic() > Duration::from_millis(500) && clock.monotonic() < Duration::from_secs(2));
    let limits = Limits { attempts_max: 1000, retry_time_max: Duration::from_secs(60), ..Limits::default() };
    let (region, faults) = in_memory_with(RegionConfig { limits, ..config("two") }, &world);
    faults.add(Rule::new(Fault::FailBefore));
    let began = clock.monotonic();
    block_on(region.get("a", 10)).unwrap_err();
    assert!(clock.monotonic() - began <= Duration::from_secs(60), "no attempt starts after the time is up");
    assert!(clock.monotonic() - began > Duration::from_secs(40), "and not much earlier");
}

#[test]
fn error_text_names_region_object_attempts_and_cause_once() {
    let (world, _) = world();
    let (region, faults) = in_memory("eu-west", &world);
    faults.add(Rule::new(Fault::FailBefore));
    let error = block_on(region.head("c/manifest/x")).unwrap_err();
    let text = error.chain();
    assert!(text.starts_with("region eu-west is unavailable for c/manifest/x (tried 5 times in "), "{text}");
    assert!(text.ends_with(": injected fault: before the work"), "{text}");
}

#[test]
fn region_that_keeps_failing_is_left_alone_and_tried_again_later() {
    let (world, clock) = world();
    let (region, faults) = in_memory("one", &world);
    put(&region, "a", "x");
    faults.add(Rule::new(Fault::FailBefore));
    for _ in 0..3 {
        block_on(region.get("a", 10)).unwrap_err();
    }
    assert_eq!(region.health().state, HealthState::Open);
    let before = faults.count();
    let error = block_on(region.get("a", 10)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { tried: 0, .. }), "{error:?}");
    assert_eq!(faults.count(), before, "it was not asked");
    faults.heal();
    clock.advance(Duration::from_secs(31));
    assert_eq!(region.health().state, HealthState::HalfOpen);
    assert_eq!(block_on(region.get("a", 10)).unwrap(), "x");
    assert_eq!(region.health().state, HealthState::Closed);
}

#[test]
fn no_such_object_is_an_answer_and_not_a_failure() {
    let (world, _) = world();
    let (region, _) = in_memory("one", &world);
    for _ in 0..10 {
        assert!(block_on(region.get("a", 10)).unwrap_err().is_not_found());
    }
    assert_eq!(region.health().state, HealthState::Closed);
    assert_eq!((region.meter().get.calls, region.meter().get.failed), (10, 0));
}

#[test]
fn hanging_call_is_given_up_when_it_stalls() {
    let (world, clock) = world();
    let limits = Limits { attempts_max: 1, ..Limits::default() };
    let (region, faults) = in_memory_with(RegionConfig { limits, ..config("one") }, &world);
    faults.add(Rule::new(Fault::Hang(Gate::default())));
    let passing = async { clock.advance(Duration::from_secs(31)) };
    let (answer, ()) = block_on(futures::future::join(region.get("a", 10), passing));
    assert_eq!(answer.unwrap_err().chain().split(": ").last().unwrap(), "no progress for 30000 ms");
}

#[test]
fn cut_answer_is_asked_for_again_and_never_handed_on() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    put(&region, "a", "abcdef");
    faults.add(Rule::new(Fault::Truncate(3)).times(1));
    assert_eq!(block_on(region.get("a", 10)).unwrap(), "abcdef");
    faults.add(Rule::new(Fault::Truncate(3)).on(CallKind::Get));
    assert_eq!(block_on(region.get("a", 10)).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(block_on(region.get_range("a", 0..6)).unwrap_err().kind(), ErrorKind::Unavailable);
    faults.heal();
    faults.add(Rule::new(Fault::Truncate(1)).on(CallKind::Get).times(1));
    assert_eq!(block_on(region.get_ranges("a", &[0..2, 4..6])).unwrap(), ["ab", "ef"]);
}

/// What arrived before a transfer broke is not asked for again, and no byte is given twice.
#[test]
fn pieces_go_on_where_a_transfer_was_cut() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    put(&region, "a", "abcdef");
    let read = |most| {
        let (pieces, mut arrived) = tokio::sync::mpsc::channel::<Bytes>(100);
        let size = block_on(region.get_each("a", most, &pieces));
        let all = std::iter::from_fn(|| arrived.try_recv().ok()).flatten().collect();
        size.map(|size| (size, String::from_utf8(all).unwrap()))
    };
    assert_eq!(read(6).unwrap(), (6, "abcdef".to_owned()));
    faults.add(Rule::new(Fault::Truncate(2)).on(CallKind::Get).times(2));
    let before = region.meter().get.bytes;
    assert_eq!(read(6).unwrap(), (6, "abcdef".to_owned()));
    assert_eq!(region.meter().get.bytes - before, 2, "the last attempt had two bytes left to read");
    faults.add(Rule::new(Fault::Truncate(0)).on(CallKind::Get));
    assert_eq!(read(6).unwrap_err().kind(), ErrorKind::Unavailable);
    faults.heal();
    assert!(matches!(read(5).unwrap_err(), StoreError::TooLarge { size_bytes: 6, limit_bytes: 5, .. }));
}

#[test]
fn reads_hold_to_size_and_range() {
    let (world, _) = world();
    let (region, _) = in_memory("one", &world);
    put(&region, "a", "abcdef");
    let error = block_on(region.get("a", 5)).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { size_bytes: 6, limit_bytes: 5, .. }), "{error:?}");
    assert_eq!(block_on(region.get_range("a", 2..4)).unwrap(), "cd");
    assert_eq!(block_on(region.get_range("a", 2..2)).unwrap(), "");
    let error = block_on(region.get_range("a", 4..8)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a in region one is damaged: it has 6 bytes, and those from 4 to 8 were asked for"
    );
    assert_eq!(block_on(region.get_suffix("a", 2)).unwrap(), (Bytes::from("ef"), 6));
    assert_eq!(block_on(region.get_suffix("a", 100)).unwrap(), (Bytes::from("abcdef"), 6));
    assert_eq!(block_on(region.head("a")).unwrap().size_bytes, 6);
}

#[test]
fn broken_listing_goes_on_where_it_stopped() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    let expected = ["l/a", "l/b", "l/c", "l/d", "l/e"];
    for name in expected {
        put(&region, name, "x");
    }
    faults.add(Rule::new(Fault::Truncate(2)).on(CallKind::List).times(1));
    let names = |after: Option<&str>| -> Vec<String> {
        block_on(region.list("l", after).map_ok(|object| object.name).try_collect()).unwrap()
    };
    assert_eq!(names(None), expected);
    assert_eq!(names(Some("l/c")), ["l/d", "l/e"]);
    faults.add(Rule::new(Fault::Truncate(2)).on(CallKind::List));
    assert!(block_on(region.list_collect("l")).is_err(), "no listing without its end");
}

#[test]
fn level_shows_directories_and_objects() {
    let (world, _) = world();
    let (region, _) = in_memory("one", &world);
    for name in ["b/x/1", "b/x/2", "b/y/1", "b/z"] {
        put(&region, name, "x");
    }
    let level = block_on(region.list_level("b")).unwrap();
    assert_eq!(level.dirs, ["b/x", "b/y"]);
    assert_eq!(level.objects.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["b/z"]);
}

#[test]
fn deletion_tells_whether_there_was_anything() {
    let (world, _) = world();
    let dir = tempfile::tempdir().unwrap();
    let (region, faults) = in_dir("one", dir.path(), &world);
    put(&region, "a", "x");
    assert_eq!(block_on(region.delete("a")).unwrap(), Deleted::Deleted);
    assert_eq!(block_on(region.delete("a")).unwrap(), Deleted::WasAbsent);
    faults.add(Rule::new(Fault::FailBefore).on(CallKind::Delete));
    assert_eq!(block_on(region.delete("a")).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn region_away_is_unavailable_and_comes_back_by_itself() {
    let (world, clock) = world();
    let dir = tempfile::tempdir().unwrap();
    let (root, away) = (dir.path().join("root"), dir.path().join("away"));
    let (region, _) = in_dir("one", &root, &world);
    put(&region, "a", "x");
    std::fs::rename(&root, &away).unwrap();
    assert_eq!(block_on(region.exists("a")).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(block_on(region.put_new("b", &Bytes::new())).unwrap_err().kind(), ErrorKind::Unavailable);
    let said = block_on(region.list_collect("")).unwrap_err().chain();
    assert!(said.ends_with("does not exist; is its volume mounted?"), "{said}");
    std::fs::rename(&away, &root).unwrap();
    clock.advance(Duration::from_secs(31));
    assert!(block_on(region.exists("a")).unwrap());
}

#[test]
fn founding_makes_the_root_and_needs_no_marker() {
    let (world, _) = world();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("new/root");
    let of = |region: &str| RegionConfig { url: format!("file://{}", root.display()), ..config(region) };
    let founding = Region::found(of("one"), &world).unwrap();
    assert_eq!(block_on(founding.list_collect("")).unwrap(), []);
    let opened = Region::open(of("one"), &world).unwrap();
    assert_eq!(block_on(opened.list_collect("")).unwrap_err().kind(), ErrorKind::Unavailable);
    put(&founding, crate::local::MARKER, "{}");
    assert_eq!(block_on(opened.list_collect("")).unwrap().len(), 1);
    std::fs::write(root.join(".seawall-tmp-dead"), b"").unwrap();
    assert_eq!(block_on(opened.leftovers()).unwrap().unwrap().removed, 1, "counting removes nothing");
    assert_eq!(block_on(opened.sweep()).unwrap().removed, 1);
    assert_eq!(block_on(opened.leftovers()).unwrap().unwrap().removed, 0);
}

#[test]
fn meter_counts_every_attempt_and_the_bytes_that_arrived() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::FailBefore).times(1));
    put(&region, "a", "abc");
    block_on(region.get("a", 10)).unwrap();
    let meter = region.meter();
    assert_eq!((meter.put.calls, meter.put.failed, meter.put.bytes), (2, 1, 3));
    assert_eq!((meter.get.calls, meter.get.failed, meter.get.bytes), (1, 0, 3));
    assert_eq!(meter.calls(), 3);
}

#[test]
fn bandwidth_holds_puts_and_gets_back() {
    let (world, clock) = world();
    let limits = Limits { bandwidth: Some(Bandwidth::new(2, 0, &world)), ..Limits::default() };
    let (region, _) = in_memory_with(RegionConfig { limits, ..config("one") }, &world);
    put(&region, "a", "abcd");
    assert_eq!(clock.monotonic(), Duration::from_secs(2));
    block_on(region.get("a", 10)).unwrap();
    assert_eq!(clock.monotonic(), Duration::from_secs(4));
}

/// What each way of reading costs at a byte a second: what it returned, and nothing for what was only asked about.
#[test]
fn every_way_of_reading_draws_on_the_bandwidth() {
    let (world, clock) = world();
    let limits = Limits { bandwidth: Some(Bandwidth::new(1, 0, &world)), ..Limits::default() };
    let (region, _) = in_memory_with(RegionConfig { limits, ..config("one") }, &world);
    put(&region, "a", "abcdefgh");
    let cost = |read: &dyn Fn()| {
        let before = clock.monotonic();
        read();
        (clock.monotonic() - before).as_secs()
    };
    assert_eq!(cost(&|| drop(block_on(region.get("a", 10)).unwrap())), 8);
    assert_eq!(cost(&|| drop(block_on(region.get_range("a", 2..5)).unwrap())), 3);
    assert_eq!(cost(&|| drop(block_on(region.get_ranges("a", &[0..2, 6..8])).unwrap())), 4);
    assert_eq!(cost(&|| drop(block_on(region.get_prefix("a", 5)).unwrap())), 5);
    assert_eq!(cost(&|| drop(block_on(region.get_suffix("a", 6)).unwrap())), 6);
    assert_eq!(cost(&|| drop(block_on(region.head("a")).unwrap())), 0);
}

#[test]
fn impossible_names_are_told_before_anything_is_asked() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    assert_eq!(block_on(region.get("a/../b", 1)).unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(block_on(region.put_new("", &Bytes::new())).unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(faults.count(), 0);
    assert_eq!(RegionName::new("a b"), None);
}
