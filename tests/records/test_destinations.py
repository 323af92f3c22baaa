"""Where a remote or host may lead, and what is no address."""

from __future__ import annotations

import pytest

from mlops_cli.records.destinations import Host, Remote, check_name, read_host, read_remote

SECRET = 'ghp_' + 'aB3dE5gH7jK9' * 3


@pytest.mark.parametrize(
    'url',
    [
        's3://bucket', 's3://bucket/a/b', 'gs://bucket/x', 'az://container', 'ssh://ada@gpu1:2222/srv/x', 'ssh://gpu1/srv',
        'ssh://gpu1/~/store', 'ssh://[::1]:22/x',
        'https://example.org/x?y=1', 'file:///srv/cache', 'file:///srv/a%20b', '/srv/my cache', '/srv/a%20b', '/srv/cache', 's3://bücket/ä',
    ],
)  # fmt: skip
def test_addresses(url: str) -> None:
    assert read_remote({'url': url}) == Remote(url)


@pytest.mark.parametrize(
    ('url', 'problem'),
    [
        ('', 'neither'), ('bucket', 'neither'), ('relative/path', 'neither'), ('-x', 'neither'), ('s3://', 'without a host'),
        ('s3:///x', 'without a host'), ('ftp://x/y', 'ftp'), ('http://x/y', 'http'), ('s3://a b', 'no spaces'),
        ('s3://a\nb', 'one line'), ('s3://a\x1b', 'one line'), ('ssh://-oProxyCommand=x/y', 'without a host'),
        ('ssh://ada@-o/x', 'without a host'), ('ssh://a;b/x', '[user@]host'), ('file://host/x', 'file:///'),
        ('s3://key:secretsecret@bucket/x', 'a password in a URL'), ('https://ada:hunter2x@h/x', 'a password'),
        ('/a/../b', 'neither'), ('ssh://gpu1', 'without a folder'), ('ssh://gpu1//', 'without a folder'),
        ('file:///my store', 'no spaces: name the folder by its path alone'),
        ('s3://' + 'x' * 3000, 'one line'), ('ext::sh -c x', 'neither'),
    ],
)  # fmt: skip
def test_what_is_no_address(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match='url') as raised:
        read_remote({'url': url})
    assert problem in str(raised.value)
    assert 'secretsecret' not in str(raised.value) and 'hunter2x' not in str(raised.value)


@pytest.mark.parametrize('address', ['gpu1', 'ada@gpu1.example.org', '10.0.0.7', '[fe80::1]', 'ada@[::1]', 'my-alias_2'])
def test_hosts(address: str) -> None:
    url = f'ssh://{address}:22/scratch/ada'
    assert read_host({'url': url}) == Host(url)
    assert read_host({'url': f'ssh://{address}/'}).place == f'ssh://{address}/~/.mlops-host'


@pytest.mark.parametrize('address', ['', '-oX', 'a b', 'a@-b', '@x', 'a@b@c', 'x;y', '$(x)', 'a\n', 'ssh://x', 'x:0', 'x:2:1'])
def test_what_is_no_host(address: str) -> None:
    with pytest.raises(ValueError, match=r'has a (?:url|port) '):
        read_host({'url': f'ssh://{address}'})


@pytest.mark.parametrize('name', ['', '-a', 'a.b', 'a/b', 'a b', 'é', 'a' * 64, '_a'])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match='is no name'):
        check_name(name)


def test_as_json_and_for_people() -> None:
    said = {'url': 'ssh://g:2/x', 'desc': 'ours', 'python': '~/bin/python3', 'path': '/opt/bin:~/bin'}
    host = read_host(said)
    assert host.to_json() == said and read_host(host.to_json()) == host
    assert host.leads_to == 'ssh://g:2/x, with ~/bin/python3 and /opt/bin:~/bin there'
    remote = read_remote({'url': 's3://b', 'desc': 'ours'})
    assert read_remote(remote.to_json()) == remote and remote.leads_to == 's3://b'


def test_the_python_of_a_host() -> None:
    remote = read_remote({'url': 'ssh://gpu1/x', 'python': '~/venv/bin/python3.12'})
    assert read_remote(remote.to_json()) == remote and 'python3.12' in remote.leads_to
    for python in ('-c', '--', 'a b', '$(x)', 'a;b', '/a\n', '/a//b', '~', '"', "'"):
        with pytest.raises(ValueError, match='python'):
            read_remote({'url': 'ssh://gpu1/x', 'python': python})
    with pytest.raises(ValueError, match='python'):
        read_remote({'url': 's3://b/x', 'python': '/usr/bin/python3'})


def test_clusters() -> None:
    said = {'url': 'slurm://ada@login:22/scratch/ada', 'submit': '--partition=gpu --exclusive  --gres=gpu:a100:1'}
    host = read_host(said)
    assert host.submit == '--partition=gpu --exclusive --gres=gpu:a100:1' and read_host(host.to_json()) == host
    assert host.leads_to == f'slurm://ada@login:22/scratch/ada, with {host.submit} there'
    assert read_host({'url': 'slurm://login'}).place == 'slurm://login/~/.mlops-host'
    assert read_host({'url': 'slurm:///scratch/ada'}).place == 'slurm:///scratch/ada'
    for url in ('slurm://', 'slurm:///', 'slurm:///~', 'slurm:///a/../b', 'slurm://-oX/f', 'ssh:///scratch/ada'):
        with pytest.raises(ValueError, match=r'has a (?:url|folder) '):
            read_host({'url': url})


@pytest.mark.parametrize(
    'submit',
    [
        '--wrap=id', '-p gpu', '--partition gpu', '--output=/home/ada/.bashrc', '--export=ALL', '--uid=0', '--partition=$(id)',
        '--chdir=/', 'job.sh',
        '--comment="a b"', '--mail-user=a;b', '--prolog=x', '--bbf=x', '--get-user-env', '--partition=\n',
    ],
)  # fmt: skip
def test_what_sbatch_is_not_told(submit: str) -> None:
    with pytest.raises(ValueError, match='submit'):
        read_host({'url': 'slurm://login/f', 'submit': submit})
    with pytest.raises(ValueError, match='only hosts with slurm'):
        read_host({'url': 'ssh://login/f', 'submit': '--partition=gpu'})


@pytest.mark.parametrize('entry', [
    {'url': 's3://b/p', 'desc': SECRET}, {'url': 'ssh://h/x', 'python': f'/usr/{SECRET}'},
    {'url': 'ssh://h/x', 'path': f'/{SECRET}'},
    {'url': 'slurm://h/x', 'submit': f'--account={SECRET}'}, {'url': f'ssh://h/{SECRET}'},
    {'url': 'k8s:////claim', 'submit': f'image=x:{SECRET}'},
])  # fmt: skip
def test_what_holds_a_secret_is_refused_and_not_said(entry: dict[str, str]) -> None:
    with pytest.raises(ValueError, match='GitHub token') as raised:
        (read_remote if entry['url'].startswith('s3') else read_host)(entry)
    assert SECRET not in str(raised.value)
