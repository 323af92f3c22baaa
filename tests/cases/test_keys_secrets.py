"""``secrets``: passed to the command, and found nowhere afterwards but in what the command itself made of them."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from tests.support.project import Project
from tests.support.stages import ended, everything, lay, printed, run, verdict

SECRET = 'correct/horse+battery=staple "42"'


def forms(secret: str) -> list[bytes]:
    """How it could stand somewhere."""
    raw = secret.encode()
    return [
        raw,
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw),
        base64.b64encode(b'user:' + raw)[8:-4],
        urllib.parse.quote(secret, safe='').encode(),
        urllib.parse.quote_plus(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
        raw.hex().encode(),
    ]


def leaks(project: Project, *texts: str) -> list[str]:
    """Where in .mlops, or in what was printed, any form of the secret stands."""
    places = {**everything(project), **{f'printed {n}': text.encode() for n, text in enumerate(texts)}}
    return [place for place, data in places.items() if any(form in data for form in forms(SECRET))]


CHATTY = """\
import base64, json, os, sys, time, urllib.parse
s = os.environ['THE_SECRET']
print(s, json.dumps({'s': s}), urllib.parse.quote(s, safe=''), base64.b64encode(s.encode()).decode())
print('basic', base64.b64encode(b'user:' + s.encode()).decode(), file=sys.stderr)
for part in (s[:7], s[7:12], s[12:]):  # in pieces, as a network client would
    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.01)
print('repr', repr(s)); print('done'); open('o', 'w').write(str(len(s)))
"""


def test_a_secret_reaches_the_command_and_nothing_else(project: Project) -> None:
    project.environ['THE_SECRET'] = SECRET
    project.write('chatty.py', CHATTY)
    lay(project, {'a': {'cmd': 'python chatty.py', 'secrets': ['THE_SECRET'], 'outs': ['o']}})
    done = project.mlops('run', '--json')
    assert project.read('o') == str(len(SECRET))
    shown = [
        project.mlops(*words)
        for words in (('logs', 'a'), ('status', '--json'), ('explain', 'a', '--json'), ('runs', 'list', '--json'))
    ]
    assert '[secret: THE_SECRET]' in shown[0].out and 'done' in shown[0].out
    texts = [text for result in (done, *shown) for text in (result.out, result.err)]
    assert leaks(project, *texts) == []


def test_a_failing_stage_does_not_show_its_secret_either(project: Project) -> None:
    project.environ['THE_SECRET'] = SECRET
    lay(project, {'a': {'cmd': 'echo "cannot log in with $THE_SECRET" >&2; exit 3', 'secrets': ['THE_SECRET'], 'retry': 1}})
    done = project.mlops('run', code=1)
    as_json = project.mlops('run', '--json', code=1)
    assert 'cannot log in with [secret: THE_SECRET]' in done.out
    assert leaks(project, done.out, done.err, as_json.out, as_json.err) == []


def test_a_command_traced_by_its_shell_does_not_show_it(project: Project) -> None:
    project.environ['THE_SECRET'] = SECRET
    lay(project, {'a': {'cmd': 'set -x; test -n "$THE_SECRET"; printf %s "$THE_SECRET" | wc -c', 'secrets': ['THE_SECRET']}})
    report = project.run()
    assert ended(report, 'a').state == 'done' and leaks(project) == []


def test_the_value_of_a_secret_is_not_in_the_key_and_its_name_is(project: Project) -> None:
    stage = {'cmd': 'echo made > o', 'outs': ['o']}
    lay(project, {'a': {**stage, 'secrets': ['THE_SECRET']}})
    assert run(project) == {'a': 'done'}
    assert verdict(project, 'a', THE_SECRET='one') == 'fresh' and verdict(project, 'a', THE_SECRET='two') == 'fresh'
    lay(project, {'a': {**stage, 'secrets': ['THE_SECRET', 'OTHER']}})
    assert verdict(project, 'a') == 'run'


def test_a_secret_cannot_stand_in_a_command(project: Project) -> None:
    project.environ['THE_SECRET'] = SECRET
    lay(project, {'a': {'cmd': 'echo ${env:THE_SECRET}', 'secrets': ['THE_SECRET']}})
    refused = project.mlops('run', code=2)
    assert 'THE_SECRET' in refused.err and SECRET not in refused.err + refused.out


def test_what_looks_like_a_secret_is_hidden_without_being_declared(project: Project) -> None:
    project.environ['HUB_TOKEN'] = 'q9Zr7Lw2Kx8Vb4Nm6'
    token = 'ghp_' + 'a1B2' * 9
    lay(project, {'a': {'cmd': f'echo $HUB_TOKEN; echo {token[:10]}""{token[10:]}; echo plain'}})
    report = project.run()
    text = printed(project, report, 'a')
    assert 'q9Zr7Lw2Kx8Vb4Nm6' not in text and token not in text and text.endswith('plain\n')


@pytest.mark.parametrize('isolate', ['none', 'folder'])
def test_a_killed_stage_leaves_no_secret_behind(project: Project, isolate: str) -> None:
    project.environ['THE_SECRET'] = SECRET
    lay(project, {'a': {'cmd': 'echo "$THE_SECRET"; sleep 30', 'secrets': ['THE_SECRET'], 'timeout': 0.3, 'isolate': isolate}})
    report = project.run()
    assert ended(report, 'a').state == 'failed' and leaks(project) == []
