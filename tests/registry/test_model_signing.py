"""Signatures as the OpenSSF has them: ours are good for its own program, theirs for ours, and what is wrong is refused.

Needs model-signing (mlops-cli[sign]), so the quick tier leaves it out."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.registry.conftest import Person

pytestmark = pytest.mark.full


def openssl(*words: str | Path) -> None:
    subprocess.run(['openssl', *map(str, words)], check=True, capture_output=True)


def new_key(folder: Path, name: str, curve: str = 'prime256v1') -> tuple[str, str]:
    """(private, public)."""
    private, public = folder / f'{name}.pem', folder / f'{name}.pub'
    openssl('ecparam', '-name', curve, '-genkey', '-noout', '-out', private)
    openssl('ec', '-in', private, '-pubout', '-out', public)
    return str(private), str(public)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    pytest.importorskip(
        'model_signing.signing', reason="no model-signing (pip install 'mlops-cli[sign]')", exc_type=ImportError
    )
    return new_key(tmp_path, 'key')


@pytest.fixture
def folder(ada: Person) -> Path:
    """A model of several files, one in a folder, one with a name that needs care."""
    ada.write('model/weights.bin', 'w' * 3000)
    ada.write('model/sub/config.json', '{}')
    ada.write('model/sub/ä "b".txt', 'x')
    return ada.path / 'model'


def theirs(*words: str) -> subprocess.CompletedProcess[str]:
    """The library's own program."""
    return subprocess.run([sys.executable, '-m', 'model_signing', *words], check=False, capture_output=True, text=True)


def verified(ada: Person, *words: str) -> str:
    """The problem; empty where there is none."""
    rows: list[dict[str, Any]] = ada.models('verify', *words, '--json', code=None).json['rows']
    return str(rows[0]['problem']) if rows else ''


def test_a_registered_model_is_signed_and_checked_by_both(ada: Person, keys: tuple[str, str]) -> None:
    private, public = keys
    ada.models('register')
    ada.models('sign', 'digits@v1', '--key', private, '-o', 'digits.sig')
    ada.models('get', 'digits@v1', 'out')
    assert verified(ada, 'digits@v1', '--signature', 'digits.sig', '--public-key', public) == ''
    assert verified(ada, 'out/best.bin', '--signature', 'digits.sig', '--public-key', public) == ''
    at = [str(ada.path / 'digits.sig'), str(ada.path / 'out/best.bin')]
    done = theirs('verify', 'key', '--public_key', public, '--signature', *at)
    assert done.returncode == 0, done.stderr
    ada.write('out/best.bin', 'other')
    assert 'Hash mismatch' in verified(ada, 'out/best.bin', '--signature', 'digits.sig', '--public-key', public)


@pytest.mark.parametrize('curve', ['prime256v1', 'secp384r1', 'secp521r1'])
def test_what_their_program_signed_is_good_for_ours(ada: Person, keys: Any, folder: Path, tmp_path: Path, curve: str) -> None:
    private, public = new_key(tmp_path, curve, curve)
    done = theirs('sign', 'key', '--private_key', private, '--signature', str(ada.path / 'm.sig'), str(folder))
    assert done.returncode == 0, done.stderr
    assert verified(ada, 'model', '--signature', 'm.sig', '--public-key', public) == ''


def test_what_was_done_to_a_model_is_told(ada: Person, keys: tuple[str, str], folder: Path, tmp_path: Path) -> None:
    private, public = keys
    ada.models('sign', 'model', '--key', private)
    asked = ('model', '--signature', 'model.sig', '--public-key', public)
    assert verified(ada, *asked) == ''
    ada.write('model/more', 'x')
    assert 'Extra files' in verified(ada, *asked) and 'more' in verified(ada, *asked)
    assert verified(ada, *asked, '--ignore-unsigned') == verified(ada, *asked, '--ignore', 'model/more') == ''
    (folder / 'more').unlink()
    ada.write('model/sub/config.json', '[]')
    assert 'Hash mismatch' in verified(ada, *asked) and verified(ada, *asked, '--ignore-unsigned')
    (folder / 'sub/config.json').unlink()
    assert 'Missing files' in verified(ada, *asked)
    ada.write('model/sub/config.json', '{}')
    assert verified(ada, *asked) == ''
    (folder / 'sub/config.json').unlink()
    (folder / 'sub/config.json').symlink_to('/etc/passwd')
    assert verified(ada, *asked)
    _, other = new_key(tmp_path, 'other')
    assert verified(ada, *asked[:-1], other)


def test_what_is_wrong_with_a_bundle_is_told(ada: Person, keys: tuple[str, str], folder: Path) -> None:
    private, public = keys
    ada.models('sign', 'model', '--key', private)
    good = json.loads(ada.read('model.sig'))
    envelope = good['dsseEnvelope']
    payload = json.loads(base64.b64decode(envelope['payload']))

    def with_payload(**changes: Any) -> Any:
        data = base64.b64encode(json.dumps({**payload, **changes}).encode()).decode()
        return {**good, 'dsseEnvelope': {**envelope, 'payload': data}}

    wrong: list[Any] = [
        {}, [], None, 3, {**good, 'mediaType': 'text/plain'}, {**good, 'dsseEnvelope': {}},
        {**good, 'dsseEnvelope': {**envelope, 'signatures': []}}, with_payload(predicateType='https://example.org/x'),
        with_payload(predicate={**payload['predicate'], 'resources': []}), with_payload(subject=[]), with_payload(_type='x'),
        {**good, 'dsseEnvelope': {**envelope, 'payloadType': 'text/plain'}},
    ]  # fmt: skip
    for each in (*map(json.dumps, wrong), '', ada.read('model.sig')[:-200], '\x00' * 100):
        ada.write('bad.sig', each)
        assert verified(ada, 'model', '--signature', 'bad.sig', '--public-key', public), each[:200]


def test_certificates(ada: Person, keys: tuple[str, str], folder: Path, tmp_path: Path) -> None:
    root, _ = new_key(tmp_path, 'root')
    leaf, _ = new_key(tmp_path, 'leaf')
    use = tmp_path / 'use'
    use.write_text('basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n')
    ca = ('-addext', 'keyUsage=keyCertSign,cRLSign')
    openssl('req', '-x509', '-new', '-key', root, '-subj', '/CN=root', '-days', '10', '-out', tmp_path / 'root.crt', *ca)
    openssl('req', '-x509', '-new', '-key', root, '-subj', '/CN=other', '-days', '10', '-out', tmp_path / 'other.crt', *ca)
    openssl('req', '-new', '-key', leaf, '-subj', '/CN=leaf', '-out', tmp_path / 'leaf.csr')
    signed = ('-CA', tmp_path / 'root.crt', '-CAkey', root, '-CAcreateserial', '-extfile', use, '-days', '5')
    openssl('x509', '-req', '-in', tmp_path / 'leaf.csr', *signed, '-out', tmp_path / 'leaf.crt')
    chain = ('--chain', str(tmp_path / 'root.crt'))
    ada.models('sign', 'model', '--key', leaf, '--certificate', str(tmp_path / 'leaf.crt'), *chain)
    assert verified(ada, 'model', '--signature', 'model.sig', *chain) == ''
    assert verified(ada, 'model', '--signature', 'model.sig', '--chain', str(tmp_path / 'other.crt'))
    done = theirs(
        'verify', 'certificate', '--certificate_chain', chain[1], '--signature', str(ada.path / 'model.sig'), str(folder)
    )
    assert done.returncode == 0, done.stderr


def test_what_cannot_sign_is_refused(ada: Person, keys: tuple[str, str], folder: Path, tmp_path: Path) -> None:
    private, public = keys
    assert 'with which key' in ada.models('sign', 'model', code=2).err
    assert 'is no file' in ada.models('sign', 'model', '--key', 'nowhere', code=2).err
    ada.write('text', 'no key')
    assert 'cannot sign' in ada.models('sign', 'model', '--key', 'text', code=2).err
    assert 'a public key, or with certificates' in ada.models('verify', 'model', '--signature', public, code=2).err
    (ada.path / 'empty').mkdir()
    assert 'there is no file in it' in ada.models('sign', 'empty', '--key', private, code=1).err
    assert not ada.exists('model.sig')
    openssl('ec', '-in', private, '-aes256', '-passout', 'pass:secret', '-out', tmp_path / 'closed.pem')
    assert 'cannot sign' in ada.models('sign', 'model', '--key', str(tmp_path / 'closed.pem'), code=2).err
    ada.environ['MLOPS_SIGN_PASSWORD'] = 'secret'
    ada.models('sign', 'model', '--key', str(tmp_path / 'closed.pem'))
    assert verified(ada, 'model', '--signature', 'model.sig', '--public-key', public) == ''
    assert sorted(path.name for path in ada.path.iterdir() if path.name.startswith('.mlops-')) == []


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get('MLOPS_TEST_OMS'), reason='MLOPS_TEST_OMS names no checkout of the conformance suite')
def test_the_conformance_suite(tmp_path: Path) -> None:
    """All of it but Sigstore's own signatures, which need its services."""
    suite = os.environ['MLOPS_TEST_OMS']
    adapter = Path(__file__).with_name('oms_adapter.py')
    words = ['-m', 'pytest', f'{suite}/test', '-q', '-p', 'no:cacheprovider', f'--rootdir={suite}', '--skip-sigstore']
    done = subprocess.run(
        [sys.executable, *words, f'--entrypoint={adapter}'], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
