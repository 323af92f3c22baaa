"""A server of S3 on this machine: ``rclone serve s3``, the same for all that are timed beside each other."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from bench.errors import BenchError
from bench.places import Places
from bench.tools import Tools

PORT = 15_557
URL = f'http://127.0.0.1:{PORT}'
BUCKET = 'bench'
KEY, SECRET = 'benchkey', 'benchsecret'
START_SECONDS = 20

# What each of the programs needs to reach it.
ENVIRON = {
    'AWS_ACCESS_KEY_ID': KEY,
    'AWS_SECRET_ACCESS_KEY': SECRET,
    'AWS_DEFAULT_REGION': 'us-east-1',
    'AWS_ENDPOINT_URL': URL,
    'AWS_EC2_METADATA_DISABLED': 'true',
    'RCLONE_CONFIG_M_TYPE': 's3',
    'RCLONE_CONFIG_M_PROVIDER': 'Other',
    'RCLONE_CONFIG_M_ENDPOINT': URL,
    'RCLONE_CONFIG_M_ACCESS_KEY_ID': KEY,
    'RCLONE_CONFIG_M_SECRET_ACCESS_KEY': SECRET,
}


class Server:
    """Runs until it is closed.  What is put there lies in a folder, a bucket each.  ``round``: the number of the prefix that
    is in use; every round has a new one, so that nothing is ever there before it is sent."""

    def __init__(self, places: Places, tools: Tools) -> None:
        rclone = tools.get('rclone')
        if rclone is None:
            raise BenchError('there is no S3 server: rclone cannot be had')
        self._program = rclone.program
        self._places, self._folder = places, places.folder / 's3'
        self.places_round = places.folder / 'round.txt'
        places.put_aside(self._folder)
        (self._folder / BUCKET).mkdir(parents=True)
        self.round = 0
        words = [rclone.program, 'serve', 's3', '--addr', f'127.0.0.1:{PORT}', '--auth-key', f'{KEY},{SECRET}']
        with (places.folder / 'server.log').open('wb') as log:
            self._process = subprocess.Popen(
                [*words, str(self._folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ
            )
        until = time.monotonic() + START_SECONDS
        while not _answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                raise BenchError(f'rclone serve s3 does not start: {(places.folder / "server.log").read_text()[-500:]}')
            time.sleep(0.05)

    def rounds(self) -> list[Path]:
        """What lies there of all rounds so far."""
        return list((self._folder / BUCKET).iterdir())

    def next_round(self) -> None:
        """A new prefix."""
        self.round += 1
        self.places_round.write_text(str(self.round))

    def prefix(self, tool: str) -> str:
        return f'{BUCKET}/{tool}-{self.round}'

    def look(self, tool: str) -> None:
        """List what this tool sent.  This server hashes a file when somebody first asks about it, 0.8 s for 512 MiB; rclone
        does that at the end of its own push, and who does not would wait for it in the pull.  S3 has the hash beforehand."""
        if (self._folder / self.prefix(tool)).is_dir():
            words, environ = (self._program, 'lsl', f'm:{self.prefix(tool)}'), {**os.environ, **ENVIRON}
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ, check=True)

    def words(self, script: str) -> tuple[str, ...]:
        """A command in which ``$round`` is the number of the prefix."""
        return ('/bin/sh', '-c', f'round=$(cat {self.places_round}); exec {script}')

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._places.put_aside(self._folder)


def _answers() -> bool:
    with socket.socket() as one:
        return one.connect_ex(('127.0.0.1', PORT)) == 0


def make_remote(folder: Path, url: str) -> None:
    """Ours knows a remote by its own configuration, so that it need not be confirmed."""
    (folder / '.mlops/config.local.yaml').write_text(f'remotes:\n  origin:\n    url: s3://{url}\n')


def make_remote_dvc(folder: Path, url: str) -> None:
    remote = f'[\'remote "origin"\']\n    url = s3://{url}\n    endpointurl = {URL}\n'
    (folder / '.dvc/config').write_text(f'[core]\n    remote = origin\n    analytics = false\n{remote}')
