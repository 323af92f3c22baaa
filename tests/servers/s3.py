"""An S3 server with real authentication: moto, after the calls that make a user, answers only what that user has signed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.ports import reserved

SET_UP_CALLS = 4  # of the user and its policy, below; behind them every request needs a signature
START_SECONDS = 100
POLICY = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}


@dataclass(frozen=True)
class S3:
    """``environ``: what a program needs to reach it."""

    endpoint: str
    key: str
    secret: str

    @property
    def environ(self) -> dict[str, str]:
        return {
            'AWS_ENDPOINT_URL': self.endpoint,
            'AWS_ACCESS_KEY_ID': self.key,
            'AWS_SECRET_ACCESS_KEY': self.secret,
            'AWS_DEFAULT_REGION': 'us-east-1',
            'AWS_EC2_METADATA_DISABLED': 'true',
            'AWS_CONFIG_FILE': os.devnull,
            'AWS_SHARED_CREDENTIALS_FILE': os.devnull,
        }

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process, and what it starts, reach it."""
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)

    def make_bucket(self, name: str) -> str:
        """Its url."""
        self.client('s3').create_bucket(Bucket=name)
        return f's3://{name}'

    def allowed(self, policy: Mapping[str, Any]) -> S3:
        """The same for another user, who may do what the policy says."""
        iam = self.client('iam')
        name = f'user{len(iam.list_users()["Users"])}'
        iam.create_user(UserName=name)
        made = iam.create_access_key(UserName=name)['AccessKey']
        arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy))['Policy']['Arn']
        iam.attach_user_policy(UserName=name, PolicyArn=arn)
        return S3(self.endpoint, made['AccessKeyId'], made['SecretAccessKey'])

    def client(self, service: str) -> Any:
        import boto3

        names: Mapping[str, str] = {'aws_access_key_id': self.key, 'aws_secret_access_key': self.secret}
        return boto3.client(service, endpoint_url=self.endpoint, region_name='us-east-1', **names)


@contextmanager
def running(folder: Path) -> Iterator[S3]:
    """A server until the end of the block.  ``folder``: for its log."""
    with reserved(1) as (port,):
        yield from _running(folder, port)


def _running(folder: Path, port: int) -> Iterator[S3]:
    environ = {**os.environ, 'INITIAL_NO_AUTH_ACTION_COUNT': str(SET_UP_CALLS)}
    with (folder / 'moto.log').open('wb') as log:
        argv = [sys.executable, '-c', 'from moto.server import main; main()', '-H', '127.0.0.1', '-p', str(port)]
        process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _await(port, process, folder / 'moto.log')
        yield _with_user(f'http://127.0.0.1:{port}')
    finally:
        process.terminate()
        process.wait(60)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as one:
            if one.connect_ex(('127.0.0.1', port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f'moto does not start: {log.read_text()[-2000:]}')
        time.sleep(0.05)


def _with_user(endpoint: str) -> S3:
    iam = S3(endpoint, 'x', 'x').client('iam')
    iam.create_user(UserName='tester')
    made = iam.create_access_key(UserName='tester')['AccessKey']
    policy = iam.create_policy(PolicyName='all', PolicyDocument=json.dumps(POLICY))['Policy']['Arn']
    iam.attach_user_policy(UserName='tester', PolicyArn=policy)
    return S3(endpoint, made['AccessKeyId'], made['SecretAccessKey'])
