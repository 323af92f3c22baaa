"""A claim in Kubernetes as a bucket, and the jobs beside it: as of a host behind ssh, but through ``kubectl exec``."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mlops_cli import ssh
from mlops_cli.core.errors import UserError
from mlops_cli.core.kube import read_url, read_words
from mlops_cli.core.patterns import pattern
from mlops_cli.kube import checks, manifests
from mlops_cli.kube.api import Api, Silent, Status, explained, kubectl, printable
from mlops_cli.kube.cluster import Cluster, Refused
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.far import BACK
from mlops_cli.store.ssh import FarBucket
from mlops_cli.store.ssh_line import COMMAND, Line, Lost

SERVE = 'mlops_cli.job.far_kube'
WAIT_SECONDS = 10.0  # for the far end to want something
PAUSE_SECONDS = 2.0  # before the connection is tried again
_NAME = pattern(r'[A-Za-z0-9_.=+-]{1,60}\.[0-9a-f]{16}')
_PATH = pattern(r'/[^\0]{1,4095}')
MOST_WORDS = 50


class _Session(ssh.Session):
    """``kubectl exec``."""

    def explained(self, _reach: str, code: int) -> ssh.Explained:
        said = self.said
        passing = code != 0 and not any(words in said for words in ('orbidden', 'does not exist', 'getting credentials'))
        if 'orbidden' in said:
            hint = 'kubectl auth can-i create pods/exec tells; who runs the cluster gives that right'
            return ssh.Explained(f'you may not start anything in a pod: {printable(said.strip().splitlines()[-1])}', hint)
        if 'executable file not found' in said or 'no such file or directory' in said:
            hint = 'mlops hosts add --submit image=... names one with sh and Python from 3.11 on'
            return ssh.Explained('its image has no sh', hint)
        return ssh.Explained(*explained(said), passing, passing)


class KubeBucket(FarBucket):
    """``url``: as core.kube takes it; ``submit``: words of it.  ``serve``: the module that answers there.  Raises UserError for
    a url or words that are none."""

    def __init__(self, url: str, python: str = '', submit: Sequence[str] = (), *, serve: str = SERVE) -> None:
        try:
            self._place, self._words = read_url(url), read_words(' '.join(submit))
        except ValueError as error:
            raise UserError(f'{url} {error}', hint='mlops hosts list') from error
        super().__init__(url, manifests.folder_of(self._place), python, serve)
        self._api = Api(url, self._place.context)
        self._cluster: Cluster | None = None
        self._backer: threading.Thread | None = None

    def close(self) -> None:
        super().close()
        if self._backer is not None and self._backer is not threading.current_thread():
            self._backer.join(5)
        self._api.close()

    def cluster(self) -> Cluster:
        """Raises Unreachable."""
        if self._cluster is None:
            namespace = self._place.namespace or checks.namespace_of(self.where, self._place.context)
            self._cluster = Cluster(self.where, self._api, self._place, namespace, self._words)
        return self._cluster

    def _session(self) -> ssh.Session:
        try:
            cluster = self.cluster()
            pod = cluster.gateway(self._waits)
        except Silent as error:
            if self._was_connected:
                raise Lost(f'Kubernetes does not answer: {error}') from error
            hint = 'is the cluster up, and the network? does kubectl get pods work?'
            raise Unreachable(self.where, f'Kubernetes does not answer: {error}', hint) from error
        line = f'{manifests.LINE}={pod.rpartition("-")[0]}'
        words = ['exec', '-i', f'--namespace={cluster.namespace}', f'--container={manifests.CONTAINER}', pod, '--', 'env', line]
        try:
            return _Session(kubectl(self.where, self._place.context, *words, 'sh', '-c', COMMAND))
        except OSError as error:
            raise Unreachable(self.where, f'kubectl does not start: {error.strerror}', 'does kubectl work here?') from error

    def _waits(self, said: str) -> None:
        if self._closed:
            raise Unreachable(self.where, 'it is not wanted any more', '')
        self.waits_for = f'its gateway comes up{f": {said}" if said else ""}'

    def _connected(self) -> Line:
        line = super()._connected()
        if self._backer is None and self._serve == SERVE:
            self._backer = threading.Thread(target=self._answer_back, name='kube', daemon=True)
            self._backer.start()
        return line

    # What the far end wants of us.  It is not believed: it can ask for jobs of this host, and for nothing else.

    def _answer_back(self) -> None:
        done: list[dict[str, Any]] = []
        while not self._closed:
            try:
                wanted = self.ask({'do': BACK, 'done': done, 'seconds': WAIT_SECONDS}).get('wanted')
                done = [self._done(row) for row in wanted if isinstance(row, dict)] if isinstance(wanted, list) else []
            except UserError:
                done = []
                for _ in range(int(PAUSE_SECONDS * 10)):
                    if not self._closed:
                        time.sleep(0.1)

    def _done(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What came of one thing."""
        works: Mapping[str, Callable[[], Mapping[str, Any]]] = {
            'rows': lambda: {'rows': self.cluster().rows()},
            'create': lambda: self._create(asked),
            'end': lambda: self._end_one(asked),
            'facts': lambda: {'facts': checks.facts(self.cluster())},
            'check': lambda: {'facts': checks.check(self.cluster())},
        }
        number = asked.get('number')
        try:
            work = works.get(str(asked.get('do')), partial(_refuse, 'that is nothing that can be asked'))
            return {'number': number, **work()}
        except Silent as error:
            return {'number': number, 'silent': str(error)}
        except Unreachable as error:
            return {'number': number, 'unreachable': error.problem, 'hint': error.hint}
        except Refused as error:
            return {'number': number, 'refused': str(error), 'lacking': error.lacking}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, Status) as error:
            return {'number': number, 'silent': f'what came cannot be read ({type(error).__name__})'}

    def _create(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        name, output, program = str(asked['name']), str(asked['output']), [str(word) for word in asked['program']]
        if not (_NAME.fullmatch(name) and _PATH.fullmatch(output) and 0 < len(program) <= MOST_WORDS):
            _refuse('the other end asks for a job that is none')
        timeout = asked.get('timeout_seconds')
        self.cluster().create(manifests.Asked(
            name, str(asked.get('run') or '')[:200], program, output, max(0.001, float(asked['cpus'])),
            max(0, int(asked['memory_bytes'])), max(0, int(asked['gpus'])), None if timeout is None else float(timeout),
            max(0.0, float(asked['grace_seconds'])),
        ))  # fmt: skip
        return {}

    def _end_one(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        name = str(asked['name'])
        if not _NAME.fullmatch(name):
            _refuse('the other end names a job that is none')
        self.cluster().end(name)
        return {}


def _refuse(why: str) -> Mapping[str, Any]:
    raise Refused(why)
