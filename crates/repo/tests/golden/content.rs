//! What the golden repositories hold: three states of a tiny tree, and the WAL files of two system identifiers.
//!
//! Promises every shape the format has: frames of consecutive and of gathered pages, raw and compressed, pages of zeros,
//! a short last page, a second leaf, leaves in line and as nodes with one patch and two, blocks shared and new, links,
//! directories to be made empty, files outside the data directory, names that are no UTF-8. Written down once per format
//! version: reading never calls this.

/// A page of the format.
pub(crate) const PAGE: usize = 8192;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    File(Vec<u8>),
    Directory,
    Link(&'static [u8]),
    Empty,
}

/// One path of a state.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: &'static [u8],
    pub(crate) mode: u32,
    pub(crate) content: Content,
}

/// Paths behind which the writer ends a file block early, so that this small tree has blocks to share.
pub(crate) const BLOCK_ENDS: [&[u8]; 2] =
    [b"@external/etc/postgresql/16/orders/postgresql.conf", b"base/5/PG_VERSION"];

/// The file that is stored in frames of its own and does not compress.
pub(crate) const INCOMPRESSIBLE: &[u8] = b"base/5/16391";

/// A page that compresses well and is like no other of the same file and state.
fn page(file: u32, number: usize, state: u32) -> Vec<u8> {
    let line = format!("file {file} page {number} as of state {state}; ");
    line.bytes().cycle().take(PAGE).collect()
}

fn pages(file: u32, numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| page(file, number, 1)).collect()
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(b"golden noise").finalize_xof().fill(&mut noise);
    noise
}

/// Every second page is of zeros: a location leaf of many extents.
fn striped(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| if number % 2 == 0 { page(16384, number, 1) } else { vec![0; PAGE] }).collect()
}

/// One page in each of two leaves; the rest is of zeros.
fn sparse() -> Vec<u8> {
    let mut file = vec![0; 4_100 * PAGE];
    file[7 * PAGE..8 * PAGE].copy_from_slice(&page(16390, 7, 1));
    file[4_098 * PAGE..4_099 * PAGE].copy_from_slice(&page(16390, 4_098, 1));
    file
}

fn set(file: &mut Vec<u8>, number: usize, content: &[u8]) {
    let end = (number + 1) * PAGE;
    file.resize(file.len().max(end), 0);
    file[end - PAGE..end].copy_from_slice(content);
}

/// The tree at backup 1, 2 and 3, in the order of paths.
pub(crate) fn states() -> [Vec<Entry>; 3] {
    let first = first();
    let second = second(first.clone());
    let third = third(second.clone());
    [first, second, third].map(|mut state| {
        state.sort_by_key(|entry| entry.path);
        state
    })
}

fn first() -> Vec<Entry> {
    let file =
        |path: &'static [u8], content: Vec<u8>| Entry { path, mode: 0o600, content: Content::File(content) };
    let directory = |path: &'static [u8]| Entry { path, mode: 0o700, content: Content::Directory };
    let empty = |path: &'static [u8]| Entry { path, mode: 0o700, content: Content::Empty };
    let link =
        |path: &'static [u8], to: &'static [u8]| Entry { path, mode: 0o777, content: Content::Link(to) };
    let mut configuration =
        file(b"@external/etc/postgresql/16/orders/postgresql.conf", b"wal_level = replica\n".to_vec());
    configuration.mode = 0o644;
    vec![
        configuration,
        file(b"PG_VERSION", b"16\n".to_vec()),
        directory(b"base"),
        directory(b"base/5"),
        file(b"base/5/1259", pages(1259, 0..40)),
        file(b"base/5/1259_fsm", [page(1260, 0, 1), vec![0; PAGE], page(1260, 2, 1)].concat()),
        file(b"base/5/16384", striped(0..160)),
        file(b"base/5/16390", sparse()),
        file(INCOMPRESSIBLE, noise(2 * PAGE)),
        file(b"base/5/16392", Vec::new()),
        file(b"base/5/16393", vec![0; 3 * PAGE]),
        file(b"base/5/PG_VERSION", b"16\n".to_vec()),
        file(b"base/5/pg_filenode.map", page(1, 0, 1)[..512].to_vec()),
        file(b"base/odd name \xff", pages(2, 0..1)[..5_000].to_vec()),
        link(b"conf.d", b"/etc/postgresql/16/orders/conf.d"),
        directory(b"global"),
        file(b"global/1213", [pages(1213, 0..2), page(1213, 2, 1)[..100].to_vec()].concat()),
        empty(b"pg_stat_tmp"),
        directory(b"pg_tblspc"),
        link(b"pg_tblspc/16400", b"/mnt/fast/tables"),
        directory(b"pg_tblspc/16400/PG_16_202307071"),
        file(b"pg_tblspc/16400/PG_16_202307071/16401", pages(16401, 0..9)),
        empty(b"pg_wal"),
        directory(b"pg_xact"),
        file(b"pg_xact/0000", pages(3, 0..1)),
    ]
}

fn change(state: &mut [Entry], path: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
    let entry = state.iter_mut().find(|entry| entry.path == path).expect("a path of the state");
    let Content::File(content) = &mut entry.content else { panic!("{} is no file", path.escape_ascii()) };
    change(content);
}

/// One page changed, two changed, one now of zeros, one grown, one cut; a file gone and one new.
fn second(mut state: Vec<Entry>) -> Vec<Entry> {
    change(&mut state, b"base/5/16384", |file| set(file, 10, &page(16384, 10, 2)));
    change(&mut state, b"base/5/1259", |file| {
        set(file, 3, &page(1259, 3, 2));
        set(file, 38, &page(1259, 38, 2));
        set(file, 20, &[0; PAGE]);
        set(file, 41, &page(1259, 41, 2));
    });
    change(&mut state, b"global/1213", |file| file.truncate(PAGE + 10));
    change(&mut state, b"pg_xact/0000", |file| set(file, 0, &page(3, 0, 2)));
    state.retain(|entry| entry.path != b"base/5/1259_fsm");
    state.push(Entry { path: b"base/5/16500", mode: 0o640, content: Content::File(pages(16500, 0..2)) });
    state
}

/// Another page of the patched leaf, one in each leaf of the sparse file.
fn third(mut state: Vec<Entry>) -> Vec<Entry> {
    change(&mut state, b"base/5/16384", |file| {
        set(file, 11, &page(16384, 11, 3));
        set(file, 12, &[0; PAGE]);
    });
    change(&mut state, b"base/5/16390", |file| {
        set(file, 7, &page(16390, 7, 3));
        set(file, 4_099, &page(16390, 4_099, 3));
    });
    change(&mut state, b"pg_xact/0000", |file| set(file, 0, &page(3, 0, 3)));
    state
}

/// A WAL file.
pub(crate) struct WalFile {
    /// Its segments have 1 MiB in the cluster's first life and 64 MiB in its second.
    pub(crate) life: usize,
    pub(crate) name: &'static str,
    pub(crate) content: Vec<u8>,
}

/// The WAL of both system identifiers.
pub(crate) fn wal() -> Vec<WalFile> {
    let begun = |bytes: usize, seed: u32| {
        let mut file = vec![0; bytes];
        file[..PAGE].copy_from_slice(&page(seed, 0, 1));
        file
    };
    let mut parted = begun(64 << 20, 9);
    // The second part is not all zeros either.
    parted[40 << 20..(40 << 20) + PAGE].copy_from_slice(&page(9, 1, 1));
    let backup = b"START WAL LOCATION: 0/200028 (file 000000010000000000000002)\nLABEL: golden\n".to_vec();
    let file = |life, name, content| WalFile { life, name, content };
    vec![
        file(0, "000000010000000000000001", begun(1 << 20, 5)),
        file(0, "000000010000000000000002", begun(1 << 20, 6)),
        file(0, "000000010000000000000002.00000028.backup", backup),
        file(0, "000000010000000000000003.partial", begun(1 << 20, 7)),
        file(0, "00000002.history", b"1\t0/300000\tno recovery target specified\n".to_vec()),
        file(0, "000000020000000000000003", begun(1 << 20, 8)),
        file(1, "000000010000000000000001", parted),
        file(1, "000000010000000000000002.partial", begun((32 << 20) + 1, 10)),
    ]
}
