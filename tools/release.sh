#!/usr/bin/env bash
# Builds seawall as one static file that runs on any Linux of this machine's kind, and prints its path.
#
# musl and not glibc: a static glibc still loads whatever name services a host's nsswitch.conf names, from that host's own glibc,
# and breaks where the versions differ. The target of the toolchain and musl's compiler wrapper (for zstd and BLAKE3, which are
# C) are installed where that is allowed; where not, what is missing is named and nothing is built.
# Promises: what it prints needs no loader and no shared library; that is read from the file itself.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly target=$(uname -m)-unknown-linux-musl
readonly built=target/$target/release/seawall

say() { printf 'release: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

need_target() {
    local place
    place=$(rustc --print sysroot)/lib/rustlib/$target
    [ -d "$place" ] && return
    command -v rustup >/dev/null || die "this Rust toolchain has no $target, and no rustup to add it"
    rustup target add "$target" >&2 || die "missing in this Rust toolchain: rustup target add $target"
}

need_compiler() {
    command -v musl-gcc >/dev/null && return
    local -a as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || die "missing on this machine, please install: musl-tools"
        as_root=(sudo -n)
    fi
    command -v apt-get >/dev/null || die "missing on this machine (Debian's name), please install: musl-tools"
    { "${as_root[@]}" apt-get update -q && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends musl-tools; } >&2 ||
        die "musl-tools could not be installed"
}

need_target
need_compiler
# The allocator: few arenas and freed memory back to the kernel soon, so that peaks stay what the work needs.
env "CC_${target//-/_}=musl-gcc" JEMALLOC_SYS_WITH_MALLOC_CONF=narenas:4,dirty_decay_ms:200,muzzy_decay_ms:0 \
    cargo build --release --locked --bin seawall --target "$target" >&2
# A program that needs a loader names it in a header of the type INTERP.
readelf --program-headers --dynamic --wide "$built" | grep -E 'INTERP|NEEDED' >&2 && die "$built is not static"
say "$built: static, $(stat -c %s "$built") bytes"
echo "$built"
