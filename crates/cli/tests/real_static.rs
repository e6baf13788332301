//! The released binary: one file, no loader, no shared library; and what such a build does in its own way, which is finding a
//! host's address by its name.
//!
//! `make test-release` builds it, names it with `SEAWALL_BIN`, and runs these tests and a dozen others on it.

use crate::support::{Site, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Failure, Result, bins};

/// Types of program headers and tags of the dynamic section that ask for a loader.
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let found = bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
    found.ok_or_else(|| Failure::new(format!("the file ends before byte {at}")))
}

/// What a file of ELF's 64-bit form wants of the machine it runs on.
fn wants(file: &[u8]) -> Result<Vec<&'static str>> {
    assert_eq!(file.get(..5), Some(&b"\x7fELF\x02"[..]), "an ELF file of 64 bits");
    let word = |at| number::<8>(file, at).map(|bytes| u64::from_le_bytes(bytes) as usize);
    let half = |at| number::<2>(file, at).map(|bytes| usize::from(u16::from_le_bytes(bytes)));
    let (headers, size, count) = (word(32)?, half(54)?, half(56)?);
    let mut wants = Vec::new();
    for header in (0..count).map(|index| headers + index * size) {
        match u32::from_le_bytes(number(file, header)?) {
            PT_INTERP => wants.push("a loader"),
            PT_DYNAMIC => {
                let (from, bytes) = (word(header + 8)?, word(header + 32)?);
                for entry in (from..from + bytes).step_by(16) {
                    if u64::from_le_bytes(number(file, entry)?) == DT_NEEDED {
                        wants.push("a library");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(wants)
}

#[test]
#[ignore = "of the released binary: make test-release"]
fn the_released_binary_needs_neither_a_loader_nor_a_library() -> Result<()> {
    let file = std::fs::read(bins::seawall_path()?)?;
    assert_eq!(wants(&file)?, Vec::<&str>::new());
    // This test itself is no such file, so the question can be answered with yes.
    assert!(wants(&std::fs::read(std::env::current_exe()?)?)?.contains(&"a loader"));
    Ok(())
}

#[test]
fn a_name_of_a_host_is_found_by_whatever_build() -> Result<()> {
    let site = Site::plain(17)?;
    let socket = site.server.socket_directory().display().to_string();
    // Nothing listens there: to be refused shows that the name became an address.
    for (host, wanted) in [("localhost", "efused"), ("no-such-host.invalid", "no-such-host.invalid")] {
        let text =
            site.settings_text().replace(&format!("host={socket} port=5432"), &format!("host={host} port=1"));
        assert!(text.contains("port=1 "), "{text}");
        write_file(&site.settings(), text, 0o600)?;
        let refused = says(site.seawall(["backup"])?, 3, &[wanted])?;
        assert_eq!(refused.stderr.contains("efused"), host == "localhost", "{}", refused.stderr);
    }
    Ok(())
}
