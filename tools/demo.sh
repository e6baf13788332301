#!/usr/bin/env bash
# The main job on a throw-away PostgreSQL: backups of a server under load, a table dropped by accident and brought back, then the
# loss of the host and of one region. Everything happens below one new directory; nothing is left running.
# DEMO_MAJOR picks the server (default 17), DEMO_DIR the place (default a new directory in the temporary directory), DEMO_PLACES=gcs
# puts the two regions into buckets of two simulated Google Cloud Storages instead of directories.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly checkout=$PWD

# ---- as root: build, then go on as an ordinary user, because PostgreSQL does not run as root -------------------------------
if [ -z "${DEMO_INNER:-}" ]; then
    # The binary as it is handed out; where it cannot be built here, the ordinary one shows the same.
    binary=$(tools/release.sh) || { binary=target/release/seawall; cargo build --release --locked --bin seawall; }
    root=${DEMO_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/seawall-demo.XXXXXX")}
    mkdir -p "$root"
    chmod 755 "$root"
    mkdir "$root/bin"
    install -m 755 "$binary" tools/demo.sh "$root/bin/"
    if [ "${DEMO_PLACES:-}" = gcs ]; then
        cargo build --locked -p seawall-gcsim
        install -m 755 target/debug/gcsim "$root/bin/"
    fi
    cp -r ".cache/postgresql/${DEMO_MAJOR:-17}" "$root/bin/postgresql"
    as=()
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id "$user" >/dev/null 2>&1 || user=seawall-test
        id "$user" >/dev/null 2>&1 || user=nobody
        chown -R "$user" "$root"
        as=(setpriv --reuid="$user" --regid="$(id -gn "$user")" --init-groups)
    fi
    mkdir -p "$root/bin/tools"
    cp tools/demo.sh "$root/bin/tools/demo.sh"
    exec "${as[@]}" env DEMO_INNER=1 DEMO_ROOT="$root" DEMO_PLACES="${DEMO_PLACES:-}" HOME="$root" PATH="$root/bin:$root/bin/postgresql/bin:$PATH" bash "$root/bin/tools/demo.sh"
fi

readonly root=$DEMO_ROOT
readonly host=$root/host eu=$root/region-eu north=$root/region-north safe=$root/safe sock=$root/s
readonly conf=$host/seawall.toml
export PGHOST=$sock PGUSER=postgres PGDATABASE=postgres SEAWALL_CONFIG=$conf
cd "$root"
mkdir -p "$host" "$safe" "$sock"

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f s", b - a }'; }
q() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

load=
started=()
declare -A cloud=()
clean_up() {
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    local pid
    for pid in "${cloud[@]}"; do kill "$pid" 2>/dev/null || true; done
    local data
    for data in "${started[@]}"; do
        [ -f "$data/postmaster.pid" ] && pg_ctl -D "$data" -m immediate -w stop >/dev/null 2>&1 || true
    done
}
trap clean_up EXIT

start() { pg_ctl -D "$1" -l "$1.log" -w -t 300 -o "-c unix_socket_directories=$sock -c listen_addresses=" start >/dev/null; started+=("$1"); }
# A bucket of a simulated Google Cloud Storage: what the settings say of it.
bucket() {
    local region=$1 location=$2 data=$3 url
    gcsim --listen 127.0.0.1:0 --data "$data" >"$root/$region.address" 2>"$root/$region.log" &
    cloud[$region]=$!
    until [ -s "$root/$region.address" ]; do sleep 0.1; done
    url=$(head -n 1 "$root/$region.address")
    python3 - "$url" "$location" <<'PYTHON'
import json, sys, urllib.request
body = json.dumps({"name": "acme-dr", "location": sys.argv[2]}).encode()
urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/storage/v1/b?project=demo", body, {"Content-Type": "application/json"}))
PYTHON
    printf 'url = "gs://acme-dr/pg"\nendpoint = "%s"\ncredentials_file = "%s"\n' "$url" "$safe/token.json" >"$root/$region.toml"
}
directory() { printf 'url = "file://%s"\n' "$2" >"$root/$1.toml"; }
region() { printf '[[repository.region]]\nname = "%s"\n' "$1"; cat "$root/$1.toml"; }
wait_until_open() {
    for _ in $(seq 600); do
        [ "$(q -c 'select pg_is_in_recovery()' 2>/dev/null)" = f ] && return
        sleep 0.2
    done
    echo "the server did not end its recovery; its log:" >&2
    tail -20 "$1.log" >&2
    return 1
}

step "A PostgreSQL server, and two identities made away from it"
initdb -D "$host/data" -U postgres -k -E UTF8 --locale=C >/dev/null
cat >>"$host/data/postgresql.conf" <<CONF
archive_mode = on
archive_command = 'seawall -c $conf wal push %p'
archive_timeout = 5
wal_level = replica
track_commit_timestamp = on
CONF
start "$host/data"
show seawall key generate --output "$safe/identity-1.txt"
show seawall key generate --output "$safe/identity-2.txt"
r1=$(grep -o 'age1[a-z0-9]*' "$safe/identity-1.txt" | head -1)
r2=$(grep -o 'age1[a-z0-9]*' "$safe/identity-2.txt" | head -1)

step "A repository of two regions, sealed for both identities"
if [ "${DEMO_PLACES:-}" = gcs ]; then
    (umask 077; echo '{"type": "fixed_token", "token": "demo"}' >"$safe/token.json")
    bucket eu EUROPE-WEST3 "$eu"
    bucket north EUROPE-NORTH1 "$north"
else
    directory eu "$eu"
    directory north "$north"
fi
cat >"$conf" <<CONF
[cluster.demo]
data_directory = "$host/data"
connection = "host=$sock user=postgres dbname=postgres"

[repository]
writer_key_file = "$host/writer.key"

$(region eu)

$(region north)
CONF
show seawall init --yes --recipient "$r1" --recipient "$r2" | tee "$safe/recovery-kit.txt"
owner=$(grep -o 'ed25519:[A-Za-z0-9+/=]*' "$safe/recovery-kit.txt" | head -1)

step "Data, and load that goes on all the time"
q -c "create table orders(id bigserial primary key, customer text, paid numeric, at timestamptz default clock_timestamp())" \
    -c "insert into orders(customer, paid) select 'customer ' || i, i % 100 from generate_series(1, 200000) i"
pgbench -i -q -s "${DEMO_SCALE:-20}" >/dev/null 2>&1
pgbench -n -c 2 -T 3600 -R 100 >/dev/null 2>&1 &
load=$!

step "A full backup, and two that build on it"
for n in 1 2 3; do
    before=$(seconds)
    show seawall backup
    echo "   (backup $n took $(since "$before"))"
    q -c "insert into orders(customer, paid) select 'day $n customer ' || i, i from generate_series(1, 1000) i"
    sleep 1
done
show seawall list

step "The accident: a table is dropped"
q -c "select pg_switch_wal()" >/dev/null
rows=$(q -c "select count(*) from orders")
before_drop=$(q -c "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
sleep 1
q -c "drop table orders"
echo "orders had $rows rows at $before_drop; now: $(q -c 'select count(*) from orders' 2>&1 | head -1)"
sleep 1
q -c "insert into pgbench_history(tid, bid, aid, delta, mtime) values (0, 0, 0, 0, now())" -c "select pg_switch_wal()" >/dev/null
sleep 7

step "Back to the second before, into another directory, beside the running server"
before=$(seconds)
show seawall restore -D "$root/before-drop" --at "$before_drop" --identity "$safe/identity-1.txt" --server-binaries "$root/bin/postgresql/bin"
mkdir -p "$root/s2"
pg_ctl -D "$root/before-drop" -l "$root/before-drop.log" -w -t 300 -o "-c unix_socket_directories=$root/s2 -c listen_addresses=" start >/dev/null
started+=("$root/before-drop")
PGHOST=$root/s2 wait_until_open "$root/before-drop"
echo "   (restored and open after $(since "$before"))"
back=$(PGHOST=$root/s2 q -c "select count(*) from orders")
PGHOST=$root/s2 psql -X -c "select id, customer, paid, at from orders order by id desc limit 3"
[ "$back" = "$rows" ] || { echo "expected $rows rows, found $back" >&2; exit 1; }
echo "all $back rows are back"
pg_ctl -D "$root/before-drop" -m fast -w stop >/dev/null

step "The disaster: the host is gone, and so is the region eu"
kill "$load" 2>/dev/null || true
wait "$load" 2>/dev/null || true
load=
q -c "create table last_words(said text)" -c "insert into last_words values ('the last commit that was archived')" -c "select pg_switch_wal()" >/dev/null
for _ in $(seq 100); do
    [ "$(q -c "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'")" = 0 ] && break
    sleep 0.2
done
history=$(q -c "select count(*) from pgbench_history")
pg_ctl -D "$host/data" -m immediate -w stop >/dev/null
[ -z "${cloud[eu]:-}" ] || kill -9 "${cloud[eu]}"
rm -rf "$host" "$eu"
unset SEAWALL_CONFIG
echo "left: $north and the safe"
source=(--from "file://$north" --owner "$owner" --cluster demo)
if [ "${DEMO_PLACES:-}" = gcs ]; then
    # A place with an address of its own needs a file on the new machine: where the repository is, and whom to believe.
    mkdir -p "$root/new"
    printf '[cluster.demo]\ndata_directory = "%s"\n[repository]\nowner = "%s"\n' "$root/recovered" "$owner" >"$root/new/seawall.toml"
    region north >>"$root/new/seawall.toml"
    source=(-c "$root/new/seawall.toml")
fi

step "Recovery on a bare host from the other region, with an identity from the safe"
show seawall list "${source[@]}" --identity "$safe/identity-2.txt" || [ $? = 1 ]
before=$(seconds)
show seawall restore "${source[@]}" --identity "$safe/identity-2.txt" \
    -D "$root/recovered" --latest --server-binaries "$root/bin/postgresql/bin"
start "$root/recovered"
wait_until_open "$root/recovered"
echo "   (restored and open after $(since "$before"))"
echo "last words: $(q -c 'select said from last_words')"
now=$(q -c "select count(*) from pgbench_history")
[ "$now" = "$history" ] || { echo "expected $history rows of history, found $now" >&2; exit 1; }
echo "all $now committed transactions of the load are there"
pg_ctl -D "$root/recovered" -m fast -w stop >/dev/null

step "Done"
du -sh "$root"/* 2>/dev/null | sed 's/^/   /'
echo "Everything lies in $root; nothing is left running. Remove it with: rm -rf $root"
