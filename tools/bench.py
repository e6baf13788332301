#!/usr/bin/env python3
"""Measures seawall beside others on this machine: same data, one run, alternating.

Called by tools/bench.sh with everything installed. Prints a Markdown report to standard output, talk to standard error.
Wall is a monotonic clock around the command. CPU is user and system time of the command and what it started, and for work
that the server does the change of the server's whole tree. Peak memory is the largest resident set of one of the
command's processes, looked at every 5 ms (not the server's). Read is what the command's first process or its children read by system calls. Ratios are what to read: the machine may be shared.
"""

import json
import math
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time

import bench_requests

ROOT = pathlib.Path(os.environ["BENCH_ROOT"])
PG = pathlib.Path(os.environ["BENCH_PG"])
PG17 = pathlib.Path(os.environ["BENCH_PG17"]) if os.environ.get("BENCH_PG17") else None
SEAWALL = os.environ["BENCH_SEAWALL"]
PGBACKREST = os.environ.get("BENCH_PGBACKREST")
WAL_SPEED = os.environ.get("BENCH_WAL_SPEED")
GCSIM = os.environ.get("BENCH_GCSIM")
SCALE = int(os.environ.get("BENCH_SCALE", "100"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
PARTS = os.environ.get("BENCH_PARTS", "main pgbench incremental replay sizes changes tables regions requests").split()
LEVEL = "3"
OTHER = "pgBackRest"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def sh(*words, **more):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def size(path):
    return sum(p.stat().st_blocks * 512 for p in pathlib.Path(path).rglob("*") if p.is_file() and not p.is_symlink())


def touch_memory():
    """The first use of a page is slow in a virtual machine: the host hands it over. Nothing of that belongs to a measurement."""
    path, block = ROOT / "touched", b"\1" * (16 << 20)
    free = shutil.disk_usage(ROOT).free
    with open(path, "wb") as file:
        for _ in range(min(free // 4, 8 << 30) >> 24):
            file.write(block)
    path.unlink()


def tree_cpu(pid):
    """User and system seconds of a process, its reaped children, and its living descendants."""
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


class Sampler(threading.Thread):
    """Follows what a process has read and how much memory it and its children had at most, while the main thread waits.

    The kernel's own figure for memory cannot serve: it begins with that of the process which started the command.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.read, self.memory, self.ended, self.of = pid, 0, 0, threading.Event(), {}
        self.start()

    def run(self):
        while not self.ended.wait(0.005):
            for pid in [self.pid, *children(self.pid)]:
                status = proc(pid, "status")
                peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
                self.memory = max([self.memory, *(int(kilobytes) / 1024 for kilobytes in peak)])
                read = proc(pid, "io").split()
                self.of[pid] = max(self.of.get(pid, 0), int(read[1]) if len(read) > 1 else 0)
            # A parent's figure has what its children read once they ended.
            own = self.of.get(self.pid, 0)
            self.read = max(self.read, own, sum(self.of.values()) - own)

    def end(self):
        self.ended.set()
        self.join()


def proc(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def children(pid):
    return proc(pid, f"task/{pid}/children").split()


class Measure:
    """Runs commands and keeps wall, CPU, memory, bytes stored and read."""

    def __init__(self):
        self.rows = {}

    def run(self, what, who, words, stored=None, server=None, allow=(0,), cwd=None):
        before_size = size(stored) if stored else 0
        server_before = tree_cpu(server) if server else 0
        log = ROOT / "bench.log"
        with open(log, "ab") as out:
            started = time.monotonic()
            child = subprocess.Popen([str(w) for w in words], stdout=out, stderr=out, cwd=cwd)
            sampler = Sampler(child.pid)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - started
        sampler.end()
        code = os.waitstatus_to_exitcode(status)
        if code not in allow:
            sys.exit(f"bench: {' '.join(map(str, words))} ended with {code}:\n{log.read_text()[-2000:]}")
        cpu = usage.ru_utime + usage.ru_stime + (tree_cpu(server) - server_before if server else 0)
        row = {"wall": wall, "cpu": cpu, "rss": sampler.memory, "read": sampler.read / 1e6,
               "stored": (size(stored) - before_size) / 1e6 if stored else None}
        self.rows.setdefault(what, {}).setdefault(who, []).append(row)
        say(f"{what}: {who}: {wall:.3f} s, {cpu:.2f} CPU s, {row['rss']:.0f} MiB")
        return row

    def report(self, what):
        print("| who | wall s, median [least to most] | CPU s | peak MiB | stored MB | read MB | wall, seawall = 1 | CPU, seawall = 1 |")
        print("|---|---|---|---|---|---|---|---|")
        whos = self.rows[what]
        base = {key: statistics.median(r[key] for r in whos["seawall"]) for key in ("wall", "cpu")}
        for who, rows in whos.items():
            print(row_text(who, rows, base))


def row_text(who, rows, base):
    median = {key: statistics.median(r[key] for r in rows) for key in ("wall", "cpu", "rss", "read")}
    walls = [r["wall"] for r in rows]
    stored = [r["stored"] for r in rows if r["stored"] is not None]
    ratio = [f"{median[key] / base[key]:.2f}" if base[key] else "" for key in ("wall", "cpu")]
    return (f"| {who} | {median['wall']:.3f} [{min(walls):.3f} to {max(walls):.3f}] | {median['cpu']:.2f} | {median['rss']:.0f} | "
            f"{f'{statistics.median(stored):.1f}' if stored else ''} | {median['read']:.0f} | {ratio[0]} | {ratio[1]} |")


class Cluster:
    """A server with a repository of each kind."""

    def __init__(self, name, *conf, programs=PG):
        self.root, self.programs = ROOT / name, programs
        self.root.mkdir()
        self.data, self.sock, self.region, self.rest = (self.root / part for part in ("data", "s", "region", "pgbackrest"))
        sh(programs / "initdb", "-D", self.data, "-U", "postgres", "-k", "--no-sync", "-E", "UTF8", "--locale=C")
        self.sock.mkdir()
        with open(self.data / "postgresql.conf", "a") as file:
            lines = ["listen_addresses=''", f"unix_socket_directories='{self.sock}'", "shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=30min",
                     "archive_mode=on", "archive_command='true'", "wal_level=replica", "max_wal_senders=8", *conf]
            file.write("\n".join(lines) + "\n")
        self.start()

    def start(self):
        sh(self.programs / "pg_ctl", "-D", self.data, "-l", self.root / "server.log", "-w", "start")
        self.pid = int((self.data / "postmaster.pid").read_text().split()[0])

    def stop(self):
        sh(self.programs / "pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")

    def sql(self, text):
        return sh(self.programs / "psql", "-XAtq", "-h", self.sock, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", text).strip()

    def pgbench(self, *words):
        return sh(self.programs / "pgbench", "-h", self.sock, "-U", "postgres", *words, "postgres", cwd=self.root)

    def set_up(self, others=True, regions=None):
        """The repositories; WAL goes to seawall's. `regions`: that part of the settings, where it is not the one on disk."""
        self.conf, recipients = self.root / "seawall.toml", []
        for n in (1, 2):
            identity = self.root / f"identity-{n}.txt"
            sh(SEAWALL, "key", "generate", "--output", identity)
            recipients += ["--recipient", next(word for word in identity.read_text().split() if word.startswith("age1"))]
        self.conf.write_text(
            f'[cluster.bench]\ndata_directory = "{self.data}"\nconnection = "host={self.sock} user=postgres dbname=postgres"\n'
            f'[repository]\nwriter_key_file = "{self.root}/writer.key"\n[backup]\nfast_checkpoint = true\n'
            + (regions or f'[[repository.region]]\nname = "disk"\nurl = "file://{self.region}"\n'))
        sh(SEAWALL, "-c", self.conf, "init", "--yes", *recipients)
        if not regions:
            self.owner = json.loads((self.region / "seawall.json").read_text().splitlines()[0])["owner"]
        self.sql(f"alter system set archive_command = '{SEAWALL} -c {self.conf} wal push %p'")
        self.sql("select pg_reload_conf()")
        if PGBACKREST and others:
            self.rest.mkdir()
            self.rest_conf = self.root / "pgbackrest.conf"
            lines = ["[global]", f"repo1-path={self.rest}", "repo1-retention-full=9", "process-max=2", "start-fast=y", "compress-type=zst", f"compress-level={LEVEL}",
                     "repo1-bundle=y", "repo1-cipher-type=aes-256-cbc", "repo1-cipher-pass=benchbenchbench", "log-level-console=warn", f"log-path={self.root}",
                     f"lock-path={self.root}", "archive-check=n", f"spool-path={self.root}"]
            if pgbackrest_version() >= (2, 46):
                lines.append("repo1-block=y")
            lines += ["[main]", f"pg1-path={self.data}", f"pg1-socket-path={self.sock}", "pg1-user=postgres"]
            self.rest_conf.write_text("\n".join(lines) + "\n")
            sh(*self.pgbackrest("--no-online", "stanza-create"))
        return self

    def with_region(self, conf, name):
        """Settings with one region more."""
        more = self.root / f"with-{name}.toml"
        more.write_text(conf.read_text() + f'[[repository.region]]\nname = "{name}"\nurl = "file://{self.root / name}"\n')
        more.chmod(0o600)
        return more

    def seawall(self, *words):
        return [SEAWALL, "-c", self.conf, "-q", *words]

    def seawall_backup(self, measure, what, *words):
        return measure.run(what, "seawall", self.seawall("backup", *words), stored=self.region)

    def from_region(self):
        return ["--from", f"file://{self.region}", "--identity", self.root / "identity-1.txt", "--owner", self.owner, "--cluster", "bench"]

    def seawall_restore(self, measure, what, target, *more):
        words = [SEAWALL, "-q", "restore", *self.from_region(), "-D", target, "--server-binaries", PG, "--immediate", *more]
        return measure.run(what, "seawall", words)

    def pgbackrest(self, *words):
        return [PGBACKREST, f"--config={self.rest_conf}", "--stanza=main", *words]

    def pgbackrest_backup(self, measure, what, kind):
        if PGBACKREST:
            measure.run(what, OTHER, self.pgbackrest(f"--type={kind}", "backup"), stored=self.rest)

    def pgbackrest_restore(self, measure, what, target, *more):
        if PGBACKREST:
            measure.run(what, OTHER, self.pgbackrest(f"--pg1-path={target}", "--type=immediate", *more, "restore"))

    def end(self):
        subprocess.run([self.programs / "pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop"], stdout=subprocess.DEVNULL)
        shutil.rmtree(self.root, ignore_errors=True)


def pgbackrest_version():
    return tuple(map(int, sh(PGBACKREST, "version").split()[-1].split(".")[:2]))


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    return path


def fresh_private(path):
    fresh(path).mkdir(mode=0o700)
    return path


def fill(cluster):
    say(f"loading: pgbench scale {SCALE}")
    cluster.pgbench("-i", "-q", "-s", SCALE)
    rows = SCALE * 3000
    cluster.sql("create extension if not exists pgcrypto")
    cluster.sql("create table noise (i int, b bytea)")
    cluster.sql("alter table noise alter b set storage external")
    cluster.sql(f"insert into noise select i, gen_random_bytes(1000) from generate_series(1, {rows}) i")
    cluster.sql(f"create table docs as select i, jsonb_build_object('id', i, 'name', md5(i::text), 'tags', array[i % 7, i % 11], 'text', repeat(md5((i * 7)::text), 4)) d from generate_series(1, {rows}) i")
    cluster.sql("vacuum analyze")
    cluster.sql("checkpoint")


def main_part():
    cluster, measure = Cluster("main"), Measure()
    try:
        fill(cluster)
        cluster.set_up()
        data = (size(cluster.data) - size(cluster.data / "pg_wal")) / 1e6
        print(f"\nThe cluster: {data:.0f} MB without WAL: pgbench at scale {SCALE}, {SCALE * 3000:,} rows of random bytes, as many of JSON. {RUNS} runs each, alternating.")
        full_backups(cluster, measure)
        small_changes(cluster, measure)
        restores(cluster, measure)
        verifications(cluster, measure)
        speed = wal(cluster, measure)
        for what in measure.rows:
            print(f"\n## {what}\n")
            measure.report(what)
        if speed:
            print(f"\n## Reading WAL\n\nEvery page and record checked with its CRC, every block reference and the meaning of every record taken, on one core.\n\n```text\n{speed.strip()}\n```")
        if "pgbench" in PARTS:
            under_load(cluster)
    finally:
        cluster.end()


def full_backups(cluster, measure):
    what = "Full backup, zstd 3, encrypted"
    for _ in range(RUNS):
        cluster.sql("checkpoint")
        cluster.seawall_backup(measure, what, "--full")
        cluster.pgbackrest_backup(measure, what, "full")
        base = fresh(cluster.root / "base")
        words = [PG / "pg_basebackup", "-h", cluster.sock, "-U", "postgres", "-c", "fast", "-Ft", f"--compress=server-zstd:level={LEVEL},workers=2", "-D", base]
        measure.run(what, "pg_basebackup, 2 zstd workers, not encrypted", words, server=cluster.pid)
        fresh(base)
        tar = f"tar -C {cluster.data} --exclude=./pg_wal -cf - . 2>/dev/null | zstd -q -T2 -{LEVEL} -f -o {cluster.root}/tar.zst"
        measure.run(what, "tar and zstd -T2 (a bound, no backup)", ["sh", "-c", tar], allow=(0, 1, 2))


def small_changes(cluster, measure):
    for _ in range(RUNS):
        cluster.pgbench("-n", "-c", "4", "-j", "2", "-T", "3")
        cluster.sql("checkpoint")
        cluster.seawall_backup(measure, "Backup after 3 s of pgbench")
        cluster.pgbackrest_backup(measure, "Backup after 3 s of pgbench", "incr")
    for _ in range(RUNS):
        cluster.seawall_backup(measure, "Backup after no change")
        cluster.pgbackrest_backup(measure, "Backup after no change", "incr")


def restores(cluster, measure):
    ours, theirs = cluster.root / "restored", cluster.root / "pgbackrest-restored"
    for _ in range(RUNS):
        cluster.seawall_restore(measure, "Restore of the newest backup", fresh(ours))
        cluster.pgbackrest_restore(measure, "Restore of the newest backup", fresh_private(theirs))
    for _ in range(RUNS):
        what = "Restore --delta, 1 % of pages changed"
        spoil(ours)
        cluster.seawall_restore(measure, what, ours, "--delta")
        spoil(theirs)
        cluster.pgbackrest_restore(measure, what, theirs, "--delta")
    fresh(ours), fresh(theirs)


def verifications(cluster, measure):
    """Everything both have stored by now, read and checked; each judges one repository."""
    what = "Verify everything stored"
    for _ in range(RUNS):
        measure.run(what, "seawall", [SEAWALL, "-q", "verify", "--stored", *cluster.from_region()])
        measure.run(what, "seawall, every frame and page opened", [SEAWALL, "-q", "verify", "--full", *cluster.from_region()])
        if PGBACKREST:
            measure.run(what, OTHER, cluster.pgbackrest("verify"))


def spoil(target):
    """Overwrites 8 bytes in every hundredth page of the large files, and reads all, so that both find it in the cache."""
    for path in sorted(p for p in (target / "base").rglob("*") if p.is_file()):
        with open(path, "r+b") as file:
            for page in range(37, path.stat().st_size // 8192, 100) if path.stat().st_size > 1 << 20 else ():
                file.seek(page * 8192 + 4000)
                file.write(b"spoiled!")
            file.seek(0)
            while file.read(4 << 20):
                pass


def wal(cluster, measure):
    cluster.sql("alter system set archive_command = '/bin/false'")
    cluster.sql("select pg_reload_conf()")
    while len(waiting(cluster)) < 16:
        cluster.pgbench("-n", "-c", "4", "-j", "2", "-T", "4")
        cluster.sql("select pg_switch_wal()")
    push, fetch = "WAL push, one segment of 16 MiB", "WAL fetch, one segment of 16 MiB"
    names = waiting(cluster)[:14]
    for name in names:
        path = cluster.data / "pg_wal" / name
        measure.run(push, "seawall", cluster.seawall("wal", "push", path), stored=cluster.region)
        # The same bytes under a name that gets no index: what an index costs.
        partial = path.with_name(f"{name}.partial")
        shutil.copy(path, partial)
        measure.run(push, "seawall, as a .partial file, which has no index", cluster.seawall("wal", "push", partial), stored=cluster.region)
        partial.unlink()
        if PGBACKREST:
            measure.run(push, OTHER, cluster.pgbackrest("archive-push", path), stored=cluster.rest)
    out = cluster.root / "fetched"
    for name in names:
        out.unlink(missing_ok=True)
        measure.run(fetch, "seawall", [SEAWALL, "-q", "wal", "fetch", *cluster.from_region(), name, out], cwd=cluster.data)
        if out.read_bytes() != (cluster.data / "pg_wal" / name).read_bytes():
            sys.exit(f"bench: {name} came back different")
        if PGBACKREST:
            out.unlink(missing_ok=True)
            measure.run(fetch, OTHER, cluster.pgbackrest("archive-get", name, out), cwd=cluster.data)
    cluster.sql(f"alter system set archive_command = '{SEAWALL} -c {cluster.conf} wal push %p'")
    cluster.sql("select pg_reload_conf()")
    if WAL_SPEED:
        major = sh(PG / "postgres", "--version").split()[2].split(".")[0]
        say("reading WAL")
        return sh(WAL_SPEED, cluster.data / "pg_wal", major).replace(str(cluster.data / "pg_wal"), "what pgbench wrote here")


def incremental_part():
    """Beside PostgreSQL's own incremental backups, which 17 was the first to have."""
    if not PG17:
        return
    what, cluster, measure = "Backup after 3 s of pgbench", Cluster("incremental", "summarize_wal=on", programs=PG17), Measure()
    theirs = "pg_basebackup --incremental, plain, not encrypted"
    try:
        cluster.pgbench("-i", "-q", "-s", str(SCALE))
        cluster.set_up(others=False)
        base, words = cluster.root / "base", [PG17 / "pg_basebackup", "-h", cluster.sock, "-U", "postgres", "-c", "fast", "-X", "none"]
        cluster.seawall_backup(measure, "before", "--full")
        sh(*words, "-D", base)
        for run in range(RUNS):
            cluster.pgbench("-n", "-c", "4", "-j", "2", "-T", "3")
            cluster.sql("checkpoint")
            cluster.seawall_backup(measure, what)
            more = cluster.root / f"more-{run}"
            measure.run(what, theirs, [*words, f"--incremental={base}/backup_manifest", "-D", more], server=cluster.pid)
            measure.rows[what][theirs][-1]["stored"] = size(more) / 1e6
            base = more
        version = sh(PG17 / "postgres", "--version").strip()
        print(f"\n## {what}, beside PostgreSQL's own\n\n{version}, pgbench at scale {SCALE}; each builds on its own last one. Summarising WAL is the server's work in the background and not counted; neither is seawall's index, made while a segment is archived.\n")
        measure.report(what)
    finally:
        cluster.end()


def replay_part():
    """How long recovery replays the same WAL, by where it comes from."""
    cluster = Cluster("replay", "max_wal_size=16GB")
    try:
        cluster.pgbench("-i", "-q", "-s", str(max(SCALE // 2, 1)))
        cluster.set_up()
        raw, base = cluster.root / "raw", cluster.root / "cold"
        raw.mkdir()
        cluster.stop()
        sh("cp", "-a", cluster.data, base)
        also = f" && {' '.join(map(str, cluster.pgbackrest('archive-push', '%p')))}" if PGBACKREST else ""
        with open(cluster.data / "postgresql.auto.conf", "a") as file:
            file.write(f"archive_command = 'cp %p {raw}/%f && {SEAWALL} -c {cluster.conf} wal push %p{also}'\n")
        cluster.start()
        while len(list(raw.iterdir())) < 60:
            cluster.pgbench("-n", "-c", "4", "-j", "2", "-T", "5")
        total = cluster.sql("select count(*), sum(abalance) from pgbench_accounts")
        cluster.sql("select pg_switch_wal()")
        last = cluster.sql("select pg_walfile_name(pg_current_wal_lsn() - 1)")
        while not (raw / last).exists() or cluster.sql("select last_archived_wal from pg_stat_archiver") < last:
            time.sleep(0.2)
        cluster.stop()
        segments = [p for p in raw.iterdir() if len(p.name) == 24]
        fetch = " ".join(map(str, [SEAWALL, "-q", "wal", "fetch", *cluster.from_region(), "%f", "%p"]))
        ways = {"seawall": fetch, "already in pg_wal (a bound)": "/bin/false", "cp": f"cp {raw}/%f %p"}
        if PGBACKREST:
            # It refuses to run where its settings say another directory than the server's.
            ways[OTHER] = " ".join(map(str, cluster.pgbackrest(f"--pg1-path={cluster.root}/target", "archive-get", "%f", "%p")))
            ways[f"{OTHER}, asynchronous"] = ways[OTHER].replace("archive-get", "--archive-async --spool-path=SPOOL archive-get")
        rows = {who: [] for who in ways}
        for _ in range(RUNS):
            for who, command in ways.items():
                rows[who].append(redo(cluster, base, segments if command == "/bin/false" else [], command, total))
                say(f"replay: {who}: {rows[who][-1]:.2f} s")
        data = len(segments) * 16.777216
        print(f"\n## Recovery by where its WAL comes from\n\n{len(segments)} segments of pgbench ({data:.0f} MB), replayed on a copy of the cluster; seconds are the server's own, of redo. Sums compared afterwards.\n")
        print("| WAL comes from | redo s, median [least to most] | MB/s | rate, pg_wal = 1 |\n|---|---|---|---|")
        bound = statistics.median(rows["already in pg_wal (a bound)"])
        for who, times in rows.items():
            median = statistics.median(times)
            print(f"| {who} | {median:.2f} [{min(times):.2f} to {max(times):.2f}] | {data / median:.0f} | {bound / median:.2f} |")
    finally:
        cluster.end()


def redo(cluster, base, beside, command, total):
    """Seconds of redo on a copy of `base`, by the server's own word."""
    target, spool = fresh(cluster.root / "target"), fresh(cluster.root / "spool")
    spool.mkdir()
    sh("cp", "-a", base, target)
    for segment in beside:
        shutil.copy(segment, target / "pg_wal" / segment.name)
    (target / "recovery.signal").touch()
    with open(target / "postgresql.auto.conf", "a") as file:
        file.write(f"restore_command = '{command.replace('SPOOL', str(spool))}'\narchive_mode = off\n")
    log = cluster.root / "redo.log"
    log.unlink(missing_ok=True)
    os.sync()
    sh(PG / "pg_ctl", "-D", target, "-l", log, "-w", "-t", "600", "start")
    while cluster.sql("select pg_is_in_recovery()") != "f":
        time.sleep(0.1)
    found = cluster.sql("select count(*), sum(abalance) from pgbench_accounts")
    sh(PG / "pg_ctl", "-D", target, "-m", "immediate", "-w", "stop")
    if found != total:
        sys.exit(f"bench: replayed by {command}: {found} instead of {total}")
    return next(float(line.rsplit("elapsed:", 1)[1].split()[0]) for line in log.read_text().splitlines() if "redo done" in line)


def waiting(cluster):
    return sorted(p.name[:-6] for p in (cluster.data / "pg_wal" / "archive_status").glob("*.ready") if len(p.name) == 30)


def under_load(cluster):
    """pgbench alone, and with full backups one after the other."""
    ways = [("nothing", None), ("seawall (nice 10, its default)", cluster.seawall("backup", "--full"))]
    if PGBACKREST:
        ways.append((OTHER, cluster.pgbackrest("--type=full", "backup")))
    order = [*ways, ways[1], *ways[2:], ways[0]]
    rows = [(who, load(cluster, who, words)) for who, words in order]
    alone = statistics.mean(row["tps"] for who, row in rows if who == "nothing")
    print("\n## pgbench while full backups run\n\n4 clients, 15 s each, alternating; the load alone comes first and last. What a backup cost are the transactions "
          "that were missing, by backup: a backup that is done sooner hinders for a shorter time.\n")
    print("| with | transactions/s | p50 ms | p99 ms | full backups meanwhile | transactions that each cost |\n|---|---|---|---|---|---|")
    for who, row in rows:
        cost = f"{(alone - row['tps']) * row['seconds'] / row['backups']:.0f}" if row["backups"] else ""
        print(f"| {who} | {row['tps']:.0f} | {row['p50']:.2f} | {row['p99']:.2f} | {row['backups']:.1f} | {cost} |")


def load(cluster, who, words):
    stop, done, seconds = threading.Event(), [], 15

    def back_up():
        while words and not stop.is_set():
            began = time.monotonic()
            sh(*words)
            done.append((began, time.monotonic()))

    for old in cluster.root.glob("load.*"):
        old.unlink()
    began = time.monotonic()
    thread = threading.Thread(target=back_up)
    thread.start()
    told = cluster.pgbench("-n", "-c", "4", "-j", "2", "-T", str(seconds), "-l", "--log-prefix=load")
    ended = time.monotonic()
    stop.set()
    thread.join()
    times = sorted(int(line.split()[2]) for log in cluster.root.glob("load.*") for line in log.read_text().splitlines())
    tps = float(next(line.split("=")[1].split()[0] for line in told.splitlines() if line.startswith("tps")))
    at = lambda share: times[min(len(times) - 1, math.floor(len(times) * share))] / 1000
    # The last one went on when the load had ended: it counts for the share that fell into the load.
    backups = sum((min(end, ended) - max(start, began)) / (end - start) for start, end in done)
    say(f"pgbench with {who}: {tps:.0f} tps, {backups:.1f} backups")
    return {"tps": tps, "p50": at(0.5), "p99": at(0.99), "backups": backups, "seconds": ended - began}


GIGABYTES = (1, 2, 4, 8)
# Rows of `grows` that change alike whatever its size, each on a page of its own.
SAME_ROWS = 5000


class Growing:
    """A cluster whose one table of text grows: what changes alike is to cost alike."""

    def __init__(self, name, *conf, programs=PG):
        self.cluster, self.measure, self.rows = Cluster(name, *conf, programs=programs), Measure(), 0

    def set_up(self, **more):
        self.cluster.set_up(**more)
        self.cluster.sql("create table grows (i bigint, t text)")
        return self

    def grow(self, gigabytes):
        """Data in MB."""
        more = gigabytes * 6_500_000 - self.rows
        self.cluster.sql(f"insert into grows select {self.rows} + i, md5(i::text) || md5((i + 1)::text) || repeat('filler ', 5) from generate_series(1, {more}) i")
        self.cluster.sql("vacuum grows")
        self.rows += more
        return self.settle()

    def clean(self):
        """Nothing of the last change is left to do, so that the next one's pages are all that change."""
        self.cluster.sql("vacuum grows")
        self.settle()

    def change(self, rows):
        """Changes so many rows, spread over the table."""
        self.cluster.sql(f"update grows set t = reverse(t) where i % {self.rows // rows} = 1")
        return self.settle()

    def settle(self):
        self.cluster.sql("checkpoint")
        return (size(self.cluster.data) - size(self.cluster.data / "pg_wal")) / 1e6

    def changes(self):
        """What changes: the same rows at every size, then rows on one page in a hundred."""
        pages = int(self.cluster.sql("select pg_relation_size('grows') / 8192"))
        return (("the same", SAME_ROWS), ("1 % of pages", pages // 100))


def sizes_part():
    """What backups cost as a cluster grows."""
    grown = Growing("sizes")
    cluster, measure = grown.cluster, grown.measure
    full, changed = [], []
    try:
        grown.set_up()
        for gigabytes in GIGABYTES:
            full += size_rows(cluster, measure, gigabytes, grown.grow(gigabytes))
            for what, rows in grown.changes():
                grown.clean()
                cluster.seawall_backup(measure, "before")
                cluster.pgbackrest_backup(measure, "before", "incr")
                data, name = grown.change(rows), f"{what}, {gigabytes}"
                cluster.seawall_backup(measure, name)
                cluster.pgbackrest_backup(measure, name, "incr")
                changed += change_rows(measure.rows[name], data, what)
    finally:
        cluster.end()
    print("\n## Full backup and restore as the cluster grows\n\nOne table of text; memory must not grow with it.\n")
    print("| data MB | who | backup wall s | CPU s per GB | peak MiB | restore wall s | peak MiB |\n|---|---|---|---|---|---|---|")
    print("\n".join(full))
    print(f"\n## Backup after a change, as the cluster grows\n\nOf that table {SAME_ROWS:,} rows change, each on a page of its own, whatever its size; then as many as 1 % of its pages.\n")
    print_changes(changed)


def changes_part():
    """The same beside PostgreSQL's own incremental backups, which 17 was the first to have."""
    if not PG17:
        return
    grown = Growing("changes", "summarize_wal=on", programs=PG17)
    cluster, measure, changed = grown.cluster, grown.measure, []
    words = [PG17 / "pg_basebackup", "-h", cluster.sock, "-U", "postgres", "-c", "fast", "-X", "none"]
    theirs, base, more = "pg_basebackup --incremental, plain, not encrypted", cluster.root / "base", cluster.root / "more"
    try:
        grown.set_up(others=False)
        for gigabytes in GIGABYTES:
            grown.grow(gigabytes)
            for what, rows in grown.changes():
                grown.clean()
                cluster.seawall_backup(measure, "before")
                sh(*words, "-D", fresh(base))
                data, name = grown.change(rows), f"{what}, {gigabytes}"
                cluster.seawall_backup(measure, name)
                measure.run(name, theirs, [*words, f"--incremental={base}/backup_manifest", "-D", fresh(more)], server=cluster.pid)
                measure.rows[name][theirs][-1]["stored"] = size(more) / 1e6
                changed += change_rows(measure.rows[name], data, what)
        print(f"\n## Backup after a change, as the cluster grows, beside PostgreSQL's own\n\n{sh(PG17 / 'postgres', '--version').strip()}; the table and the changes are those above; each builds on its own last one.\n")
        print_changes(changed)
    finally:
        cluster.end()


def print_changes(rows):
    print("| data MB | changed | who | wall s | CPU s | peak MiB | read MB | stored MB | read, of the data |\n|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows), flush=True)


def change_rows(of, data, what):
    lines = []
    for who, rows in of.items():
        row = rows[-1]
        # What a server reads for its own backup does not show in its client.
        read, share = (f"{row['read']:.0f}", f"{row['read'] / data:.1%}") if not who.startswith("pg_basebackup") else ("", "")
        lines.append(f"| {data:.0f} | {what} | {who} | {row['wall']:.2f} | {row['cpu']:.2f} | {row['rss']:.0f} | {read} | {row['stored']:.1f} | {share} |")
    return lines


def size_rows(cluster, measure, step, data):
    backup = cluster.seawall_backup(measure, f"size {step}", "--full")
    restore = cluster.seawall_restore(measure, f"size {step}, restore", fresh(cluster.root / "restored"))
    fresh(cluster.root / "restored")
    lines = [size_row("seawall", data, backup, restore)]
    if PGBACKREST:
        cluster.pgbackrest_backup(measure, f"size {step}", "full")
        cluster.pgbackrest_restore(measure, f"size {step}, restore", fresh_private(cluster.root / "restored"))
        fresh(cluster.root / "restored")
        lines.append(size_row(OTHER, data, *(measure.rows[f"size {step}{more}"][OTHER][-1] for more in ("", ", restore"))))
    return lines


def size_row(who, data, backup, restore):
    return f"| {data:.0f} | {who} | {backup['wall']:.2f} | {backup['cpu'] / data * 1000:.2f} | {backup['rss']:.0f} | {restore['wall']:.2f} | {restore['rss']:.0f} |"


def regions_part():
    """What a second region costs a backup, and what it takes to fill one."""
    cluster, measure = Cluster("regions"), Measure()
    what = "Full backup to one region, and to two"
    try:
        fill(cluster)
        cluster.set_up(others=False)
        one = cluster.conf
        cluster.seawall_backup(measure, "before", "--full")
        second, third = (cluster.with_region(one, "second"), cluster.with_region(one, "third"))
        sh(SEAWALL, "-c", second, "-q", "region", "add", "second")
        # A backup counts in a region that has its WAL.
        cluster.sql(f"alter system set archive_command = '{SEAWALL} -c {second} wal push %p'")
        cluster.sql("select pg_reload_conf()")
        for _ in range(RUNS):
            for who, conf in (("seawall", one), ("seawall, two regions", second)):
                measure.run(what, who, [SEAWALL, "-c", conf, "-q", "backup", "--full"], stored=cluster.root, allow=(0, 1))
        # The backups to one region alone are what the second lacks now.
        print("\n## Regions\n\nRegions are directories on one disk, so both share what bandwidth there is.\n")
        print("| what | wall s | CPU s | peak MiB | read MB | stored MB | objects |\n|---|---|---|---|---|---|---|")
        for name, words in (("sync: half of the backups", [SEAWALL, "-c", second, "-q", "sync"]), ("region add: everything", [SEAWALL, "-c", third, "-q", "region", "add", "third"])):
            region = cluster.root / ("second" if "sync" in name else "third")
            before = files(region)
            row = measure.run(name, "seawall", words, stored=region, allow=(0, 1))
            print(f"| {name} | {row['wall']:.2f} | {row['cpu']:.2f} | {row['rss']:.0f} | {row['read']:.0f} | {row['stored']:.0f} | {files(region) - before} |")
        print(f"\n{what}:\n")
        measure.report(what)
    finally:
        cluster.end()


def files(path):
    return sum(1 for one in pathlib.Path(path).rglob("*") if one.is_file())


def tables_part():
    cluster, measure = Cluster("tables", "max_locks_per_transaction=1024"), Measure()
    try:
        cluster.set_up()
        for first in range(0, 20_000, 1000):
            cluster.sql(f"do $$ begin for i in {first + 1}..{first + 1000} loop execute format('create table t%s (i int primary key, t text)', i); "
                        "execute format('insert into t%s values (1, md5(%L))', i, i); end loop; end $$")
        cluster.sql("checkpoint")
        files = sum(1 for _ in cluster.data.rglob("*"))
        for _ in range(RUNS):
            cluster.seawall_backup(measure, "Full", "--full")
            cluster.pgbackrest_backup(measure, "Full", "full")
        for run in range(RUNS):
            cluster.sql(f"update t{run + 1} set t = 'changed'")
            cluster.sql("checkpoint")
            cluster.seawall_backup(measure, "One table changed")
            cluster.pgbackrest_backup(measure, "One table changed", "incr")
        for _ in range(RUNS):
            cluster.seawall_restore(measure, "Restore", fresh(cluster.root / "restored"))
            cluster.pgbackrest_restore(measure, "Restore", fresh_private(cluster.root / "restored"))
        print(f"\n## 20,000 small tables ({files:,} files)")
        for what in measure.rows:
            print(f"\n{what}:\n")
            measure.report(what)
    finally:
        cluster.end()


def machine():
    model = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    others = sh(PGBACKREST, "version").strip() if PGBACKREST else "no pgBackRest"
    return f"{os.cpu_count()} CPUs ({model}), {memory:.0f} GiB; {sh(PG / 'postgres', '--version').strip()}; {others}, posix repository, 2 processes, bundles, encrypted."


def main():
    touch_memory()
    print(machine())
    if "main" in PARTS:
        main_part()
    if "incremental" in PARTS:
        incremental_part()
    if "replay" in PARTS:
        replay_part()
    if "sizes" in PARTS:
        sizes_part()
    if "changes" in PARTS:
        changes_part()
    if "tables" in PARTS:
        tables_part()
    if "regions" in PARTS:
        regions_part()
    if "requests" in PARTS:
        bench_requests.part(sys.modules[__name__])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
