//! Names of files as a repository may hold them.
//!
//! Paths in maps and packs are hostile until they pass here: whoever restores would otherwise write where a forger
//! wants. Promises that an accepted path, joined to a directory, stays beneath it (as far as names can tell; links
//! that are already there are the restorer's business). Deliberately takes bytes: PostgreSQL's names need not be UTF-8.

/// Longest path and longest link target, in bytes (`PATH_MAX` of Linux).
pub const PATH_BYTES_MAX: usize = 4_096;

/// Longest component of a path, in bytes (`NAME_MAX` of Linux).
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Why a path or a link target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Begins with a slash.
    #[error("it is absolute")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("it has an empty component")]
    EmptyComponent,
    /// `.` or `..`.
    #[error("it has a component . or ..")]
    DotComponent,
    /// A zero byte.
    #[error("it holds a zero byte")]
    Nul,
    /// Longer than Linux takes.
    #[error("it is longer than {PATH_BYTES_MAX} bytes, or a component longer than {COMPONENT_BYTES_MAX}")]
    TooLong,
}

/// Checks the path of a file, directory or link: relative, plain components, of bearable length.
pub fn check_path(path: &[u8]) -> Result<(), PathProblem> {
    check_text(path)?;
    if path.starts_with(b"/") {
        return Err(PathProblem::Absolute);
    }
    path.split(|byte| *byte == b'/').try_for_each(|component| match component {
        b"" => Err(PathProblem::EmptyComponent),
        b"." | b".." => Err(PathProblem::DotComponent),
        long if long.len() > COMPONENT_BYTES_MAX => Err(PathProblem::TooLong),
        _ => Ok(()),
    })
}

/// Checks the target of a symbolic link: it may be absolute and may point anywhere, as tablespaces do.
pub fn check_target(target: &[u8]) -> Result<(), PathProblem> {
    check_text(target)
}

fn check_text(text: &[u8]) -> Result<(), PathProblem> {
    match text {
        b"" => Err(PathProblem::Empty),
        text if text.len() > PATH_BYTES_MAX => Err(PathProblem::TooLong),
        text if text.contains(&0) => Err(PathProblem::Nul),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        let long = [b'a'; COMPONENT_BYTES_MAX + 1];
        let deep = b"a/".repeat(PATH_BYTES_MAX);
        let cases: [(&[u8], PathProblem); 12] = [
            (b"", PathProblem::Empty),
            (b"/etc/passwd", PathProblem::Absolute),
            (b"//", PathProblem::Absolute),
            (b"..", PathProblem::DotComponent),
            (b"base/../../etc", PathProblem::DotComponent),
            (b"./base", PathProblem::DotComponent),
            (b"base/.", PathProblem::DotComponent),
            (b"base//1", PathProblem::EmptyComponent),
            (b"base/", PathProblem::EmptyComponent),
            (b"base\0/1", PathProblem::Nul),
            (&long, PathProblem::TooLong),
            (&deep, PathProblem::TooLong),
        ];
        for (path, problem) in cases {
            assert_eq!(check_path(path), Err(problem), "{path:?}");
        }
    }

    #[test]
    fn postgresql_paths_pass() {
        for path in
            ["PG_VERSION", "base/5/2619_fsm", "pg_tblspc/16385/PG_18_202506291/5/1", "@external/etc/x.conf"]
        {
            assert_eq!(check_path(path.as_bytes()), Ok(()), "{path}");
        }
        assert_eq!(check_path(b"base/caf\xe9 ...\x1b[31m"), Ok(()));
        assert_eq!(check_target(b"/srv/../ts"), Ok(()));
        assert_eq!(check_target(b""), Err(PathProblem::Empty));
        assert_eq!(check_target(b"a\0"), Err(PathProblem::Nul));
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_beneath(path in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..20)) {
            if check_path(&path).is_ok() {
                use std::os::unix::ffi::OsStrExt;
                let as_path = std::path::Path::new(std::ffi::OsStr::from_bytes(&path));
                prop_assert!(as_path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
