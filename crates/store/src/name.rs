//! Object names as all drivers can keep them.
//!
//! Promises: a name accepted here is one or more segments joined by `/`, none empty, `.` or `..`, none beginning with
//! a dot (kept for the file driver), none over 255 bytes, without control characters. Does not do: building names;
//! that is the repository format's.

use object_store::path::Path;

/// Longest segment, in bytes: what ext4, xfs and NFS allow.
const SEGMENT_BYTES_MAX: usize = 255;

/// Checks a whole name and turns it into the drivers' form.
pub(crate) fn parse_name(name: &str) -> Result<Path, String> {
    if name.is_empty() {
        return Err("it is empty".to_owned());
    }
    check_segments(name)?;
    parse_exactly(name)
}

/// Checks a prefix: whole segments, `""` for everything; one trailing `/` may stand or be left out.
pub(crate) fn parse_prefix(prefix: &str) -> Result<Option<Path>, String> {
    let bare = prefix.strip_suffix('/').unwrap_or(prefix);
    if bare.is_empty() && prefix.is_empty() {
        return Ok(None);
    }
    check_segments(bare)?;
    parse_exactly(bare).map(Some)
}

pub(crate) fn check_segments(name: &str) -> Result<(), String> {
    for segment in name.split('/') {
        if segment.is_empty() {
            return Err("a part of it is empty".to_owned());
        }
        if segment.starts_with('.') {
            return Err(format!("its part {segment:?} begins with a dot"));
        }
        if segment.len() > SEGMENT_BYTES_MAX {
            return Err(format!("a part of it has more than {SEGMENT_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}

fn parse_exactly(name: &str) -> Result<Path, String> {
    let path = Path::parse(name).map_err(|error| error.to_string())?;
    if path.as_ref() == name { Ok(path) } else { Err("it is not in its plain form".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_mislead_are_refused() {
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", ".hidden", "a/.b", "a\nb", "a\0b"] {
            assert!(parse_name(bad).is_err(), "{bad:?}");
        }
        assert!(parse_name(&"x".repeat(256)).is_err());
    }

    #[test]
    fn odd_but_honest_names_are_kept_to_the_letter() {
        for good in ["a", "a/b", "mein Haus/\"q\"", "a%2Fb", "ü/日本", "a#1", "x'y;$(z)", &"x".repeat(255)]
        {
            assert_eq!(parse_name(good).unwrap().as_ref(), good);
        }
    }

    #[test]
    fn prefix_may_end_in_a_slash_or_be_everything() {
        assert_eq!(parse_prefix("").unwrap(), None);
        assert_eq!(parse_prefix("a/b/").unwrap(), parse_prefix("a/b").unwrap());
        assert!(parse_prefix("/").is_err());
    }
}
