"""The recipes in examples/schedule: units and manifests are checked by those who will read them, and each command in them
is run against simulated workspaces, with a folder for the container."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import urllib.request

import kubernetes_validate
import servers
import yaml

ROOT = servers.ROOT
RECIPES = ROOT / "examples" / "schedule"
HOSTS = re.compile(r"https://adb-[0-9.]+\.azuredatabricks\.net")
CONTAINER = "abfss://vault@lakestandby.dfs.core.windows.net/nightly/"


def archives(vault):
    return sorted(vault.glob("*.tar.zst"))


def run(command, env, expect=0):
    # Archives are named after the second in which they are begun.
    time.sleep(1)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == expect, f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def systemd(folder, env, vault):
    units = folder / "units"
    shutil.copytree(RECIPES / "systemd", units)
    commands = {}
    for service in units.glob("*.service"):
        text = service.read_text().replace("/usr/local/bin/", f"{servers.BINARIES}/")
        service.write_text(text)
        words = shlex.split(re.search(r"ExecStart=(.*)", text).group(1))
        commands[service.stem] = [word.replace("${VAULT}", env["VAULT"]) for word in words]
    if shutil.which("systemd-analyze"):
        verify(units)
    else:
        print("SKIPPED  systemd-analyze is missing: the units were not verified")
    run(commands["lifeboat-export"], env)
    assert len(archives(vault)) == 1, "the first night"
    # There are not seven nights yet, and it says so.
    run(commands["lifeboat-status"], env, expect=13)


def verify(units):
    command = ["systemd-analyze", "verify", "--man=no", *sorted(str(unit) for unit in units.iterdir())]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ours = [line for line in done.stdout.splitlines() if "lifeboat" in line]
    assert not ours and done.returncode == 0, done.stdout
    for timer in units.glob("*.timer"):
        calendar = re.search(r"OnCalendar=(.*)", timer.read_text()).group(1)
        run(["systemd-analyze", "calendar", calendar], os.environ)


def crontab(folder, env, vault):
    lines = [line for line in (RECIPES / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    settings = [line for line in lines if re.fullmatch(r"[A-Z]+=\S+", line)]
    entries = [line.split(None, 6) for line in lines if line not in settings]
    assert all(re.fullmatch(r"\d+ \d+ \* \* \*", " ".join(entry[:5])) for entry in entries), entries
    assert {entry[5] for entry in entries} == {"lifeboat"}
    names = ("VAULT", "DATABRICKS_HOST", "DATABRICKS_TOKEN")
    for name in ("export", "status", "prune"):
        (folder / f"{name}.env").write_text("".join(f"export {name}={shlex.quote(env[name])}\n" for name in names))
    bare = {"PATH": f"{servers.BINARIES}:{os.environ['PATH']}", "HOME": str(folder)}
    commands = [entry[6].replace("/etc/lifeboat/", f"{folder}/") for entry in entries]
    assert not any("%" in command for command in commands), "a % ends a command of cron"
    export, status, prune = (["/bin/sh", "-c", command] for command in commands)
    out = run(export, bare)
    assert len(out.splitlines()) == 1, f"-q prints the name of the archive alone: {out}"
    assert len(archives(vault)) == 2, "the second night"
    run(status, bare, expect=13)
    run(prune, bare)
    # Both are of one day, of which the newest stays.
    assert len(archives(vault)) == 1, "after the prune"


def manifests(name):
    documents = list(yaml.safe_load_all((RECIPES / "kubernetes" / name).read_text()))
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    return documents


def container(document):
    [found] = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return found


def words(document, variables):
    found = container(document)
    fill = lambda word: re.sub(r"\$\((\w+)\)", lambda match: variables[match.group(1)], word)
    program, *rest = found["command"] + found["args"]
    return [str(servers.BINARIES / program), *map(fill, rest)]


def cronjob(env, vault):
    [_, document] = manifests("cronjob.yaml")
    assert {one["name"] for one in container(document)["env"]} == {"VAULT", "DATABRICKS_HOST"}
    out = run(words(document, env), env)
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("summary", 0), last
    assert len(archives(vault)) == 2, "the third night"


def fleet(folder, env, hosts, vault):
    [config, document] = manifests("fleet.yaml")
    spec = document["spec"]["jobTemplate"]["spec"]
    parts = spec["completions"]
    assert any(word.endswith(f"/{parts}") for word in container(document)["args"]), "as many parts as pods"
    hosts = iter(hosts)
    text = HOSTS.sub(lambda _: next(hosts), config["data"]["fleet.toml"]).replace(CONTAINER, f"{vault}/")
    text += '\n[defaults.environment]\nDATABRICKS_TOKEN = "FLEET_TOKEN"\n'
    (folder / "fleet.toml").write_text(text)
    done = []
    for index in range(parts):
        command = words(document, {"JOB_COMPLETION_INDEX": str(index)})
        command = [word.replace("/etc/lifeboat/", f"{folder}/") for word in command]
        last = json.loads(run(command, env).splitlines()[-1])
        done += [one["workspace"] for one in last["workspaces"]]
    assert sorted(done) == ["north europe, analytics", "west europe, production"], done


def example(folder, env, hosts, vault):
    hosts = iter(hosts)
    text = (ROOT / "examples" / "fleet.toml").read_text()
    text = HOSTS.sub(lambda _: next(hosts), text).replace(CONTAINER, f"{vault}/")
    names = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID")
    assert all(f"{name} = " in text for name in names)
    text = re.sub(r'ARM_CLIENT_ID = "BACKUP_CLIENT_ID"\n.*\n.*', 'DATABRICKS_TOKEN = "FLEET_TOKEN"', text)
    (folder / "example.toml").write_text(text)
    command = [servers.BINARIES / "lifeboat-export", "fleet", folder / "example.toml", "--json"]
    # The files that the example asks for are in no simulated workspace.
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, timeout=600)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["failed"] == last["not_begun"] == 0 and len(last["workspaces"]) == 2, last
    # An archive of a selection counts for no rule of retention.
    scopes = [json.loads(file.read_text())["scope"] for file in vault.glob("*.json")]
    assert scopes == ["workspace"] * 2, scopes


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    vault = folder / "vault"
    vault.mkdir()
    with servers.simulator(folder, "7001", fill="small") as first, servers.simulator(folder, "7002") as second:
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "VAULT": f"{vault}/"}
        one = env | {"DATABRICKS_HOST": first[0], "DATABRICKS_TOKEN": first[1]}
        systemd(folder, one, vault)
        crontab(folder, one, vault)
        cronjob(one, vault)
        # The list of a fleet has one identity.
        body = json.dumps({"token": first[1], "principal": "admin@example.com"}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{second[0]}/__sim/tokens", body, method="POST")).close()
        hosts = [first[0], second[0]]
        for part in ("fleet", "example"):
            (folder / part).mkdir()
        fleet(folder, env | {"FLEET_TOKEN": first[1]}, hosts, folder / "fleet")
        example(folder, env | {"FLEET_TOKEN": first[1]}, hosts, folder / "example")
print("the recipes were checked and their commands ran")
