#!/usr/bin/env bash
# Installs what the benchmark needs, drops root, runs tools/bench.py on PostgreSQL 15 (the newest that Debian's pgBackRest
# knows) and writes docs/BENCHMARKS.md. BENCH_SCALE (pgbench scale, default 100) and BENCH_RUNS (default 3) size it.
# Leaves nothing running and removes its data.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bench: %s\n' "$*" >&2; }

if ! command -v pgbackrest >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get install -y -q --no-install-recommends pgbackrest >&2 || say "pgbackrest could not be installed; measuring without it"
fi
cargo build --release --locked --bin seawall >&2

root=$(mktemp -d /tmp/seawall-bench.XXXXXX)
trap 'rm -rf "$root"' EXIT
install -m 755 target/release/seawall "$root/seawall"
install -m 755 tools/bench.py "$root/bench.py"
mkdir "$root/work"
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
    (cd "$root" && "${as[@]}" env HOME="$root" BENCH_ROOT="$root/work" BENCH_PG="$OLDPWD/.cache/postgresql/15/bin" BENCH_SEAWALL="$root/seawall" \
        BENCH_PGBACKREST="$(command -v pgbackrest || true)" BENCH_SCALE="${BENCH_SCALE:-100}" BENCH_RUNS="${BENCH_RUNS:-3}" python3 "$root/bench.py")
} >"$root/report.md"
cp "$root/report.md" docs/BENCHMARKS.md
say "docs/BENCHMARKS.md is written"
