"""What names a place in a Kubernetes cluster, and what its pods are to be: the address and the words of a host with k8s://."""
from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from mlops_cli.core.classes import dataclass
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern

SCHEME = 'k8s'
FORM = 'k8s://[CONTEXT]/[NAMESPACE]/CLAIM[/FOLDER]'
IMAGE = 'python:3.12-slim'
USER = '1000'
ANY_USER = 'any'  # the one that the image, or the cluster, says
GPU = 'nvidia.com/gpu'
HOSTNAME = 'kubernetes.io/hostname'  # the label that names a node
FOLDER = 'mlops-host'  # in the claim, where an address names none
EFFECTS = ('NoSchedule', 'PreferNoSchedule', 'NoExecute')
_CONTEXT = pattern(r'[A-Za-z0-9_][A-Za-z0-9_.:@/+-]{0,252}')
_NAMESPACE = pattern(r'[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?')
_NAME = pattern(r'[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?')
_KEY = pattern(r'(?:[a-z0-9][a-z0-9.-]{0,251}/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?')
_VALUE = pattern(r'(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?')
_FOLDER = pattern(r'[A-Za-z0-9_.@+=,-]+(?:/[A-Za-z0-9_.@+=,-]+)*')
# Neither what gives a pod more than its user has, nor what lets it out of its container: they may come with a branch.
WORDS = {
    'image': pattern(r'[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}'), 'user': pattern(r'[1-9][0-9]{0,9}|any'),
    'gpu': _KEY, 'pull-secret': _NAME,
    'service-account': _NAME, 'priority-class': _NAME, 'runtime-class': _NAME, 'queue': _NAME,
    'node-selector': pattern(r'[A-Za-z0-9./_-]{1,317}=[A-Za-z0-9_.-]{0,63}'),
    'toleration': pattern(r'[A-Za-z0-9./_-]{1,317}(?:=[A-Za-z0-9_.-]{0,63})?(?::[A-Za-z]+)?'),
}  # fmt: skip
SEVERAL = ('node-selector', 'toleration', 'pull-secret')


@dataclass(frozen=True)
class Place:
    """``context``: of the user's kubectl, '' for the one that it has chosen; ``namespace``: '' for that of the context;
    ``folder``: in the claim, relative."""

    context: str
    namespace: str
    claim: str
    folder: str

    @property
    def url(self) -> str:
        return f'{SCHEME}://{quote(self.context, safe="@:")}/{self.namespace}/{self.claim}/{self.folder}'


def read_url(url: str) -> Place:
    """Raises ValueError, with words that go behind a name."""
    scheme, _, rest = url.partition('://')
    context, namespace, claim, folder = [*rest.split('/', 3), '', '', '', ''][:4]
    context = unquote(context)
    if scheme != SCHEME or not claim:
        raise ValueError(f'has a url that is not {FORM}')
    if context and not _CONTEXT.fullmatch(context):
        raise ValueError(f'has the context {context[:80]!r}, which cannot be one (a / in it is written %2F)')
    if namespace and not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f'has the namespace {namespace[:80]!r}, which cannot be one')
    if not _NAME.fullmatch(claim):
        raise ValueError(f'has {claim[:80]!r}, which can be no name of a PersistentVolumeClaim')
    folder = folder.strip('/') or FOLDER
    if not _FOLDER.fullmatch(folder) or not {'.', '..'}.isdisjoint(folder.split('/')):
        raise ValueError('has a folder that is not a plain path')
    return Place(context, namespace, claim, folder)


@dataclass(frozen=True)
class Words:
    """What the pods of a host are to be.  ``queue``: of Kueue."""

    image: str = IMAGE
    user: str = USER
    gpu: str = GPU
    service_account: str = ''
    priority_class: str = ''
    runtime_class: str = ''
    queue: str = ''
    pull_secrets: tuple[str, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[tuple[str, str | None, str], ...] = ()  # key, value or None for any, effect or ''

    @property
    def on_one_node(self) -> bool:
        return any(key == HOSTNAME for key, _ in self.node_selector)


def read_words(text: str) -> Words:
    """``image=... node-selector=KEY=VALUE``.  Raises ValueError, with words that go behind a name."""
    found: dict[str, list[str]] = {}
    for word in text.split():
        name, equals, value = word.partition('=')
        if name not in WORDS or not equals:
            near = did_you_mean(name, WORDS, what='there may be')
            raise ValueError(f'has {word[:80]!r} in submit, which may not stand there, or lacks = before its value ({near})')
        if not WORDS[name].fullmatch(value):
            raise ValueError(f'has {word[:80]!r} in submit, which is no {name}')
        if name in found and name not in SEVERAL:
            raise ValueError(f'has {name} twice in submit')
        found.setdefault(name, []).append(value)
    one: Mapping[str, str] = {name.replace('-', '_'): values[0] for name, values in found.items() if name not in SEVERAL}
    return Words(
        **one,
        pull_secrets=tuple(found.get('pull-secret', ())),
        node_selector=tuple(_selector(value) for value in found.get('node-selector', ())),
        tolerations=tuple(_toleration(value) for value in found.get('toleration', ())),
    )


def _selector(text: str) -> tuple[str, str]:
    key, _, value = text.partition('=')
    if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
        raise ValueError(f'has the node-selector {text[:80]!r}, which is not KEY=VALUE of a label')
    return key, value


def _toleration(text: str) -> tuple[str, str | None, str]:
    """``KEY``, ``KEY=VALUE``, each with ``:EFFECT`` behind it or without."""
    what, _, effect = text.partition(':')
    key, equals, value = what.partition('=')
    if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value) or effect not in ('', *EFFECTS):
        raise ValueError(f'has the toleration {text[:80]!r}, which is not KEY[=VALUE][:EFFECT] ({", ".join(EFFECTS)})')
    return key, value if equals else None, effect
