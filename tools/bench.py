#!/usr/bin/env python3
"""Measures seawall beside others on this machine: same data, one run, alternating.

Called by tools/bench.sh with everything installed. Prints a Markdown report to standard output, talk to standard error.
Wall is a monotonic clock around the command; CPU is user+sys of the command's whole tree plus, for server-side work, the
change of the server's tree; peak memory is the largest resident set of one process (and of the server's walsender where
it does the work, which is not in it). Ratios are what to read: the machine may be shared.
"""

import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(os.environ["BENCH_ROOT"])
PG = pathlib.Path(os.environ["BENCH_PG"])
SEAWALL = os.environ["BENCH_SEAWALL"]
PGBACKREST = os.environ.get("BENCH_PGBACKREST")
SCALE = int(os.environ.get("BENCH_SCALE", "100"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
LEVEL = "3"
DATA, SOCK = ROOT / "data", ROOT / "s"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def sh(*words, **more):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def sql(text, db="postgres"):
    return sh(PG / "psql", "-XAtq", "-h", SOCK, "-U", "postgres", "-d", db, "-v", "ON_ERROR_STOP=1", "-c", text).strip()


def tree_cpu(pid):
    """User+sys seconds of a process, its reaped children, and its living descendants."""
    ticks, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            kids = pathlib.Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except FileNotFoundError:
            continue
        ticks += sum(int(fields[i]) for i in (11, 12)) + (sum(int(fields[i]) for i in (13, 14)) if one == pid else 0)
        todo += [int(kid) for kid in kids]
    return ticks / os.sysconf("SC_CLK_TCK")


def size(path):
    return sum(p.stat().st_blocks * 512 for p in pathlib.Path(path).rglob("*") if p.is_file() and not p.is_symlink())


class Measure:
    """Runs a command and keeps wall, CPU, memory, bytes stored and read."""

    def __init__(self, server_pid=None):
        self.server_pid, self.rows = server_pid, {}

    def run(self, what, who, words, stored=None, server=False, env=None, allow=(0,)):
        before_size = size(stored) if stored else 0
        server_before = tree_cpu(self.server_pid) if server else 0
        log = ROOT / "bench.log"
        started = time.monotonic()
        with open(log, "ab") as out:
            child = subprocess.Popen([str(w) for w in words], stdout=out, stderr=out, env={**os.environ, **(env or {})})
            read_bytes = 0
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                read_bytes = max(read_bytes, proc_read(child.pid))
                time.sleep(0.02)
        wall = time.monotonic() - started
        code = os.waitstatus_to_exitcode(status)
        if code not in allow:
            sys.exit(f"bench: {' '.join(map(str, words))} ended with {code}; see {log}")
        cpu = usage.ru_utime + usage.ru_stime + (tree_cpu(self.server_pid) - server_before if server else 0)
        row = {"wall": wall, "cpu": cpu, "rss": usage.ru_maxrss / 1024, "read": read_bytes / 1e6,
               "stored": (size(stored) - before_size) / 1e6 if stored else None}
        self.rows.setdefault(what, {}).setdefault(who, []).append(row)
        say(f"{what}: {who}: {wall:.2f} s, {cpu:.2f} CPU s, {row['rss']:.0f} MiB")
        return row

    def report(self):
        for what, whos in self.rows.items():
            print(f"\n## {what}\n\n| who | wall s, median [min-max] | CPU s | peak MiB | stored MB | read MB | wall, seawall = 1 | CPU, seawall = 1 |")
            print("|---|---|---|---|---|---|---|---|")
            base = {key: statistics.median(r[key] for r in whos["seawall"]) for key in ("wall", "cpu")} if "seawall" in whos else None
            for who, rows in whos.items():
                print(row_text(who, rows, base))


def row_text(who, rows, base):
    median = {key: statistics.median(r[key] for r in rows) for key in ("wall", "cpu", "rss", "read")}
    walls = [r["wall"] for r in rows]
    stored = [r["stored"] for r in rows if r["stored"] is not None]
    ratio = [f"{median[key] / base[key]:.2f}" if base and base[key] else "" for key in ("wall", "cpu")]
    stored_text = f"{statistics.median(stored):.1f}" if stored else ""
    return (f"| {who} | {median['wall']:.3f} [{min(walls):.3f}-{max(walls):.3f}] | {median['cpu']:.2f} | {median['rss']:.0f} | "
            f"{stored_text} | {median['read']:.0f} | {ratio[0]} | {ratio[1]} |")


def proc_read(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/io").read_text().split()[1])
    except (FileNotFoundError, PermissionError, IndexError, ProcessLookupError):
        return 0


def start_server():
    sh(PG / "initdb", "-D", DATA, "-U", "postgres", "-k", "--no-sync", "-E", "UTF8", "--locale=C")
    SOCK.mkdir()
    with open(DATA / "postgresql.conf", "a") as conf:
        conf.write(f"listen_addresses=''\nunix_socket_directories='{SOCK}'\nshared_buffers=512MB\nmax_wal_size=4GB\n"
                   "checkpoint_timeout=30min\narchive_mode=on\narchive_command='true'\nwal_level=replica\nmax_wal_senders=8\n")
    sh(PG / "pg_ctl", "-D", DATA, "-l", ROOT / "server.log", "-w", "start")
    return int((DATA / "postmaster.pid").read_text().split()[0])


def load():
    say(f"loading: pgbench scale {SCALE}")
    sh(PG / "pgbench", "-h", SOCK, "-U", "postgres", "-i", "-q", "-s", SCALE, "postgres")
    # About a fifth of what pgbench makes, incompressible, and as much of JSON.
    rows = SCALE * 3000
    sql("create extension if not exists pgcrypto")
    sql(f"create table noise as select i, gen_random_bytes(1000) b from generate_series(1, {rows}) i; alter table noise alter b set storage external")
    sql(f"create table docs as select i, jsonb_build_object('id', i, 'name', md5(i::text), 'tags', array[i % 7, i % 11], 'text', repeat(md5((i * 7)::text), 4)) d from generate_series(1, {rows}) i")
    sql("vacuum analyze")
    sql("checkpoint")


def seawall_setup():
    conf, region = ROOT / "seawall.toml", ROOT / "region"
    recipients = []
    for n in (1, 2):
        identity = ROOT / f"identity-{n}.txt"
        sh(SEAWALL, "key", "generate", "--output", identity)
        recipients.append(next(word for word in identity.read_text().split() if word.startswith("age1")))
    conf.write_text(f'[cluster.bench]\ndata_directory = "{DATA}"\nconnection = "host={SOCK} user=postgres dbname=postgres"\n'
                    f'[repository]\nwriter_key_file = "{ROOT}/writer.key"\n[backup]\nfast_checkpoint = true\n'
                    f'[[repository.region]]\nname = "disk"\nurl = "file://{region}"\n')
    words = [SEAWALL, "-c", conf, "init", "--yes"]
    for recipient in recipients:
        words += ["--recipient", recipient]
    sh(*words)
    sql(f"alter system set archive_command = '{SEAWALL} -c {conf} wal push %p'")
    sql("select pg_reload_conf()")
    return conf, region


def owner(_conf):
    return json.loads((ROOT / "region" / "seawall.json").read_text().splitlines()[0])["owner"]


def pgbackrest_setup():
    conf, repo = ROOT / "pgbackrest.conf", ROOT / "pgbackrest"
    repo.mkdir()
    conf.write_text(f"[global]\nrepo1-path={repo}\nrepo1-retention-full=9\nprocess-max=2\nstart-fast=y\ncompress-type=zst\ncompress-level={LEVEL}\n"
                    f"repo1-bundle=y\nrepo1-block=y\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=benchbenchbench\nlog-level-console=warn\nlog-path={ROOT}\nlock-path={ROOT}\n"
                    f"archive-check=n\nspool-path={ROOT}\n[main]\npg1-path={DATA}\npg1-socket-path={SOCK}\npg1-user=postgres\n")
    options = known_options(conf)
    conf.write_text("\n".join(line for line in conf.read_text().splitlines() if line.split("=")[0] not in options) + "\n")
    sh(PGBACKREST, f"--config={conf}", "--stanza=main", "--no-online", "stanza-create")
    return conf, repo


def known_options(conf):
    """Options that this pgBackRest does not know (older ones lack block incremental)."""
    version = sh(PGBACKREST, "version").split()[-1]
    say(f"pgbackrest {version}")
    return ["repo1-block"] if tuple(map(int, version.split("."))) < (2, 46) else []


def basebackup(out):
    shutil.rmtree(out, ignore_errors=True)
    return [PG / "pg_basebackup", "-h", SOCK, "-U", "postgres", "-c", "fast", "-Ft", f"--compress=server-zstd:level={LEVEL},workers=2", "-D", out]


def full_backups(measure, conf, region, rest):
    for _ in range(RUNS):
        sql("checkpoint")
        measure.run("Full backup", "seawall", [SEAWALL, "-c", conf, "-q", "backup", "--full"], stored=region)
        if rest:
            measure.run("Full backup", "pgbackrest, zst 3, 2 processes", [PGBACKREST, f"--config={rest[0]}", "--stanza=main", "--type=full", "backup"], stored=rest[1])
        measure.run("Full backup", "pg_basebackup, 2 zstd workers", basebackup(ROOT / "base"), server=True)
        shutil.rmtree(ROOT / "base", ignore_errors=True)
        measure.run("Full backup", "tar and zstd -T2 (no backup: a bound)", ["sh", "-c", f"tar -C {DATA} --exclude=./pg_wal -cf - . 2>/dev/null | zstd -q -T2 -{LEVEL} -f -o {ROOT}/tar.zst"], allow=(0, 1, 2))


def small_changes(measure, conf, region, rest):
    for _ in range(RUNS):
        sh(PG / "pgbench", "-h", SOCK, "-U", "postgres", "-n", "-c", "4", "-j", "2", "-T", "3", "postgres")
        sql("checkpoint")
        measure.run("Backup after 3 s of pgbench", "seawall", [SEAWALL, "-c", conf, "-q", "backup"], stored=region)
        if rest:
            measure.run("Backup after 3 s of pgbench", "pgbackrest incr", [PGBACKREST, f"--config={rest[0]}", "--stanza=main", "--type=incr", "backup"], stored=rest[1])


def seawall_restore(conf, region, target, *more):
    return [SEAWALL, "-q", "restore", "--from", f"file://{region}", "--identity", ROOT / "identity-1.txt", "--owner", owner(conf), "--cluster", "bench", "-D", target,
            "--server-binaries", PG, "--immediate", *more]


def restores(measure, conf, region, rest):
    for _ in range(RUNS):
        shutil.rmtree(ROOT / "restored", ignore_errors=True)
        measure.run("Restore of the newest backup", "seawall", seawall_restore(conf, region, ROOT / "restored"))
        if rest:
            shutil.rmtree(ROOT / "rest-restored", ignore_errors=True)
            (ROOT / "rest-restored").mkdir(mode=0o700)
            measure.run("Restore of the newest backup", "pgbackrest", [PGBACKREST, f"--config={rest[0]}", "--stanza=main", f"--pg1-path={ROOT}/rest-restored", "--type=immediate", "restore"])
    for _ in range(RUNS):
        spoil(ROOT / "restored")
        measure.run("Restore --delta, 1 % of pages changed", "seawall", seawall_restore(conf, region, ROOT / "restored", "--delta"))
        if rest:
            spoil(ROOT / "rest-restored")
            measure.run("Restore --delta, 1 % of pages changed", "pgbackrest --delta", [PGBACKREST, f"--config={rest[0]}", "--stanza=main", f"--pg1-path={ROOT}/rest-restored", "--type=immediate", "--delta", "restore"])


def spoil(target):
    """Overwrites 8 bytes in every hundredth page of the large files."""
    for path in sorted(p for p in (target / "base").rglob("*") if p.is_file() and p.stat().st_size > 1 << 20):
        with open(path, "r+b") as file:
            for page in range(37, path.stat().st_size // 8192, 100):
                file.seek(page * 8192 + 4000)
                file.write(b"spoiled!")


def wal(measure, conf, region, rest):
    sql("alter system set archive_command = '/bin/false'")
    sql("select pg_reload_conf()")
    while len(waiting()) < 12:
        sh(PG / "pgbench", "-h", SOCK, "-U", "postgres", "-n", "-c", "4", "-j", "2", "-T", "4", "postgres")
        sql("select pg_switch_wal()")
    names = waiting()[:10]
    for name in names:
        measure.run("WAL push, one 16 MiB segment", "seawall", [SEAWALL, "-c", conf, "wal", "push", f"{DATA}/pg_wal/{name}"], stored=region)
        if rest:
            measure.run("WAL push, one 16 MiB segment", "pgbackrest archive-push", [PGBACKREST, f"--config={rest[0]}", "--stanza=main", "archive-push", f"{DATA}/pg_wal/{name}"], stored=rest[1])
    plan = ROOT / "restored"
    for name in names:
        out = ROOT / "fetched"
        out.unlink(missing_ok=True)
        measure.run("WAL fetch, one 16 MiB segment", "seawall", [SEAWALL, "-q", "wal", "fetch", "--from", f"file://{region}", "--identity", ROOT / "identity-1.txt", "--owner", owner(conf), "--cluster", "bench", name, out])
        if out.read_bytes() != (DATA / "pg_wal" / name).read_bytes():
            sys.exit(f"bench: {name} came back different")
        if rest:
            out.unlink(missing_ok=True)
            measure.run("WAL fetch, one 16 MiB segment", "pgbackrest archive-get", [PGBACKREST, f"--config={rest[0]}", "--stanza=main", "archive-get", name, out])


def waiting():
    return sorted(p.name[:-6] for p in (DATA / "pg_wal" / "archive_status").glob("*.ready") if len(p.name) == 30)


def main():
    pid = start_server()
    try:
        load()
        measure = Measure(pid)
        conf, region = seawall_setup()
        rest = pgbackrest_setup() if PGBACKREST else None
        print(f"Data directory without WAL: {(size(DATA) - size(DATA / 'pg_wal')) / 1e6:.0f} MB; pgbench scale {SCALE}, noise and JSON; {os.cpu_count()} cores; {sh(PG / 'postgres', '--version').strip()};"
              f" {sh(PGBACKREST, 'version').strip() if PGBACKREST else 'no pgBackRest'}; {RUNS} runs each, alternating.")
        full_backups(measure, conf, region, rest)
        small_changes(measure, conf, region, rest)
        restores(measure, conf, region, rest)
        wal(measure, conf, region, rest)
        measure.report()
        (ROOT / "rows.json").write_text(json.dumps(measure.rows, indent=1))
    finally:
        subprocess.run([PG / "pg_ctl", "-D", DATA, "-m", "immediate", "-w", "stop"], stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
