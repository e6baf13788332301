#!/usr/bin/env python3
"""Restores a seawall backup with nothing but docs/FORMAT.md: an independent reader, written from that page alone.

    rescue.py REGION --owner ed25519:... [--identity FILE ...] list
    rescue.py REGION --owner ed25519:... [--identity FILE ...] restore CLUSTER BACKUP DIRECTORY
    rescue.py REGION --owner ed25519:... [--identity FILE ...] wal CLUSTER SYSTEM DIRECTORY

With a passphrase in place of an identity: --passphrase-file FILE, whose only line it is.

REGION is a directory (copy a bucket to one first). `restore` writes the data directory as it was backed up, with
backup_label: a tablespace becomes a directory below pg_tblspc, files from outside the data directory stand below
`@external`, and where they belong is said at the end. `wal` writes every archived WAL file. Everything is checked:
signatures, digests, lengths; the first thing that does not hold is named and ends the program. Needs Python 3.9 with:
cryptography, zstandard, blake3, pyrage (see tools/pins/rescue-requirements.txt).
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import struct
import sys

import blake3 as blake3_module
import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives import serialization

PAGE = 8192
LEAF_PAGES = 4096
FRAME_MAX = 1 << 20
FRONT_FOOTER_MAX = 64 << 20
KINDS = {1: "manifest", 2: "pack", 3: "map", 4: "WAL file"}


class Refused(Exception):
    """Something stored does not hold. `named`: the text says of which object."""

    named = False


def need(condition, what):
    if not condition:
        raise Refused(what)


@contextlib.contextmanager
def naming(name):
    """Whatever does not hold within is said of the object `name`: damaged bytes can break any step of reading them."""
    try:
        yield
    except Refused as problem:
        text = str(problem)
        known = problem.named or name in text
        found = Refused(text if known else f"{name}: {text}")
    except InvalidSignature:
        found = Refused(f"{name}: its signature does not fit: changed, moved here from another place, or forged")
    except InvalidTag:
        found = Refused(f"{name}: a part of it does not open: changed, or sealed under another key")
    except OSError:
        raise
    except Exception as problem:
        found = Refused(f"{name}: cannot be read ({type(problem).__name__}: {problem})")
    else:
        return
    found.named = True
    raise found


def blake3(data, key=None):
    return blake3_module.blake3(data, key=key).digest() if key else blake3_module.blake3(data).digest()


def hkdf(ikm, salt, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(ikm)


def unzstd(data, limit):
    """One zstd frame that must not declare or produce more than `limit` bytes, and nothing behind it."""
    declared = zstandard.get_frame_parameters(data).content_size
    need(declared in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) or declared <= limit, "a zstd frame is longer than it may be")
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    plain = decompressor.decompress(data)
    need(decompressor.eof and not decompressor.unused_data, "a zstd frame ends too early or too late")
    need(len(plain) <= limit, "a zstd frame is longer than it may be")
    return plain


class Cursor:
    """Reads the encodings of FORMAT's first section."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(self.at + count <= len(self.data), "a record ends too early")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = 0
        for index in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                need(byte != 0 or index == 0, "a varint is longer than needed")
                need(value < 1 << 64, "a varint is too large")
                return value
        raise Refused("a varint is too long")

    def bytes(self):
        return self.take(self.varint())

    def finished(self):
        return self.at == len(self.data)


def backup_id(raw):
    """The text form of a backup id's 16 bytes."""
    import datetime

    seconds = struct.unpack("<Q", raw[:8])[0]
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return when.strftime("%Y%m%dT%H%M%SZ-") + raw[8:].hex()


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Object:
    """An envelope (section 4) whose head and stored digest were checked."""

    def __init__(self, repository, name, kind):
        self.repository, self.name = repository, name
        with naming(name):
            repository.good(name, lambda raw: self._read(raw, repository, name, kind))

    def _read(self, raw, repository, name, kind):
        need(raw[:8] == b"SEAWALL\n", f"{name} is no seawall object")
        need(raw[8] == kind, f"{name} is of kind {raw[8]}, not {KINDS[kind]}")
        need(raw[9] == 1, f"{name} has version {raw[9]}")
        need(raw[10:12] == bytes(2), f"{name} has bytes that should be zero")
        features, header_len, self.front_len = struct.unpack("<III", raw[12:24])
        body_len = struct.unpack("<Q", raw[24:32])[0]
        need(features == 0, f"{name} needs features this program does not know")
        need(2 <= header_len <= 65536 and body_len <= 268435456, f"{name} has impossible lengths")
        head_len = 184 + header_len
        need(len(raw) == head_len + body_len, f"{name} has {len(raw)} bytes, not {head_len + body_len}")
        signed_len = 112 + header_len
        need(crc32c(raw[: signed_len + 64]) == struct.unpack("<I", raw[176 + header_len : 180 + header_len])[0], f"the head of {name} is damaged")
        need(raw[180 + header_len : head_len] == bytes(4), f"{name} has bytes that should be zero")
        self.header = json.loads(raw[32 : 32 + header_len])
        self.plain_digest = raw[32 + header_len : 64 + header_len]
        stored_digest = raw[64 + header_len : 96 + header_len]
        writer = raw[96 + header_len : 112 + header_len].hex()
        message = b"seawall/1 object\n" + repository.id + struct.pack("<I", len(name)) + name.encode() + raw[:signed_len]
        repository.writer_key(writer, name).verify(raw[signed_len : signed_len + 64], message)
        self.body = raw[head_len:]
        need(blake3(self.body) == stored_digest, f"the body of {name} is damaged")
        bare = raw[:20] + bytes(12)
        self.aad = blake3(b"seawall/1 aad\n" + repository.id + struct.pack("<I", len(name)) + name.encode() + bare + raw[32 : 32 + header_len])
        self._keys(repository)
        self._footer()

    def _keys(self, repository):
        self.meta_key = self.frame_key = None
        need(self.header["cipher"] == repository.record["cipher"], f"{self.name} is not sealed as the repository is")
        if self.header["cipher"] == "none":
            need(self.header["frames"] == "plain", f"{self.name} contradicts itself about its frames")
            return
        need(self.header["frames"] in ("content", "meta"), f"{self.name} contradicts itself about its frames")
        need(("wrap" in self.header) == (self.header["frames"] == "content"), f"{self.name} contradicts itself about its keys")
        keys = repository.keys(self.name.split("/")[0], self.header["generation"])
        self.meta_key = hkdf(keys["meta"], base64.b64decode(self.header["salt"]), b"seawall/1 meta object")
        if self.header["frames"] == "meta":
            self.frame_key = self.meta_key
            return
        wrap = base64.b64decode(self.header["wrap"])
        need(len(wrap) == 80, f"{self.name} has a wrapped key of the wrong size")
        secret = X25519PrivateKey.from_private_bytes(keys["secret"])
        public = secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        shared = secret.exchange(X25519PublicKey.from_public_bytes(wrap[:32]))
        wrap_key = hkdf(shared, wrap[:32] + public, b"seawall/1 wrap")
        wrap_aad = blake3(b"seawall/1 wrap aad\n" + repository.id + struct.pack("<I", len(self.name)) + self.name.encode())
        self.frame_key = AESGCM(wrap_key).decrypt(bytes(12), wrap[32:], wrap_aad)

    def _open(self, key, domain, number, stored):
        need(len(stored) >= 16, f"a sealing of {self.name} is too short")
        if key is None:
            need(blake3(stored[:-16])[:16] == stored[-16:], f"a frame of {self.name} is damaged")
            return stored[:-16]
        return AESGCM(key).decrypt(struct.pack("<IQ", domain, number), stored, self.aad)

    def _footer(self):
        footer_len, count = struct.unpack("<II", self.body[-8:])
        need(footer_len + 8 + self.front_len <= len(self.body), f"{self.name} has an impossible footer")
        stored = self.body[len(self.body) - 8 - footer_len : len(self.body) - 8]
        cursor = Cursor(unzstd(self._open(self.meta_key, 3, 0, stored), FRONT_FOOTER_MAX))
        need(cursor.varint() == count, f"{self.name} disagrees with itself about its frames")
        self.frames, offset = [], self.front_len
        for _ in range(count):
            stored_len, plain_len, encoding = cursor.varint(), cursor.varint(), cursor.u8()
            self.frames.append((offset, stored_len, plain_len, encoding))
            offset += stored_len
        need(offset == len(self.body) - 8 - footer_len, f"the frames of {self.name} do not fill it")
        self.contents = cursor.data[cursor.at :]

    def frame(self, number):
        need(number < len(self.frames), f"{self.name} has no frame {number}")
        offset, stored_len, plain_len, encoding = self.frames[number]
        return self.frame_at(number, offset, stored_len, plain_len, encoding)

    def frame_at(self, number, offset, stored_len, plain_len, encoding):
        need(plain_len <= FRAME_MAX and encoding in (0, 1), f"frame {number} of {self.name} is impossible")
        need(offset + stored_len <= len(self.body), f"frame {number} of {self.name} lies outside")
        with naming(self.name):
            payload = self._open(self.frame_key, 2, number, self.body[offset : offset + stored_len])
            plain = unzstd(payload, plain_len) if encoding == 1 else payload
        need(len(plain) == plain_len, f"frame {number} of {self.name} has the wrong length")
        return plain

    def all_frames(self):
        return b"".join(self.frame(number) for number in range(len(self.frames)))


class Repository:
    """A region: signed records, keys, objects."""

    def __init__(self, region, owner, identities, passphrases=()):
        self.region = pathlib.Path(region)
        self.owner = Ed25519PublicKey.from_public_bytes(public_bytes(owner, "ed25519:"))
        self.identities, self.cache, self.key_cache, self.writers = identities, {}, {}, {}
        self.passphrases = passphrases
        with naming("seawall.json"):
            self.record = self.good("seawall.json", self._marker)
        need(self.record["format"] == 1, "this repository has a newer format")
        need(self.record["owner"] == owner, "this repository belongs to another owner")

    def _marker(self, raw):
        self.id = bytes.fromhex(json.loads(raw.split(b"\n", 1)[0])["repository"])
        return self._opened(raw, "seawall.json")

    def copies(self, name):
        """The bytes under a name, then those of its heal copies (section 1.1), the newest first."""
        if (self.region / name).is_file():
            yield (self.region / name).read_bytes()
        parts = name.split("/")
        depth = 0 if parts[0] in ("seawall.json", "owner", "writer") else 1 if parts[1] in ("key", "adopt", "policy") else 2
        folder = self.region.joinpath(*parts[:depth], "heal", *parts[depth:-1])
        numbers = [p.name[len(parts[-1]) + 1 :] for p in folder.iterdir() if p.name.startswith(parts[-1] + ".")] if folder.is_dir() else []
        for number in sorted((int(text) for text in numbers if text.isdigit()), reverse=True):
            print(f"rescue: {name} does not hold; its heal copy {number} is tried", file=sys.stderr)
            yield (folder / f"{parts[-1]}.{number}").read_bytes()

    def good(self, name, take):
        """What `take` makes of the first copy that holds; where none does, what is wrong with the object itself."""
        first = None
        for raw in self.copies(name):
            try:
                return take(raw)
            except OSError:
                raise
            except Exception as problem:
                first = first or problem
        raise first or Refused(f"{name} is not there")

    def names(self, prefix):
        folder = self.region / prefix
        return sorted(f"{prefix}/{p.name}" for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []

    def signed(self, name):
        """The first line of a signed text (section 2) whose signer is the owner."""
        with naming(name):
            return self.good(name, lambda raw: self._opened(raw, name))

    def _opened(self, raw, name):
        lines = raw.split(b"\n")
        need(len(lines) == 3 and lines[2] == b"", f"{name} is not two lines")
        by = json.loads(lines[1])
        need(by["by"] == "owner", f"{name} is not signed by the owner")
        message = b"seawall/1 text\n" + self.id + struct.pack("<I", len(name)) + name.encode() + lines[0]
        self.owner.verify(base64.b64decode(by["signature"]), message)
        return json.loads(lines[0])

    def writer_key(self, writer, name):
        if writer not in self.writers:
            record = self.signed(f"writer/{writer}.json")
            public = public_bytes(record["public"], "ed25519:")
            need(blake3(public)[:16].hex() == writer, f"the certificate of {writer} is for another key")
            if (self.region / f"writer/{writer}.revoked.json").exists():
                end = self.signed(f"writer/{writer}.revoked.json")["revoked"]
                print(f"rescue: writer {writer} was revoked: nothing that the store says was created after {end} is to be believed", file=sys.stderr)
            self.writers[writer] = (record, Ed25519PublicKey.from_public_bytes(public))
        record, key = self.writers[writer]
        need(record["cluster"] in ("*", name.split("/")[0]), f"writer {writer} has no right to {name}")
        need("write" in record["rights"], f"writer {writer} has no right to write {name}")
        return key

    def keys(self, cluster, generation):
        """Meta key and cluster secret of one generation, unwrapped with an identity (section 3.2)."""
        if (cluster, generation) not in self.key_cache:
            self.key_cache[cluster, generation] = self._unwrap(cluster, generation)
        return self.key_cache[cluster, generation]

    def _unwrap(self, cluster, generation):
        import pyrage

        for name in self.names(f"{cluster}/key"):
            if name.split("/")[-1].split(".")[0] != str(generation):
                continue
            record = self.signed(name)
            need(record["cluster"] == cluster and record["generation"] == generation, f"{name} is for another cluster or generation")
            for entry in record["wrapped"]:
                plain = self._open_entry(entry)
                if plain is None:
                    continue
                with naming(name):
                    keys = {field: base64.b64decode(value) for field, value in json.loads(plain).items()}
                    public = X25519PrivateKey.from_private_bytes(keys["secret"]).public_key()
                    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
                    need(raw == public_bytes(record["public"], "x25519:"), "the secret is not that of its public key")
                return keys
        what = "nothing" if self.passphrases else "no identity"
        raise Refused(f"{what} given opens the keys of {cluster}, generation {generation}")

    def _open_entry(self, entry):
        """The plain text of a wrapped entry, or None: of another type, or for somebody else."""
        import pyrage

        if entry["type"] == "x25519" and self.identities:
            try:
                return pyrage.decrypt(base64.b64decode(entry["age"]), self.identities)
            except pyrage.DecryptError:
                return None
        if entry["type"] == "passphrase" and self.passphrases:
            age = base64.b64decode(entry["age"])
            work = age.split(b"\n", 2)[1].split(b" ")
            need(work[:2] == [b"->", b"scrypt"] and len(work) == 4 and int(work[3]) <= 20, "a passphrase entry asks for too much work")
            for passphrase in self.passphrases:
                try:
                    return pyrage.passphrase.decrypt(age, passphrase)
                except pyrage.DecryptError:
                    continue
        return None

    def digest_key(self, cluster, header):
        ikm = bytes(32) if header["cipher"] == "none" else self.keys(cluster, header["generation"])["meta"]
        return hkdf(ikm, self.id, b"seawall/1 digest")

    def object(self, name, kind):
        """An object, the last few kept."""
        if name not in self.cache:
            if len(self.cache) > 8:
                self.cache.pop(next(iter(self.cache)))
            self.cache[name] = Object(self, name, kind)
        return self.cache[name]


def public_bytes(text, prefix):
    need(text.startswith(prefix), f"a public key must begin with {prefix}")
    return base64.b64decode(text[len(prefix) :])


class Backup:
    """One backup: its manifest and the maps it leads to."""

    def __init__(self, repository, cluster, backup):
        self.repository = repository
        self.base = next((s for s in systems(repository, cluster) if backup in manifests(repository, s)), None)
        need(self.base, f"there is no backup {backup} of {cluster} in this region")
        manifest = repository.object(f"{self.base}/manifest/{backup}", 1)
        plain = manifest.all_frames()
        self.digest_key = repository.digest_key(cluster, manifest.header)
        need(blake3(plain, self.digest_key) == manifest.plain_digest, "the manifest's plain digest is wrong")
        here = (cluster, self.base.split("/")[1], backup)
        need(tuple(manifest.header[field] for field in ("cluster", "system", "backup")) == here, f"{manifest.name} is that of another backup")
        self.header, self.body = manifest.header, json.loads(plain)

    def node(self, backup, number, frame, offset, length):
        plain = self.repository.object(f"{self.base}/backup/{backup}/map/{number}", 3).frame(frame)
        need(offset + length <= len(plain), "a node lies outside its frame")
        return plain[offset : offset + length]

    def entries(self):
        """Every entry of every file block (section 7.4), in the order of paths."""
        last = b""
        for block in self.body["blocks"]:
            index, *place = block["ref"]
            cursor = Cursor(self.node(self.body["backups"][index], *place))
            need(cursor.u8() == 5, "a file block is none")
            table = [backup_id(cursor.take(16)) for _ in range(cursor.varint())]
            path, count = b"", cursor.varint()
            need(count == block["entries"], "a file block has another number of entries than the manifest says")
            for number in range(count):
                shared = cursor.varint()
                need(shared <= len(path), "a path shares more than the one before it has")
                path = path[:shared] + cursor.bytes()
                check_path(path)
                need(number > 0 or path == base64.b64decode(block["first"]), "a file block begins with another path than the manifest says")
                need(path > last, f"path {path!r} does not follow the one before it")
                last = path
                yield self.entry(cursor, path, table)
            need(cursor.finished(), "a file block is too long")

    def entry(self, cursor, path, table):
        kind, mode = cursor.u8(), cursor.varint()
        entry = {"path": path, "kind": kind, "mode": mode}
        if kind == 0:
            entry["size"] = size = cursor.varint()
            pages = -(-size // PAGE)
            leaves = range(-(-pages // LEAF_PAGES))
            entry["leaves"] = [(self.chain(cursor, table), self.chain(cursor, table)) for _ in leaves]
        elif kind == 2:
            entry["target"] = cursor.bytes()
            need(0 < len(entry["target"]) <= 4096 and b"\0" not in entry["target"], f"hostile target of {path!r}")
        need(kind <= 3 and mode <= 0o7777, "an entry of a kind or with a mode this program does not know")
        return entry

    def chain(self, cursor, table):
        count = cursor.varint()
        need(count <= 5, "a chain is too long")
        if count == 0:
            return [cursor.bytes()]
        refs = [(table[cursor.varint()], *(cursor.varint() for _ in range(4))) for _ in range(count)]
        return [self.node(*ref) for ref in refs]

    def places(self, chain):
        """For each page of a leaf: none (zeros), or (pack, frame fields, offset in the plain frame)."""
        pages = [None] * LEAF_PAGES
        for number, node in enumerate(chain):
            cursor = Cursor(node)
            need(cursor.u8() == (1 if number == 0 else 2), "a location chain is out of order")
            packs = [(backup_id(cursor.take(16)), cursor.varint()) for _ in range(cursor.varint())]
            frames = [(packs[cursor.varint()], *(cursor.varint() for _ in range(4)), cursor.u8()) for _ in range(cursor.varint())]
            at = 0
            for _ in range(cursor.varint()):
                at += cursor.varint()
                count, source = cursor.varint(), cursor.varint()
                need(count > 0 and at + count <= LEAF_PAGES, "an extent lies outside its leaf")
                need(source <= len(frames), "an extent names a frame that is not in the list")
                start = cursor.varint() if source else 0
                for page in range(count):
                    pages[at + page] = (frames[source - 1], start + page * PAGE) if source else None
                at += count
            need(cursor.finished(), "a location node is too long")
        return pages

    def digests(self, chain):
        """For each page of a leaf its digest; pages that nothing names are of zeros."""
        first = Cursor(chain[0])
        need(first.u8() == 3, "a digest chain is out of order")
        count = first.varint()
        need(count <= LEAF_PAGES, "a digest leaf is too long")
        digests = [first.take(16) for _ in range(count)] + [bytes(16)] * (LEAF_PAGES - count)
        need(first.finished(), "a digest leaf is too long")
        for node in chain[1:]:
            cursor, at = Cursor(node), 0
            need(cursor.u8() == 4, "a digest chain is out of order")
            for _ in range(cursor.varint()):
                at += cursor.varint()
                need(at < LEAF_PAGES, "a digest patch names a page outside its leaf")
                digests[at] = cursor.take(16)
                at += 1
            need(cursor.finished(), "a digest patch is too long")
        return digests

    def write_file(self, entry, target):
        with open(target, "wb") as out:
            for number, (locations, digests) in enumerate(entry["leaves"]):
                places, expected = self.places(locations), self.digests(digests)
                for page in range(min(LEAF_PAGES, -(-entry["size"] // PAGE) - number * LEAF_PAGES)):
                    at = (number * LEAF_PAGES + page) * PAGE
                    length = min(PAGE, entry["size"] - at)
                    self.write_page(out, at, length, places[page], expected[page], entry["path"])
            out.truncate(entry["size"])
        os.chmod(target, entry["mode"] & 0o7777)

    def write_page(self, out, at, length, place, expected, path):
        if place is None:
            need(expected == bytes(16), f"{path!r} has a page of zeros where there should be data")
            return
        (pack, number, offset, stored_len, plain_len, encoding), start = place
        holder = self.repository.object(f"{self.base}/backup/{pack[0]}/pack/{pack[1]}", 2)
        key = (number, offset)
        if getattr(holder, "last", None) != key:
            holder.last, holder.plain = key, holder.frame_at(number, offset, stored_len, plain_len, encoding)
        data = holder.plain[start : start + length]
        need(len(data) == length, f"a frame ends within a page of {path!r}")
        need(blake3(data, self.digest_key)[:16] == expected, f"a page of {path!r} is not what was backed up")
        out.seek(at)
        out.write(data)


def check_path(path):
    parts = path.split(b"/")
    need(path and b"\0" not in path and all(p not in (b"", b".", b"..") for p in parts), f"hostile path {path!r}")
    need(len(path) <= 4096 and all(len(p) <= 255 for p in parts), f"path {path[:80]!r} is too long")


def systems(repository, cluster):
    folder = repository.region / cluster
    need(folder.is_dir(), f"there is no cluster {cluster} in this region")
    return [f"{cluster}/{p.name}" for p in sorted(folder.iterdir()) if p.is_dir() and p.name.isdigit()]


def manifests(repository, base):
    return [name.split("/")[-1] for name in repository.names(f"{base}/manifest")]


def is_tablespace(path):
    """Whether a link is one of those in pg_tblspc: its files stand below it."""
    above, _, name = path.rpartition(b"/")
    return above == b"pg_tblspc" and name.isdigit()


def restore(repository, cluster, backup, directory):
    """Section 10."""
    source = Backup(repository, cluster, backup)
    root = pathlib.Path(directory)
    root.mkdir(mode=0o700)
    pages, directories, links, remarks = 0, [], [], []
    with naming(f"{source.base}/manifest/{backup}"):
        for entry in source.entries():
            if entry["path"] == b"@seawall" or entry["path"].startswith(b"@seawall/"):
                continue  # lists of names that `find` reads; none of the cluster's files
            target = root / os.fsdecode(entry["path"])
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if entry["kind"] in (1, 3):
                target.mkdir(exist_ok=True, mode=0o700)
                directories.append((target, entry["mode"]))
            elif entry["kind"] == 2 and is_tablespace(entry["path"]):
                target.mkdir(exist_ok=True, mode=0o700)
                remarks.append(f"{target} was a link to {os.fsdecode(entry['target'])}")
            elif entry["kind"] == 2:
                links.append((target, os.fsdecode(entry["target"])))
            else:
                source.write_file(entry, target)
                pages += -(-entry["size"] // PAGE)
        # Links come last, so that nothing is ever written through one; modes too, since one may forbid writing.
        for target, to in links:
            target.symlink_to(to)
        for target, mode in reversed(directories):
            os.chmod(target, mode)
        (root / "backup_label").write_text(source.body["label"])
        (root / "global").mkdir(exist_ok=True, mode=0o700)
        (root / "global" / "pg_control").write_bytes(base64.b64decode(source.body["control"]))
        os.chmod(root / "global" / "pg_control", 0o600)
        remarks += [f"{root}/@external{os.fsdecode(base64.b64decode(path))} belongs outside" for path in source.body["external"]]
    print(f"restored {backup}: {pages} pages; WAL from {source.header['start']} to {source.header['stop']} is needed on timeline {source.header['timeline']}")
    for remark in remarks:
        print(f"remember: {remark}")


def restore_wal(repository, cluster, system, directory):
    """Section 9. Parts are read with the object that names them; parts that none names are of a push that never ended."""
    base = repository.region / cluster / system / "wal"
    stored = [p for p in base.rglob("*") if p.is_file()]
    need(stored, f"there is no WAL of {cluster}, system {system}, in this region")
    root = pathlib.Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    for path in sorted(p for p in stored if not p.suffix[:2] == ".p" or not p.suffix[2:].isdigit()):
        name = str(path.relative_to(repository.region))
        with naming(name):
            (root / path.name).write_bytes(wal_file(repository, cluster, system, name))
        print(path.name)


def wal_file(repository, cluster, system, name):
    stored = repository.object(name, 4)
    file = name.split("/")[-1]
    need(stored.header["file"] == file and stored.header["system"] == system, f"{name} holds another file")
    need(stored.header["what"] != "part", f"{name} is a part")
    key = repository.digest_key(cluster, stored.header)
    pieces = [stored.all_frames()]
    for number, digest in enumerate(stored.header.get("parts", [])):
        part = repository.object(f"{name}.p{number}", 4)
        need(part.header["what"] == "part" and part.header["part"] == number, f"{part.name} is another part")
        pieces.append(part.all_frames())
        need(blake3(pieces[-1], key) == part.plain_digest == base64.b64decode(digest), f"{part.name} is not the part named")
    data = b"".join(pieces)
    need(len(data) == stored.header["size"], f"{name} has the wrong size")
    need(blake3(data, key) == stored.plain_digest, f"{name} is not what was archived")
    return data


def show_list(repository):
    for cluster in sorted(p.name for p in repository.region.iterdir() if p.is_dir() and p.name not in ("heal", "owner", "writer")):
        for base in systems(repository, cluster):
            for backup in manifests(repository, base):
                header = repository.object(f"{base}/manifest/{backup}", 1).header
                print(cluster, base.split("/")[1], backup, header["way"], header["start"], header["stop"], header["stopped"])


def load_identities(paths):
    import pyrage

    found = []
    for path in paths:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith("AGE-SECRET-KEY-1"):
                found.append(pyrage.x25519.Identity.from_str(line.strip()))
    return found


def load_passphrases(paths):
    found = []
    for path in paths:
        lines = pathlib.Path(path).read_text().splitlines()
        need(len(lines) == 1 and lines[0], f"{path} does not hold exactly one line")
        found.append(lines[0])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("region")
    parser.add_argument("--owner", required=True)
    parser.add_argument("--identity", action="append", default=[])
    parser.add_argument("--passphrase-file", action="append", default=[])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    for verb, words in (("restore", ("cluster", "backup", "directory")), ("wal", ("cluster", "system", "directory"))):
        sub = verbs.add_parser(verb)
        for word in words:
            sub.add_argument(word)
    args = parser.parse_args()
    try:
        repository = Repository(args.region, args.owner, load_identities(args.identity), load_passphrases(args.passphrase_file))
        if args.verb == "list":
            show_list(repository)
        elif args.verb == "restore":
            restore(repository, args.cluster, args.backup, args.directory)
        else:
            restore_wal(repository, args.cluster, args.system, args.directory)
    except (Refused, OSError) as problem:
        sys.exit(f"rescue: {problem}")


if __name__ == "__main__":
    main()
