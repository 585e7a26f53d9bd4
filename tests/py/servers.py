"""Servers for the checks: started on a free port of 127.0.0.1, ended by their own process id."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ["LIFEBOAT_BIN"])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url, process, seconds=60):
    """Until the server answers anything at all."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it answered {url}")
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"no answer from {url} in {seconds} s")


@contextlib.contextmanager
def running(command, url, log, env=None):
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            wait_for(url, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def simulator(folder, workspace_id, fill=None, more=()):
    """A simulated workspace, with `more` arguments; yields (url, token)."""
    port, token = free_port(), f"dapi-{workspace_id}"
    url = f"http://127.0.0.1:{port}"
    command = [BINARIES / "lifeboat-sim", "serve", "--port", str(port), "--token", token, "--workspace-id", workspace_id]
    if fill:
        command += ["--fill", fill]
    command += more
    with running(command, f"{url}/api/2.0/preview/scim/v2/Me", folder / f"sim-{workspace_id}.log"):
        yield url, token


# The emulator has one workspace id built in; two instances must be two workspaces.
MINILAKE = (
    "import sys, minilake.services.identity as identity; identity.FAKE_ORG_ID = sys.argv.pop(1);"
    "from minilake.cli import main; main()"
)


@contextlib.contextmanager
def minilake(folder, workspace_id, python):
    """A third-party Databricks emulator; yields (url, token). It checks no token."""
    port, data = free_port(), folder / f"minilake-{workspace_id}"
    data.mkdir()
    url = f"http://127.0.0.1:{port}"
    env = dict(
        os.environ,
        MINILAKE_DATA_DIR=str(data),
        MINILAKE_NOTEBOOK="0",
        MINILAKE_DUCKDB_EXTENSION_DIR=str(data / "ext"),
        MINILAKE_JOB_EXECUTOR="subprocess",
        DOCKER_HOST="unix:///nonexistent.sock",
    )
    command = [python, "-c", MINILAKE, workspace_id, "--port", str(port)]
    with running(command, f"{url}/_minilake/health", folder / f"minilake-{workspace_id}.log", env):
        yield url, "dapi-any"


def lifeboat(tool, *arguments, url, token, expect=(0,), state=None):
    """Runs one of the tools against a server; returns what it printed on stdout."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DATABRICKS_", "ARM_"))}
    env.update(DATABRICKS_HOST=url, DATABRICKS_TOKEN=token, DATABRICKS_CONFIG_FILE=os.devnull)
    if state:
        env["XDG_STATE_HOME"] = str(state)
    command = [BINARIES / f"lifeboat-{tool}", *map(str, arguments)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
    if done.returncode not in expect:
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        raise AssertionError(f"lifeboat-{tool} {arguments[0]} ended with {done.returncode}, expected {expect}")
    return done.stdout


# The account that every Azurite has; the key is public.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextlib.contextmanager
def azurite(folder):
    """Azure Blob Storage as others emulate it; yields its url."""
    port, data = free_port(), folder / "azurite"
    data.mkdir()
    url = f"http://127.0.0.1:{port}"
    program = os.environ["LIFEBOAT_AZURITE_PROGRAM"]
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(data)]
    command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with running(command, f"{url}/{AZURITE_ACCOUNT}", folder / "azurite.log"):
        yield url


@contextlib.contextmanager
def moto(folder):
    """Amazon S3 as others emulate it; yields its url."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = pathlib.Path(sys.executable).with_name("moto_server")
    with running([program, "-H", "127.0.0.1", "-p", str(port)], url, folder / "moto.log"):
        yield url
