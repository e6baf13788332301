"""What a day of a repository in two buckets costs in requests: counted by a simulator of Google Cloud Storage, multiplied by how often a day
each thing is done, at list prices. A part of tools/bench.py.

A month of WAL is there, one segment a minute, as names: what lists are made of. Prices are those of the Standard class in a region; what is
stored and what leaves a region come on top.
"""

import json
import subprocess
import time
import urllib.parse
import urllib.request

BUCKET = "acme-dr"
A_DAY = 24 * 60
MONTH = 30 * A_DAY
# Dollars for a thousand requests: writing and listing (class A), reading (class B). Deleting costs nothing.
PRICE = {"A": 0.005, "B": 0.0004}

RULES = '[retention]\ndaily = 30\nweekly = 12\nmonthly = 12\npitr = "30d"\n'


class Cloud:
    """A region: a simulator of its own with one bucket."""

    def __init__(self, program, name, location):
        self.name = name
        words = [program, "--no-rate-limit", "--bucket", f"{BUCKET}:{location}"]
        self.child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.url = self.child.stdout.readline().strip()

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, body, {"Authorization": "Bearer one-for-all"}, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def names(self, prefix):
        found, token = [], ""
        while True:
            page = json.loads(self.ask("GET", f"/storage/v1/b/{BUCKET}/o?prefix={urllib.parse.quote(prefix, '')}{token}"))
            found += [item["name"] for item in page.get("items", [])]
            if "nextPageToken" not in page:
                return found
            token = f"&pageToken={urllib.parse.quote(page['nextPageToken'], '')}"

    def plant(self, name, content):
        self.ask("PUT", f"/{BUCKET}/{name}", content)

    def reset(self):
        self.ask("DELETE", "/_control/counters")

    def counted(self):
        """Requests by class; those that ended in a fault of the service are not charged."""
        by = {"A": 0, "B": 0}
        for one in json.loads(self.ask("GET", "/_control/counters")):
            if one["class"] in by and 0 < one["status"] < 500:
                by[one["class"]] += one["requests"]
        return by

    def settings(self, token):
        return (f'[[repository.region]]\nname = "{self.name}"\nurl = "gs://{BUCKET}/pg"\nendpoint = "{self.url}"\n'
                f'credentials_file = "{token}"\n')

    def end(self):
        self.child.kill()
        self.child.wait()


class Day:
    """What is done in a day, and what each time costs in each region."""

    def __init__(self, clouds):
        self.clouds, self.rows = clouds, []

    def count(self, what, times, work):
        """`work` says how often it did it, if not once."""
        for cloud in self.clouds:
            cloud.reset()
        done = work() or 1
        counted = [{kind: count / done for kind, count in cloud.counted().items()} for cloud in self.clouds]
        self.rows.append((what, times, counted))

    def report(self):
        print("| what | times a day | class A each, per region | class B each, per region | class A a day | class B a day | $ a day |\n|---|---|---|---|---|---|---|")
        total = {"A": 0, "B": 0}
        for what, times, counted in self.rows:
            each = {kind: ", ".join(f"{one[kind]:g}" for one in counted) for kind in total}
            day = {kind: times * sum(one[kind] for one in counted) for kind in total}
            total = {kind: total[kind] + day[kind] for kind in total}
            print(f"| {what} | {times} | {each['A']} | {each['B']} | {day['A']:,.0f} | {day['B']:,.0f} | {dollars(day):.3f} |")
        print(f"| together | | | | {total['A']:,.0f} | {total['B']:,.0f} | {dollars(total):.2f} |", flush=True)


def dollars(day):
    return sum(day[kind] * PRICE[kind] / 1000 for kind in day)


def part(bench):
    """`bench` is the module that measures."""
    cluster = bench.Cluster("requests")
    clouds = []
    try:
        clouds += [Cloud(bench.GCSIM, "one", "EUROPE-WEST3"), Cloud(bench.GCSIM, "two", "EUROPE-NORTH1")]
        token = cluster.root / "token.json"
        token.write_text('{"type": "fixed_token", "token": "one-for-all"}')
        token.chmod(0o600)
        # There is room for a month of segments before the first one.
        cluster.stop()
        bench.sh(bench.PG / "pg_resetwal", "-l", "000000010000010000000000", "-D", cluster.data)
        cluster.start()
        cluster.set_up(others=False, regions="".join(cloud.settings(token) for cloud in clouds) + RULES)
        cluster.pgbench("-i", "-q", "-s", "20")
        run(cluster, "backup", "--full")
        plant(clouds)
        measured(cluster, clouds)
    finally:
        cluster.end()
        for cloud in clouds:
            cloud.end()


def measured(cluster, clouds):
    day = Day(clouds)
    # The first of each finds the planted names new; what counts is every other.
    for command in (["status"], ["wal", "status"], ["sync"]):
        run(cluster, *command)
    day.count("a segment archived, one a minute", A_DAY, lambda: segments(cluster))
    cluster.pgbench("-n", "-T", "3", "-c", "2")
    archived(cluster)
    day.count("a backup by what WAL names (one more of class A per region for each 32 MiB)", 1, lambda: run(cluster, "backup"))
    archived(cluster)
    for what, times, words in (
        ("`status`, every five minutes", 288, ["status"]),
        ("`wal status`, every hour", 24, ["wal", "status"]),
        ("`sync` with nothing to do, every hour", 24, ["sync"]),
        ("`verify --quick`", 1, ["verify", "--quick"]),
        ("`prune`", 1, ["prune", "--dry-run"]),
        ("`check`", 1, ["check"]),
    ):
        day.count(what, times, lambda words=words: run(cluster, *words))
    print(f"\n## Requests and their price a day\n\n*Simulated.* Two buckets, {MONTH:,} segments of WAL in each; a segment a minute, a backup a day. "
          f"At ${PRICE['A']} and ${PRICE['B']} for a thousand requests of class A (writing, listing) and B (reading); storage and traffic come on top.\n")
    day.report()


def segments(cluster):
    """Archives some segments, and says how many."""
    count = "select archived_count from pg_stat_archiver"
    before = int(cluster.sql(count))
    for _ in range(10):
        archived(cluster)
    # Of the last one too every request was made.
    time.sleep(2)
    return int(cluster.sql(count)) - before


def run(cluster, *words):
    done = subprocess.run([str(word) for word in cluster.seawall(*words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # Planted names are no WAL that anything links to, which may be told.
    if done.returncode not in (0, 1):
        raise SystemExit(f"bench: {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}")


def archived(cluster):
    """Ends a segment and waits until it is stored."""
    cluster.sql("create table if not exists tick (i int); insert into tick values (1)")
    last = cluster.sql("select pg_walfile_name(pg_current_wal_lsn() - 1)")
    cluster.sql("select pg_switch_wal()")
    for _ in range(1200):
        if cluster.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver")[:24] >= last:
            return
        time.sleep(0.05)
    raise SystemExit(f"bench: {last} was not archived")


def plant(clouds):
    """A month of segments that were archived before the first."""
    for cloud in clouds:
        known = sorted(name for name in cloud.names("pg/bench/") if "/wal/00000001/" in name and len(name.rsplit("/", 1)[1]) == 24)
        folder, first = known[0].rsplit("/", 2)[0], int(known[0][-8:], 16) + (int(known[0][-16:-8], 16) << 8)
        content = min((cloud.ask("GET", f"/{BUCKET}/{name}") for name in known), key=len)
        for number in range(first - MONTH, first):
            high, low = f"00000001{number >> 8:08X}", f"{number & 255:08X}"
            cloud.plant(f"{folder}/{high}/{high}{low}", content)
