"""The commands against stores: export into Azurite and S3, look and import from there. The official clients arbitrate."""

import hashlib
import json
import os
import pathlib
import subprocess
import tempfile

import boto3
import servers
from azure.storage.blob import BlobServiceClient

AZURITE, S3 = os.environ["LIFEBOAT_AZURITE"], os.environ["LIFEBOAT_S3"]
WRONG = "d3Jvbmcga2V5IG9mIHRoaXMgYWNjb3VudA=="
SETTINGS = {
    "AZURE_STORAGE_ENDPOINT": f"{AZURITE}/{servers.AZURITE_ACCOUNT}",
    "AZURE_STORAGE_ACCOUNT_NAME": servers.AZURITE_ACCOUNT,
    "AZURE_STORAGE_ACCOUNT_KEY": servers.AZURITE_KEY,
    "AZURE_ALLOW_HTTP": "true",
    "AWS_ENDPOINT": S3,
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret-key-of-s3",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


def lifeboat(tool, *arguments, expect=(0,), settings=SETTINGS, **to):
    """Runs one of the tools; returns stdout and stderr. No secret may be in either."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "AWS_", "DATABRICKS_", "ARM_"))}
    env.update(settings, DATABRICKS_CONFIG_FILE=os.devnull)
    if to:
        env.update(DATABRICKS_HOST=to["at"][0], DATABRICKS_TOKEN=to["at"][1], XDG_STATE_HOME=str(to["state"]))
    command = [servers.BINARIES / f"lifeboat-{tool}", *map(str, arguments)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    out, err = done.stdout, done.stderr.decode()
    assert done.returncode in expect, f"{command} ended with {done.returncode}, not one of {expect}:\n{err}"
    for secret in (servers.AZURITE_KEY, WRONG, "secret-key-of-s3", "sig="):
        assert secret.encode() not in out and secret not in err, f"{command} told a secret:\n{err}"
    return out, err


def azure():
    service = BlobServiceClient(
        f"{AZURITE}/{servers.AZURITE_ACCOUNT}",
        credential=servers.AZURITE_KEY,
    )
    container = service.create_container("vault")
    return "az://vault", lambda: {blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs()}


def s3():
    client = boto3.client("s3", endpoint_url=S3, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="x")
    client.create_bucket(Bucket="vault")

    def read():
        listed = client.list_objects_v2(Bucket="vault").get("Contents", [])
        return {one["Key"]: client.get_object(Bucket="vault", Key=one["Key"])["Body"].read() for one in listed}

    return "s3://vault", read


def chain(url, read, source, target, state):
    lifeboat("export", "run", "--to", f"{url}/nightly/", at=source, state=state)
    objects = read()
    names = sorted(objects)
    assert len(names) == 2 and names[0].endswith(".json") and names[1].endswith(".tar.zst"), names
    descriptor, content = json.loads(objects[names[0]]), objects[names[1]]
    assert descriptor["size"] == len(content), "another size than the descriptor says"
    assert descriptor["sha256"] == hashlib.sha256(content).hexdigest(), "another content than the descriptor says"
    archive = f"{url}/{names[1]}"
    info = json.loads(lifeboat("inspect", "info", "--json", archive)[0].splitlines()[-1])
    assert info["archive_id"] == descriptor["archive-id"], info
    assert b"notebooks" in lifeboat("inspect", "ls", archive)[0]
    summary = lifeboat("inspect", "cat", archive, "summary.json")[0]
    assert json.loads(summary)["inventory"] == "complete"
    lifeboat("inspect", "verify", archive)
    lifeboat("import", "plan", archive, "--admins", at=target, state=state)
    # The generated workspace names a group of the account that no fresh target knows: a gap, as it must be.
    apply = ("import", "apply", archive, "--admins", "--target", target[2], "--json")
    report = json.loads(lifeboat(*apply, at=target, state=state, expect=(3,))[0].splitlines()[-1])
    assert report["writes"] > 100, report["writes"]
    lifeboat("import", "compare", archive, "--admins", at=target, state=state, expect=(0, 3, 13))
    assert read() == objects, "reading changed the store"

    # A name that is taken is refused, and what is there stays.
    _, err = lifeboat("export", "run", "--to", archive, at=source, state=state, expect=(14,))
    assert archive in err, err
    lifeboat("inspect", "info", f"{url}/nightly/no-such.tar.zst", expect=(1,))
    assert read() == objects, "a refused export changed the store"
    return archive


def last(out):
    return json.loads(out.splitlines()[-1])


def retention(url, read, source, state):
    """A second night; list, latest, status, scrubbing, and a prune that leaves the newest."""
    before = read()
    lifeboat("export", "run", "--to", f"{url}/nightly/second.tar.zst", at=source, state=state)
    place = f"{url}/nightly"
    listed = last(lifeboat("inspect", "list", place, "--json")[0])
    assert (listed["archives"], listed["complete"], listed["foreign"]) == (2, 2, 0), listed
    latest = last(lifeboat("inspect", "info", f"{place}/latest", "--json")[0])
    assert latest["archive_id"] == json.loads(read()["nightly/second.json"])["archive-id"]
    assert last(lifeboat("inspect", "status", place, "--min-count", 2, "--json")[0])["workspaces"] == 1
    lifeboat("inspect", "status", place, "--min-count", 3, expect=(13,))
    for sample in ("5%", "100%"):
        scrubbed = last(lifeboat("inspect", "verify", "--all", place, "--sample", sample, "--json")[0])
        assert scrubbed["intact"] == 2, scrubbed
    lifeboat("export", "prune", place, "--keep-last", 1, expect=(2,))
    dry = last(lifeboat("export", "prune", place, "--keep-last", 1, "--dry-run", "--json")[0])
    assert dry["would_delete"] == 1 and read().keys() > before.keys(), dry
    pruned = last(lifeboat("export", "prune", place, "--keep-last", 1, "--apply", "--json")[0])
    assert pruned["deleted"] == 1, pruned
    assert sorted(read()) == ["nightly/second.json", "nightly/second.tar.zst"], sorted(read())
    wrong = dict(SETTINGS, AZURE_STORAGE_ACCOUNT_KEY=WRONG)
    if url.startswith("az"):
        for command in (("inspect", "status", place), ("export", "prune", place, "--keep-last", 1, "--apply")):
            lifeboat(*command, settings=wrong, expect=(12,))


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with servers.simulator(folder, "9001", fill="small") as (first, token):
        for number, (url, read) in enumerate((azure(), s3())):
            workspace = f"91{number:02}"
            with servers.simulator(folder, workspace) as (second, other):
                state = folder / f"state-{number}"
                target = (second, other, workspace)
                archive = chain(url, read, (first, token), target, state)
                print(f"{archive}: exported, looked into, imported and compared")
                retention(url, read, (first, token), state)
                print(f"{url}/nightly: listed, watched, scrubbed and pruned")
        at = {"at": (first, token), "state": folder / "state"}
        wrong = dict(SETTINGS, AZURE_STORAGE_ACCOUNT_KEY=WRONG)
        for place, settings, expect in (
            ("az://vault/x.tar.zst", wrong, (12,)),
            ("az://no-such-container/x.tar.zst", SETTINGS, (12,)),
            ("az://vault/x.tar.zst", {}, (2,)),
            ("gs://vault/x.tar.zst", SETTINGS, (2,)),
        ):
            _, err = lifeboat("export", "run", "--to", place, settings=settings, expect=expect, **at)
            assert place in err, err
            if place.startswith("az"):
                assert "hint: " in err, err
                lifeboat("inspect", "info", place, settings=settings, expect=expect)
        print("refusals: exit codes, places and hints as specified, no secret told")
