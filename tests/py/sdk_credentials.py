"""The official Databricks SDK and Lifeboat sign in to the simulator with the same settings, and out of the same settings
they choose the same method or see the same conflict."""

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
from unittest import mock

import servers
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.environments import ARM_DATABRICKS_RESOURCE_ID, ENVIRONMENTS, Cloud, DatabricksEnvironment

CLIENT = {"DATABRICKS_CLIENT_ID": "0f3c1f6e-2f4a-4d0e-9a55-6a1d1d3c9b10", "DATABRICKS_CLIENT_SECRET": "simulated-secret"}
APPLICATION = {"ARM_CLIENT_ID": "a", "ARM_CLIENT_SECRET": "simulated-secret", "ARM_TENANT_ID": "t"}
TOKEN = {"DATABRICKS_TOKEN": "dapi-7001"}

CASES = [
    TOKEN,
    CLIENT,
    APPLICATION,
    TOKEN | CLIENT,
    TOKEN | APPLICATION,
    CLIENT | APPLICATION,
    TOKEN | CLIENT | APPLICATION,
    TOKEN | {"ARM_CLIENT_ID": "a"},
    TOKEN | {"DATABRICKS_USERNAME": "u"},
    TOKEN | CLIENT | {"DATABRICKS_AUTH_TYPE": "oauth-m2m"},
    TOKEN | CLIENT | {"DATABRICKS_AUTH_TYPE": "pat"},
    {"DATABRICKS_CLIENT_ID": "a", "DATABRICKS_OIDC_TOKEN": "theirs"},
    {"DATABRICKS_OIDC_TOKEN_ENV": "CI_TOKEN", "CI_TOKEN": "theirs"},
    {"DATABRICKS_OIDC_TOKEN_FILEPATH": __file__},
    CLIENT | {"DATABRICKS_OIDC_TOKEN": "theirs"},
    {"DATABRICKS_CLIENT_ID": "a"},
    {"ARM_CLIENT_SECRET": "simulated-secret"},
    {"DATABRICKS_AUTH_TYPE": "oauth-m2m", **TOKEN},
    {},
]


# The simulator's directory, as the simulator has it built in.
TENANT = "72f988bf-0000-4000-8000-2d7cd011db47"


def of_azure(url):
    """The SDK takes a host of another zone for one of another cloud, and knows no other directory than the real ones."""
    directory = dataclasses.replace(ENVIRONMENTS["PUBLIC"], active_directory_endpoint=f"{url}/")
    environment = DatabricksEnvironment(Cloud.AZURE, ".azuredatabricks.net", ARM_DATABRICKS_RESOURCE_ID, directory)
    return mock.patch.object(Config, "environment", property(lambda _: environment))


def surroundings(url, folder, settings):
    # The directory that Lifeboat asks; the SDK asks none in these cases.
    return {"DATABRICKS_HOST": url, "AZURE_AUTHORITY_HOST": url, "HOME": str(folder), "PATH": str(folder), **settings}


def by_sdk(env):
    """The method, or the beginning of the refusal."""
    with mock.patch.dict(os.environ, env, clear=True):
        try:
            return Config().auth_type
        except ValueError as error:
            if "more than one authorization method configured" in str(error):
                names = str(error).split("configured: ")[1].split(".")[0]
                return f"conflict: {names}"
            return "none"


def by_lifeboat(env):
    command = [servers.BINARIES / "lifeboat-export", "check", "--json"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    for event in events:
        if event["event"] == "credentials":
            return event["method"]
    said = " ".join([events[-1]["message"], *events[-1]["causes"]])
    if "more than one authorization method configured" in said:
        assert done.returncode == 2, done.returncode
        return "conflict: " + said.split("configured: ")[1].split(" (")[0]
    assert "no authorization method works" in said and done.returncode == 12, said
    return "none"


quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 600}

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    more = ["--client-id", CLIENT["DATABRICKS_CLIENT_ID"], "--client-secret", CLIENT["DATABRICKS_CLIENT_SECRET"]]
    with servers.simulator(folder, "7001", fill="small", more=[*more, "--token-life", "41"]) as (url, _):
        with mock.patch.dict(os.environ, surroundings(url, folder, CLIENT), clear=True):
            client = WorkspaceClient()
            assert client.current_user.me().user_name == CLIENT["DATABRICKS_CLIENT_ID"]
            listed = {job.settings.name for job in client.jobs.list()}
        application = {
            "ARM_CLIENT_ID": CLIENT["DATABRICKS_CLIENT_ID"],
            "ARM_CLIENT_SECRET": CLIENT["DATABRICKS_CLIENT_SECRET"],
            "ARM_TENANT_ID": TENANT,
        }
        with of_azure(url), mock.patch.dict(os.environ, surroundings(url, folder, application), clear=True):
            client = WorkspaceClient()
            assert client.config.auth_type == "azure-client-secret"
            assert client.current_user.me().user_name == CLIENT["DATABRICKS_CLIENT_ID"]
        command = [servers.BINARIES / "lifeboat-export", "check", "-q"]
        subprocess.run(command, env=surroundings(url, folder, application), **quiet)
        archive = folder / "night.tar.zst"
        command = [servers.BINARIES / "lifeboat-export", "run", "--limits", "off", "--to", archive]
        subprocess.run(command, env=surroundings(url, folder, CLIENT), **quiet)
        command = [servers.BINARIES / "lifeboat-inspect", "ls", "--json", archive, "jobs"]
        shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout
        assert listed and all(json.dumps(job) in shown for job in listed), shown
        for settings in CASES:
            env = surroundings(url, folder, settings)
            with of_azure(url):
                expected = by_sdk(env)
            found = by_lifeboat(env)
            assert expected == found, f"{sorted(settings)}: the SDK says {expected}, Lifeboat {found}"
print(f"the official SDK and Lifeboat sign in alike, and choose alike in {len(CASES)} cases")
