#!/usr/bin/env bash
# Installs what the benchmark needs, drops root, runs tools/bench.py on PostgreSQL 15 (the newest that Debian's pgBackRest
# knows) and writes docs/BENCHMARKS.md. BENCH_SCALE (pgbench scale, default 100) and BENCH_RUNS (default 3) size it; BENCH_PARTS names
# the parts to run (main pgbench incremental replay sizes changes tables regions requests) and, when they are not all, the report goes to standard output instead. Leaves nothing running and removes its data.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bench: %s\n' "$*" >&2; }

debian=/usr/lib/postgresql/15/bin
if [ "$(id -u)" = 0 ] && ! { command -v pgbackrest >/dev/null && [ -x "$debian/postgres" ]; }; then
    # Debian's server, because its pg_basebackup can compress; without the cluster that the package would start.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no-main.conf
    { apt-get update -q && apt-get install -y -q --no-install-recommends pgbackrest postgresql-15 zstd; } >&2 ||
        say "pgbackrest or postgresql-15 could not be installed; measuring without it"
fi
pg=$PWD/.cache/postgresql/15/bin
[ ! -x "$debian/postgres" ] || pg=$debian
# Beside PostgreSQL's own incremental backups: from outside root's folders, so that everybody can enter it.
pg17=$PWD/.cache/postgresql/17
# The binary as it is handed out; where it cannot be built here, the ordinary one.
binary=$(tools/release.sh) || { binary=target/release/seawall; cargo build --release --locked --bin seawall >&2; }

root=$(mktemp -d /tmp/seawall-bench.XXXXXX)
# What was measured before something failed is shown, not lost.
trap '[ $? = 0 ] || cat "$root/report.md" >&2 || true; rm -rf "$root"' EXIT
install -m 755 "$binary" "$root/seawall"
install -m 755 tools/bench.py tools/bench_requests.py "$root/"
cargo build --release --locked -p seawall-pg --features testing --example wal_speed >&2
install -m 755 target/release/examples/wal_speed "$root/wal_speed"
cargo build --release --locked -p seawall-gcsim >&2
install -m 755 target/release/gcsim "$root/gcsim"
mkdir "$root/work"
[ ! -x "$pg17/bin/postgres" ] || cp -a "$(readlink -f "$pg17")" "$root/postgresql-17"
as=()
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    chown -R "$user" "$root"
    as=(setpriv --reuid="$user" --regid="$(id -gn "$user")" --init-groups)
fi
chmod 755 "$root"
{
    printf '# Benchmarks\n\nMade by `make bench`. Read the ratios: the machine may be shared, and differences below a fifth are nothing.\n\n'
    (cd "$root" && "${as[@]}" env HOME="$root" BENCH_ROOT="$root/work" BENCH_PG="$pg" BENCH_PG17="$([ ! -d "$root/postgresql-17" ] || echo "$root/postgresql-17/bin")" BENCH_SEAWALL="$root/seawall" BENCH_WAL_SPEED="$root/wal_speed" BENCH_GCSIM="$root/gcsim" \
        BENCH_PGBACKREST="$(command -v pgbackrest || true)" BENCH_SCALE="${BENCH_SCALE:-100}" BENCH_RUNS="${BENCH_RUNS:-3}" BENCH_PARTS="${BENCH_PARTS:-main pgbench incremental replay sizes changes tables regions requests}" python3 "$root/bench.py")
} >"$root/report.md"
if [ -n "${BENCH_PARTS:-}" ]; then
    cat "$root/report.md"
    exit
fi
cp "$root/report.md" docs/BENCHMARKS.md
say "docs/BENCHMARKS.md is written"
