from __future__ import annotations

import base64
import json
import random
import time
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core.secrets import Redactor, environment_secrets, looking_secret, looks_secret

# Written in two halves, so that no scanner of repositories takes this file for a leak.
AWS = 'AKIA' + 'IOSFODNN7EXAMPLE'
GITHUB = 'ghp' + '_16C7e42F292c6912E7710c838347Ae178B4a'
FINE = 'github' + '_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789'
HUGGING = 'hf' + '_AbCdEfGhIjKlMnOpQrStUvWxYz12345678'
OPENAI = 'sk' + '-proj-AbCdEfGh1234567890ijklmnop-qrst'
ANTHROPIC = 'sk' + '-ant-api03-AbCdEfGh1234567890ijklmnop'
SLACK = 'xoxb' + '-123456789012-abcdefGHIJKL'
JWT = 'eyJ' + 'hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U'
URL = 'postgres://ana:' + 'hunter2@db.example/x'
SIGNED = 'https://b.s3.amazonaws.com/k?X-Amz-Signature=' + 'fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024'
PEM = '-----BEGIN RSA PRIVATE ' + 'KEY-----\nMIIEpAIBAAKCAQEA7bq1\nnqWk+/abc==\n-----END RSA PRIVATE KEY-----'
LOOKS = {AWS: 'an AWS access key', GITHUB: 'a GitHub token', FINE: 'a GitHub token', HUGGING: 'a Hugging Face token',
         OPENAI: 'an API key', ANTHROPIC: 'an API key', SLACK: 'a Slack token', JWT: 'a JSON web token',
         URL: 'a password in a URL', SIGNED: 'a signed URL', PEM: 'a private key'}
INNOCENT = ['', 'adam', 'max_tokens', 'pad_token', '<pad>', '0.0001', 'sk-learn', 'sk-learn-random-forest-classifier-2',
            'hf_hub',
            'hf_transformers_cache_directory_name', 'AKIA', 'BAKIA' + 'IOSFODNN7EXAMPLE1', 'gpt-4',
            'https://example.org/a:b@c/d',
            's3://bucket/key', 'a' * 64, 'fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024',
            'xoxo-hugs-and-kisses',
            'postgres://ana:${PASSWORD}@db/x', 'postgres://ana:<password>@db/x', 'postgres://ana:***@db/x',
            'git@github.com:a/b.git',
            '-----BEGIN CERTIFICATE-----', '-----BEGIN PUBLIC KEY-----', 'eyJ.eyJ.x', 'user@example.org',
            'http://host:8080/a@b']


@pytest.mark.parametrize('text', LOOKS)
def test_secrets_are_known_by_their_looks_alone_and_inside_text(text: str) -> None:
    for around in ('{}', 'key={}', '"{}"', 'a {} b', 'x:{}\n', '({})'):
        assert looks_secret(around.format(text)) == LOOKS[text]


@pytest.mark.parametrize('seed', range(20))
def test_of_many_texts_those_are_found_that_each_alone_looks_like_one(seed: int) -> None:
    draw = random.Random(seed)
    plain = [*INNOCENT, *(f't{n}' for n in range(1000)), 'task-1', 'ghp_', '\udc80', '\ud800', '-----BEGIN ', '']
    texts = [draw.choice(plain) for _ in range(draw.randrange(1500))]
    for text in draw.sample([*LOOKS], draw.randrange(len(LOOKS))):
        texts.insert(draw.randrange(len(texts) + 1), text)
    assert looking_secret(texts) == {text: what for text in texts if (what := looks_secret(text))}


@pytest.mark.parametrize('text', INNOCENT)
def test_what_people_write_into_parameters_is_no_secret(text: str) -> None:
    assert looks_secret(text) is None
    assert Redactor({}).redact(f'x {text} y') == f'x {text} y'


def test_variables_are_secrets_by_declaration_or_by_name_length_and_randomness() -> None:
    random = 'q8Zp2LwX9vB4nT7k'
    environ = {'HF_TOKEN': random, 'AWS_SECRET_ACCESS_KEY': random, 'MY-API_KEY': random, 'db.password': random,
               'SENTRY_DSN': random,
               'TOKENIZERS_PARALLELISM': random, 'GIT_AUTHOR_NAME': random, 'API': random, 'KEY': random,
               'PRIVATE_REGISTRY': 'short',
               'CI_TOKEN': 'aaaaaaaaaaaaaaaaaaaaaaa', 'SECRET': 'changemechangeme', 'TOKEN_FILE': '/run/secrets/token_file',
               'TOKEN_WEIRD': '/' + random, 'DECLARED': 'x', 'EMPTY': '', 'PASSWORDS': random, 'KEY_API': random}
    assert set(environment_secrets(environ, ['DECLARED', 'EMPTY', 'ABSENT'])) == {
        'DECLARED', 'HF_TOKEN', 'AWS_SECRET_ACCESS_KEY', 'MY-API_KEY', 'db.password', 'SENTRY_DSN', 'TOKEN_WEIRD'}
    assert environment_secrets(environ, ['DECLARED'])['DECLARED'] == 'x'


VALUE = 'p&ss "wörd"\\/+ 100%\n2nd line of the secret'


@pytest.mark.parametrize('written', [
    VALUE, json.dumps(VALUE), json.dumps(VALUE, ensure_ascii=False), repr(VALUE), repr(VALUE.encode()), quote(VALUE),
    quote(VALUE, safe=''), VALUE.replace('\n', '\r\n'), '2nd line of the secret', f'  | {VALUE.splitlines()[0]}',
    base64.b64encode(VALUE.encode()).decode(), base64.b64encode(f'user:{VALUE}'.encode()).decode(),
    base64.b64encode(f'user1:{VALUE}!'.encode()).decode(), base64.urlsafe_b64encode(f'us:{VALUE}xy'.encode()).decode(),
])
def test_a_secret_is_found_as_programs_write_it(written: str) -> None:
    redacted = Redactor({'DB': VALUE}).redact(f'before {written} after')
    assert redacted.startswith('before ')
    assert redacted.endswith(' after')
    assert '[secret: DB]' in redacted
    for part in ('wörd', '2nd line', 'w%C3%B6rd', base64.b64encode(VALUE.encode())[8:-8].decode()):
        assert part not in redacted


def test_patterns_and_names_in_a_stream_of_lines() -> None:
    redactor = Redactor({'HF_TOKEN': HUGGING, 'SHORT': 'abc'})
    assert redactor.too_short == ('SHORT',)
    log = f'token {HUGGING}\nabc {GITHUB} and {AWS}\n{PEM}\nget {SIGNED}&x=1\n{URL}\n'
    out = redactor.feed(log.encode()) + redactor.finish()
    assert out.decode() == (
        'token [secret: HF_TOKEN]\nabc [secret: GitHub token] and [secret: AWS access key]\n[secret: private key]\n'
        'get https://b.s3.amazonaws.com/k?X-Amz-Signature=[secret: signed URL]&x=1\n'
        'postgres://[secret: password in a URL]@db.example/x\n')


@pytest.mark.parametrize('text', ['loss 0.5', 'epoch 1\r', 'Password: ', 'line\n', 'https://example.org/x \n', 'key\n'])
def test_ordinary_text_comes_out_at_once(text: str) -> None:
    redactor = Redactor({'A': 'q8Zp2LwX9vB4nT7k'})
    assert redactor.feed(text.encode()) == text.encode()


def test_little_is_held_back_and_not_for_ever() -> None:
    redactor = Redactor({'A': 'q8Zp2LwX'})
    assert redactor.feed(b'abc q8Z') == b'abc '
    assert redactor.feed(b'!') == b'q8Z!'
    assert redactor.feed(b'q8Zp2Lw') == b''
    assert redactor.feed(b'X!') == b'[secret: A]!'
    assert redactor.feed(b'sk-') == b''
    assert redactor.feed(b'learn ') == b'sk-learn '
    assert redactor.feed(PEM.encode()[:40]) == b''
    assert redactor.feed(b'\nloss: 0.5 and on\n') == b'[secret: private key]: 0.5 and on\n'
    out = b''.join(redactor.feed(b'eyJ' * 1000) for _ in range(30)) + redactor.finish()
    assert len(out) == 90_000
    assert Redactor({}).redact('caf\udce9 \ud800') == 'caf\udce9 \ud800'
    assert Redactor({'A': 'caf\udce9-noir'}).redact('x caf\udce9-noir') == 'x [secret: A]'


SECRETS = {'ONE': 'abab', 'TWO': 'ababcab', 'THREE': 'x\ny', 'FOUR': 'hf_abab', 'FIVE': '://abab',
           'SIX': 'line one is long\nline two is longer'}
STREAMS = st.lists(st.sampled_from([*'abcxy \n-"=', 'abab', 'ababc', 'x\ny', *LOOKS, *SECRETS.values(), '-----BEGIN ',
                                    'PRIVATE KEY-----',
                                    '-----BEGIN RSA PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED\n', '\\n', 'sk-', 'hf_', 'eyJ',
                                    'ghp_',
                                    '://', 'u:p@', 'X-Amz-Signature=', 'A1b2C3d4E5f6A7b8C9', '-----END RSA PRIVATE KEY-----']),
                   max_size=12).map(''.join)


@settings(max_examples=80, deadline=None)
@given(text=STREAMS, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_wherever_a_stream_is_cut_the_result_is_the_same(text: str, cuts: list[int]) -> None:
    redactor = Redactor(SECRETS)
    whole = redactor.redact(text)
    data = text.encode()
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for pieces in ([data[a:b] for a, b in pairwise(edges)], [data[i:i + 1] for i in range(len(data))]):
        assert b''.join(redactor.feed(piece) for piece in pieces) + redactor.finish() == whole.encode()


@pytest.mark.parametrize('line_feed', ['\n', '\r\n', '\\n'])
def test_a_private_key_that_is_cut_anywhere_is_taken_out_whole(line_feed: str) -> None:
    lines = ['-----BEGIN RSA PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED', 'DEK-Info: AES-128-CBC,0011', 'MIIEpAIBAAKCAQEA1234',
             'abcd/+==', '-----END RSA PRIVATE KEY-----']
    data = f'before {line_feed.join(lines)} after'.encode()
    for first in range(len(data)):
        for second in (first, first + 1, first + 2, first + 40):
            redactor = Redactor({})
            pieces = (data[:first], data[first:second], data[second:])
            found = b''.join(redactor.feed(piece) for piece in pieces) + redactor.finish()
            assert found == b'before [secret: private key] after', (first, second)


@pytest.mark.parametrize('line', [b'sk-', b'eyJ', b'eyJ-', b'eyJaaaaaaaa.', b'://a:', b'-----BEGIN ',
                                  b'-----BEGIN RSA PRIVATE KEY-----', b'q8Z',
                                  b'X-Amz-Signature=', b'ghp_', b'a', b'loss 0.5\n', b'AKIA', b'token q8Zp2LwX9vB4nT7k\n',
                                  b'xoxb-', b'sk-a1-'])
def test_no_stream_takes_long(line: bytes) -> None:
    redactor = Redactor({f'S{index}': f'q8Zp2LwX9vB4nT7k{index or ""}' for index in range(10)})
    started = time.process_time()
    for _ in range(4):
        redactor.feed(line * (32768 // len(line)))
    redactor.finish()
    assert time.process_time() - started < 3
