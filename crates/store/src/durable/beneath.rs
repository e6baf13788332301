//! Opening a name beneath a directory without ever being led out of it.
//!
//! Promises: no symbolic link is followed, neither on the way nor at the end; the name was checked by the caller.
//! Does not do: anything on kernels without `openat2` that it does not do with it; there the way is walked part by part.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use std::path::{Component, Path};

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens `name` beneath `root`.
pub(super) fn open_beneath(
    root: BorrowedFd<'_>,
    name: &Path,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    match openat2(root, name, flags, mode, RESOLVE) {
        // Kernels before 5.6 lack the call, and some containers' filters answer EPERM for calls they do not know. A
        // true EPERM comes back from the walk.
        Err(Errno::NOSYS | Errno::PERM) => walk(root, name, flags, mode),
        answer => answer,
    }
}

/// The same by hand: one `openat` for each part, none of which may be a symbolic link.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    name: &Path,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let mut parts = name.components().peekable();
    let mut here: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else { return Err(Errno::XDEV) };
        let from = here.as_ref().map_or(root, rustix::fd::AsFd::as_fd);
        let opened = if parts.peek().is_some() {
            let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(from, part, on_the_way, Mode::empty())?
        } else {
            openat(from, part, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)?
        };
        here = Some(opened);
    }
    here.ok_or(Errno::INVAL)
}
