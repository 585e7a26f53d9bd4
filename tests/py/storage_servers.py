"""Starts Azurite and moto, and runs a command with their addresses in its environment."""

import os
import pathlib
import subprocess
import sys
import tempfile

import servers

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with servers.azurite(folder) as azurite, servers.moto(folder) as s3:
        env = dict(os.environ, LIFEBOAT_AZURITE=azurite, LIFEBOAT_S3=s3)
        sys.exit(subprocess.run(sys.argv[1:], env=env).returncode)
