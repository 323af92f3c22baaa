"""What names a place in Kubernetes, and what its pods may be told to be."""

from __future__ import annotations

import pytest

from mlops_cli.core.kube import Place, read_url, read_words
from mlops_cli.records.destinations import read_host


@pytest.mark.parametrize(('url', 'place'), [
    ('k8s://dev/ml/shared', Place('dev', 'ml', 'shared', 'mlops-host')),
    ('k8s:///ml/shared/a/b', Place('', 'ml', 'shared', 'a/b')),
    ('k8s:////shared/', Place('', '', 'shared', 'mlops-host')),
    ('k8s://arn:aws:eks:eu-1:12:cluster%2Fone/ml/shared/x', Place('arn:aws:eks:eu-1:12:cluster/one', 'ml', 'shared', 'x')),
    ('k8s://ml%2Fapi-one:6443%2Fada@corp/ml/shared/x', Place('ml/api-one:6443/ada@corp', 'ml', 'shared', 'x')),
])  # fmt: skip
def test_addresses(url: str, place: Place) -> None:
    assert read_url(url) == place
    assert read_url(place.url) == place
    assert read_host({'url': url}).url == url.rstrip('/')


@pytest.mark.parametrize(('url', 'told'), [
    ('k8s://dev/ml', 'is not k8s://[CONTEXT]/[NAMESPACE]/CLAIM[/FOLDER]'), ('k8s://', 'or k8s://'),
    ('k8s://--kubeconfig=x/ml/shared', 'context'), ('k8s://a%0Ab/ml/shared', 'context'), ('k8s://dev/ML/shared', 'namespace'),
    ('k8s://dev/-ml/shared', 'namespace'),
    ('k8s://dev/ml/-shared', 'PersistentVolumeClaim'),
    ('k8s://dev/ml/shared/../x', 'folder'),
    ('k8s://dev/ml/shared/a//b', 'folder'), ('k8s://dev/ml/shared/a;b', 'folder'), ('k8s://dev/ml/shared/$(x)', 'folder'),
])  # fmt: skip
def test_addresses_that_are_none(url: str, told: str) -> None:
    with pytest.raises(ValueError, match='has ') as error:
        read_host({'url': url})
    assert told in str(error.value)


def test_words() -> None:
    found = read_words('image=r.example.org:5000/a/b@sha256:ab user=any gpu=amd.com/gpu node-selector=a.b/c=d node-selector=e= '
                       'toleration=nvidia.com/gpu toleration=a=b:NoSchedule pull-secret=one pull-secret=two queue=q')
    assert (found.image, found.user, found.gpu, found.queue) == ('r.example.org:5000/a/b@sha256:ab', 'any', 'amd.com/gpu', 'q')
    assert found.node_selector == (('a.b/c', 'd'), ('e', '')) and found.pull_secrets == ('one', 'two')
    assert found.tolerations == (('nvidia.com/gpu', None, ''), ('a', 'b', 'NoSchedule'))


@pytest.mark.parametrize(('text', 'told'), [
    ('privileged=true', 'may not stand there'),
    ('image', 'lacks ='),
    ('imge=a', 'did you mean image?'),
    ('image=-a', 'is no image'),
    ('image=a image=b', 'twice'), ('user=root', 'is no user'), ('user=0', 'is no user'),
    ('user=00', 'is no user'), ('user=\u0661', 'is no user'), ('node-selector=a', 'is no node-selector'),
    ('toleration=a:Never', 'NoSchedule'), ('node-selector=/a=b', 'KEY=VALUE'), ('pull-secret=A', 'is no pull-secret'),
])  # fmt: skip
def test_words_that_are_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match='has ') as error:
        read_host({'url': 'k8s://dev/ml/shared', 'submit': text})
    assert told in str(error.value)
