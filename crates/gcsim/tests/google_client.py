"""Google's own Python client against the simulator: the calls that both have. Run by tests/it/python.rs with the address.

Every step that is not answered as the real service would is an exception, and so a failed test. The client is used as its
documentation shows; nothing of it is patched but where it sends its requests.
"""

import json
import sys
import urllib.request
from datetime import datetime, timedelta, timezone

from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

ADDRESS = sys.argv[1]
GRAIN = 256 * 1024


def control(path, value):
    request = urllib.request.Request(f"{ADDRESS}/_control/{path}", json.dumps(value).encode(), method="POST")
    urllib.request.urlopen(request, timeout=30).read()


def tick(seconds=1.1):
    """A name is written, and metadata are changed, once a second."""
    control("clock", {"advance_seconds": seconds})


def refused(kind, call, *arguments, **keywords):
    try:
        call(*arguments, retry=None, **keywords)
    except kind as cause:
        return cause
    raise AssertionError(f"{call} was not refused with {kind.__name__}")


def buckets(client):
    made = client.bucket("python-bucket")
    made.storage_class = "NEARLINE"
    client.create_bucket(made, location="europe-west4")
    found = client.get_bucket("python-bucket")
    assert (found.location, found.location_type, found.storage_class) == ("EUROPE-WEST4", "region", "NEARLINE")
    assert "python-bucket" in [one.name for one in client.list_buckets()]
    refused(exceptions.Conflict, client.create_bucket, "python-bucket")
    refused(exceptions.NotFound, client.get_bucket, "no-such-bucket")
    found.versioning_enabled = True
    found.labels = {"team": "dba"}
    found.iam_configuration.uniform_bucket_level_access_enabled = True
    found.patch()
    found = client.get_bucket("python-bucket")
    assert found.versioning_enabled and found.labels == {"team": "dba"}
    assert found.iam_configuration.uniform_bucket_level_access_enabled
    assert found.soft_delete_policy.retention_duration_seconds == 7 * 24 * 3600
    assert found.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    found.delete()


def uploads(bucket):
    blob = bucket.blob("small/one")
    blob.metadata = {"writer": "python"}
    blob.upload_from_string(b"0123456789", content_type="text/plain", if_generation_match=0)
    assert blob.generation and blob.metageneration == 1 and blob.size == 10
    refused(exceptions.PreconditionFailed, blob.upload_from_string, b"again", if_generation_match=0)
    tick()
    blob.upload_from_string(b"9876543210", if_generation_match=blob.generation)
    refused(exceptions.PreconditionFailed, blob.upload_from_string, b"x", if_generation_match=blob.generation - 1)
    again = bucket.get_blob("small/one")
    assert (again.metadata, again.generation) == ({"writer": "python"}, blob.generation)
    # In chunks: a resumable session, whose checksum the client holds against what the service says.
    large = bytes(range(256)) * (5 * GRAIN // 256) + b"the end"
    chunked = bucket.blob("large", chunk_size=GRAIN)
    with chunked.open("wb", if_generation_match=0, content_type="x/y") as stream:
        stream.write(large)
    assert bucket.get_blob("large").size == len(large)
    assert chunked.download_as_bytes(checksum="crc32c") == large
    assert chunked.download_as_bytes(checksum="md5") == large
    whole = bucket.blob("whole")
    address = whole.create_resumable_upload_session(content_type="x/y", size=len(large))
    request = urllib.request.Request(address, large, method="PUT")
    assert urllib.request.urlopen(request, timeout=30).status == 200
    assert bucket.get_blob("whole").md5_hash == bucket.get_blob("large").md5_hash
    empty = bucket.blob("empty")
    empty.upload_from_string(b"")
    assert bucket.get_blob("empty").size == 0 and empty.download_as_bytes() == b""


def downloads(bucket):
    blob = bucket.blob("small/one")
    assert blob.download_as_bytes() == b"9876543210"
    assert blob.download_as_bytes(start=2, end=4) == b"765"
    assert blob.download_as_bytes(start=8) == b"10"
    assert blob.download_as_bytes(start=-3) == b"210"
    with blob.open("rb", chunk_size=3) as stream:
        assert stream.read() == b"9876543210"
    refused(exceptions.NotFound, bucket.blob("nothing").download_as_bytes)
    refused(exceptions.RequestRangeNotSatisfiable, blob.download_as_bytes, start=10)
    refused(exceptions.PreconditionFailed, blob.download_as_bytes, if_generation_match=1)
    assert not bucket.blob("nothing").exists() and blob.exists()


def lists(bucket):
    names = [blob.name for blob in bucket.list_blobs(page_size=2)]
    assert names == ["empty", "large", "small/one", "whole"], names
    rolled = bucket.list_blobs(delimiter="/")
    assert [blob.name for blob in rolled] == ["empty", "large", "whole"] and rolled.prefixes == {"small/"}
    assert [blob.name for blob in bucket.list_blobs(prefix="small/")] == ["small/one"]
    assert [blob.name for blob in bucket.list_blobs(start_offset="large", end_offset="whole")] == ["large", "small/one"]


def composing(bucket):
    composed = bucket.blob("composed")
    composed.content_type = "x/z"
    composed.compose([bucket.blob("small/one"), bucket.blob("whole")], if_generation_match=0)
    composed.reload()
    assert (composed.component_count, composed.md5_hash) == (2, None)
    assert composed.download_as_bytes(start=0, end=9) == b"9876543210"
    copied = bucket.blob("copied")
    token, done, total = copied.rewrite(composed, if_generation_match=0)
    assert token is None and done == total == composed.size
    assert copied.crc32c == composed.crc32c and copied.content_type == "x/z"
    refused(exceptions.PreconditionFailed, copied.rewrite, composed, if_generation_match=0)
    assert bucket.copy_blob(composed, bucket, "copied/again", if_generation_match=0).size == composed.size
    copied.update_storage_class("COLDLINE") if tick() is None else None
    assert bucket.get_blob("copied").storage_class == "COLDLINE"


def deleting(bucket):
    blob = bucket.get_blob("copied/again")
    refused(exceptions.PreconditionFailed, blob.delete, if_generation_match=blob.generation + 1)
    blob.delete(if_generation_match=blob.generation)
    refused(exceptions.NotFound, blob.delete)


def holds(bucket):
    blob = bucket.blob("held")
    blob.upload_from_string(b"x")
    blob.temporary_hold = True
    blob.patch()
    assert bucket.get_blob("held").temporary_hold
    assert "hold" in str(refused(exceptions.Forbidden, blob.delete))
    tick()
    refused(exceptions.Forbidden, blob.upload_from_string, b"y")
    blob.temporary_hold = False
    blob.event_based_hold = True
    blob.patch()
    refused(exceptions.Forbidden, blob.delete)
    tick()
    blob.event_based_hold = False
    blob.patch()
    blob.delete()


def retention(client):
    made = client.create_bucket("python-retained", location="EU", enable_object_retention=True)
    assert made.object_retention_mode == "Enabled"
    made.retention_period = 3600
    made.patch()
    blob = made.blob("kept")
    blob.upload_from_string(b"x")
    blob.reload()
    assert blob.retention_expiration_time > datetime.now(timezone.utc)
    assert "retention policy" in str(refused(exceptions.Forbidden, blob.delete))
    made.lock_retention_policy()
    made.reload()
    assert made.retention_policy_locked
    made.retention_period = 60
    refused(exceptions.Forbidden, made.patch)
    blob.retention.mode = "Unlocked"
    blob.retention.retain_until_time = datetime.now(timezone.utc) + timedelta(days=30)
    blob.patch()
    tick(3601)
    refused(exceptions.Forbidden, blob.delete)
    blob.retention.mode = None
    blob.retention.retain_until_time = None
    blob.patch(override_unlocked_retention=True)
    blob.delete()


def versions(client):
    made = client.bucket("python-versions")
    made.versioning_enabled = True
    made = client.create_bucket(made, location="EU")
    blob = made.blob("a")
    blob.upload_from_string(b"one")
    first = blob.generation
    tick()
    blob.upload_from_string(b"two")
    assert [one.generation for one in made.list_blobs(versions=True)] == [first, blob.generation]
    assert made.blob("a", generation=first).download_as_bytes() == b"one"
    made.delete_blob("a")
    assert made.get_blob("a") is None
    tick()
    made.copy_blob(made.blob("a", generation=first), made, "a", source_generation=first)
    assert made.blob("a").download_as_bytes() == b"one"
    made.delete_blob("a", generation=first)
    refused(exceptions.NotFound, made.blob("a", generation=first).download_as_bytes)


def soft_delete(bucket):
    blob = bucket.blob("lost")
    blob.upload_from_string(b"found")
    generation = blob.generation
    blob.delete()
    assert [one.generation for one in bucket.list_blobs(soft_deleted=True, prefix="lost")] == [generation]
    known = bucket.get_blob("lost", generation=generation, soft_deleted=True)
    assert known.hard_delete_time - known.soft_delete_time == timedelta(days=7)
    tick()
    back = bucket.restore_blob("lost", generation=generation)
    assert back.generation > generation and back.download_as_bytes() == b"found"


def main():
    client = storage.Client(
        project="project", credentials=AnonymousCredentials(), client_options={"api_endpoint": ADDRESS}
    )
    bucket = client.bucket("backups")
    buckets(client)
    uploads(bucket)
    downloads(bucket)
    lists(bucket)
    composing(bucket)
    deleting(bucket)
    holds(bucket)
    retention(client)
    versions(client)
    soft_delete(bucket)
    print("all answered as the client expects:", storage.__version__)


main()
