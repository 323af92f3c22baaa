"""As a team would: train and register on two branches, merge, approve, promote, roll back, take out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import replace

from mlops_cli.core.clock import LATEST, iso
from mlops_cli.core.digest import digest_of
from mlops_cli.fsio.paths import Root
from mlops_cli.records.model_files import Models
from mlops_cli.records.model_names import resolve
from mlops_cli.records.models import Fact
from tests.registry.conftest import Person

POLICY = """\
models:
  digits:
    prod:
      gates: ["best.json:accuracy >= 0.9", "best.json:accuracy >= @prod/best.json:accuracy - 0.02"]
      checks: [validate]
      approvals: 1
      approvers: ["*@example.org"]
"""


def sync(person: Person) -> None:
    person.git('add', '-A')
    person.git('commit', '-q', '--allow-empty', '-m', f'by {person.name}')
    person.git('pull', '-q', '--no-rebase', '--no-edit', 'origin', 'main')
    person.git('push', '-q', 'origin', 'HEAD:main')


def with_policy(person: Person, text: str = POLICY) -> None:
    config = person.path / '.mlops/config.yaml'
    config.write_text(config.read_text() + text)


def test_a_version_has_the_numbers_of_metrics_that_were_declared_later(ada: Person) -> None:
    text = (ada.path / 'pipeline.yaml').read_text()
    metrics = 'metrics: [{best.json: {primary: accuracy, goals: {accuracy: max}}}]'
    ada.write('pipeline.yaml', text.replace(f'[best.bin]\n    {metrics}', '[best.bin, best.json]'))
    ada.write('train.sh', 'echo other >> best.bin\n' + (ada.path / 'train.sh').read_text())
    ada.do('run', '-q')
    ada.write('pipeline.yaml', text)
    assert 'Nothing to do' in ada.do('run').out
    assert 'accuracy 0.9' in ada.models('register').out


def test_two_branches_register_merge_promote_and_roll_back(ada: Person, ben: Person) -> None:
    with_policy(ada)
    assert 'digits v1' in ada.models('register', '-m', 'first').out
    assert 'unchanged' in ada.models('register').out
    ada.do('push')
    ben.train(95)
    assert 'digits v1' in ben.models('register').out  # Ada's is not there yet
    ben.do('push')
    sync(ada)
    sync(ben)  # merges without a conflict
    sync(ada)
    for person in (ada, ben):
        said = person.models('list', 'digits')
        assert len(re.findall(r'v1-[0-9a-f]{8} ', said.out)) == 2, said
        assert 'two branches gave one number' in said.err
        refused = person.models('show', 'digits@v1', code=5)
        assert 'two branches registered a v1' in refused.err and 'digits@v1-' in refused.err
        person.models('show', 'digits', code=5)
    ids = {row['who']: row['id'] for row in ada.models('list', 'digits', '--json').json['rows']}
    mine, his = f'digits@{ids["Ada"]}', f'digits@{ids["Ben"]}'

    # Ada's own: not by her alone
    lacking = ada.models('promote', mine, 'prod', code=5).err
    assert '0 of 1 approval for prod by people other than Ada' in lacking and f'mlops models approve {mine} prod' in lacking
    assert 'nobody approves their own work' in ada.models('approve', mine, 'prod', code=5).err
    assert '1 of 1' in ben.models('approve', mine, 'prod', '-m', 'looked at it').out
    sync(ben)
    sync(ada)
    promoted = ada.models('promote', mine, 'prod', '-m', 'release 1').out
    assert 'gate passed: best.json:accuracy >= 0.9 (0.9)' in promoted and 'approved by Ben <ben@example.org>' in promoted
    assert 'nobody holds prod yet' in promoted
    assert 'unchanged' in ada.models('promote', mine, 'prod').out
    ada.models('approve', his, 'prod')
    ada.models('promote', his, 'prod')
    sync(ada)
    sync(ben)

    # Ben's clone takes out both: from the remote, by alias
    got = ben.models('get', mine, 'there', '--json').json
    assert digest_of((ben.path / 'there/best.bin').read_bytes()) == digest_of((ada.path / 'best.bin').read_bytes())
    assert got['alias'] == '' and oct((ben.path / 'there').stat().st_mode)[-3:] == '700'
    assert ben.models('get', 'digits@prod', 'prod', '--json').json['id'] == ids['Ben']
    assert 'is there already' in ben.models('get', 'digits@prod', 'prod', code=5).err
    (ben.path.parent / 'elsewhere').mkdir()
    (ben.path / 'linked').symlink_to(ben.path.parent / 'elsewhere')  # as a branch may bring it
    for folder in ('linked', 'linked/deep'):
        ben.models('get', 'digits@prod', folder, code=5)
    assert not list((ben.path.parent / 'elsewhere').iterdir())
    placed = ben.models('get', 'digits@prod', '../elsewhere/deep', '--json').json['path']
    assert '..' not in placed and placed.startswith(str(ben.path.parent / 'elsewhere/deep'))
    assert (ben.path.parent / 'elsewhere/deep/best.bin').exists()

    rolled = ben.models('rollback', 'digits', 'prod', '-m', 'latency doubled').out
    assert 'rolled back to digits v1' in rolled
    assert ben.models('get', 'digits@prod', 'again', '--json').json['id'] == ids['Ada']
    assert 'nothing to go back to' in ben.models('rollback', 'digits', 'prod', code=2).err
    assert 'sound' in ben.models('verify').out
    with Root(str(ben.path)) as root:
        named = resolve(root, 'digits@prod')
        assert named.version.id == ids['Ada'] and named.promotion is not None and named.promotion.decision == 'rollback'

    rows = ben.models('history', 'digits', '--json').json['rows']
    decided = sorted(row['event'] for row in rows if row['alias'] == 'prod')
    assert decided == ['approve', 'approve', 'promote', 'promote', 'rollback'] and rows[0]['event'] == 'rollback'
    assert ben.models('history', 'digits', '--alias', 'prod', '--json').json['rows'][0]['version'] == ids['Ada']
    assert {row['who'] for row in rows} == {'Ada', 'Ben'} and 'latency doubled' in {row['text'] for row in rows}
    card = ben.models('card', mine).out
    assert 'release 1' in card and 'looked at it' in card and 'accuracy' in card and 'Checks that had passed: validate' in card
    changed = ben.models('diff', mine, his, '--json').json['rows']
    assert {(row['kind'], row['name']) for row in changed} >= {('metric', 'best.json:accuracy'), ('model', 'best.bin')}
    ben.models('history', f'{mine}')
    ben.models('diff', mine, his)


def test_a_gate_that_fails_and_what_is_stale_are_refused(ada: Person) -> None:
    with_policy(ada, POLICY.replace('approvals: 1', 'approvals: 0'))
    ada.write('params.yaml', 'score: 40\n')
    assert 'train is out of date' in ada.models('register', code=5).err
    ada.do('run', '-q', code=1)  # validate
    assert 'validate failed in run' in ada.models('register', code=1).err
    ada.write('params.yaml', 'score: 80\n')
    ada.do('run', '-q', 'train')
    assert 'validate has not passed' in ada.models('register', code=5).err
    ada.do('run', '-q')
    ada.models('register')
    refused = ada.models('promote', 'digits', 'prod', code=1).err
    assert 'gate FAILED: best.json:accuracy >= 0.9 (0.8)' in refused
    ada.train(92)
    ada.models('register')
    ada.models('promote', 'digits@v2', 'prod')
    ada.train(91)
    ada.models('register')
    ada.models('promote', 'digits@v3', 'prod')
    config = ada.path / '.mlops/config.yaml'
    config.write_text(config.read_text().replace('- 0.02', '+ 0.05'))
    ada.train(93)
    ada.models('register')
    assert '@prod/best.json:accuracy + 0.05 (best.json:accuracy is 0.93' in ada.models('promote', 'digits', 'prod', code=1).err


def test_two_branches_promote_and_somebody_decides(ada: Person) -> None:
    ada.models('register')
    ada.train(91)
    ada.models('register')
    ada.commit('both')
    ada.git('switch', '-q', '-c', 'side')
    ada.models('promote', 'digits@v1', 'prod')
    ada.commit('side')
    ada.git('switch', '-q', 'main')
    ada.models('promote', 'digits@v2', 'prod')
    ada.commit('main')
    ada.git('merge', '-q', '--no-edit', 'side')
    said = ada.models('list')
    assert 'prod?' in said.out and 'nobody has decided yet' in said.err
    refused = ada.models('get', 'digits@prod', 'there', code=5).err
    assert 'v1 by Ada' in refused and 'v2 by Ada' in refused and not ada.exists('there')
    assert ada.models('verify', code=1).out
    for to in ('v1', 'v2'):  # whoever's clock was ahead
        ada.models('rollback', 'digits', 'prod', '--to', to)
        shutil.rmtree(ada.path / '.mlops/models/digits/aliases/prod')
        ada.git('checkout', '-q', '--', '.')
    ada.models('promote', 'digits@v2', 'prod')
    assert ada.models('get', 'digits@prod', 'there', '--json').json['version'] == 'v2'
    assert 'sound' in ada.models('verify').out


def test_promoted_anew_where_it_no_longer_stands(ada: Person, ben: Person) -> None:
    ada.models('register')
    ada.models('promote', 'digits@v1', 'prod')
    with_policy(ada, 'models: {digits: {prod: {approvals: 1}}}\n')
    sync(ada)
    sync(ben)
    assert 'promote it again' in ben.models('get', 'digits@prod', 'there', code=5).err
    time.sleep(1.0)  # what is of the same second is not after it
    ben.models('approve', 'digits@v1', 'prod')
    assert 'from after the promotion' in ben.models('get', 'digits@prod', 'there', code=5).err
    assert 'promoted digits v1' in ben.models('promote', 'digits@v1', 'prod').out
    assert 'unchanged' in ben.models('promote', 'digits@v1', 'prod').out
    assert 'sound' in ben.models('verify').out


def test_an_alias_that_is_misspelt_is_told(ada: Person, ben: Person) -> None:
    """Nobody asks anything of it, and so nothing else says that nothing came of it."""
    with_policy(ada, 'models: {digits: {prod: {approvals: 1}, "canary-*": {approvals: 1}}}\n')
    ada.models('register')
    sync(ada)
    sync(ben)
    assert 'no policy asks anything of prdo: did you mean prod?\n' in ben.models('approve', 'digits@v1', 'prdo').out
    assert 'of stagging (models: in .mlops/config.yaml)\n' in ben.models('promote', 'digits@v1', 'stagging').out
    assert 'did you mean stagging?' in ben.models('promote', 'digits@v1', 'staging').out
    assert 'did you mean' not in ben.models('promote', 'digits@v1', 'stagging').out  # that is one by now
    assert 'no policy' not in ben.models('approve', 'digits@v1', 'prod').out


def test_a_rollback_by_hand_is_no_way_back(ada: Person) -> None:
    """To a version that nobody ever promoted."""
    ada.models('register')
    ada.train(91)
    ada.models('register')
    ada.models('promote', 'digits@v1', 'canary')
    with Root(str(ada.path)) as root:
        model = Models(root).all['digits']
    (first,) = model.of_kind('promotion')
    other = next(one for one in model.numbered if one.number == 2)
    by_hand = replace(first, version=other.digest, decision='rollback')
    behind = replace(first, follows=(by_hand.digest,))
    (ada.path / first.file).unlink()
    for one in (by_hand, behind):
        ada.write(one.file, one.encoded)
    assert 'by a promotion' in ada.models('rollback', 'digits', 'canary', code=2).err


def test_a_check_that_was_added_later_can_count(ada: Person) -> None:
    with_policy(ada, 'models: {digits: {prod: {checks: [sane]}}}\n')
    ada.models('register')
    assert 'unchanged' in ada.models('register').out
    assert 'sane had not passed' in ada.models('promote', 'digits', 'prod', code=1).err
    text = (ada.path / 'pipeline.yaml').read_text()
    ada.write('pipeline.yaml', f'{text}  sane:\n    cmd: mlops gate "best.json:accuracy < 1"\n    deps: [best.json]\n')
    ada.do('run', '-q')
    assert 'digits v2' in ada.models('register').out
    assert 'unchanged' in ada.models('register').out
    ada.models('promote', 'digits', 'prod')


def test_tags_notes_and_groups(ada: Person) -> None:
    ada.models('register')
    ada.models('tag', 'digits', 'use-case=ocr')
    ada.models('tag', 'digits@v1', 'baseline', 'paper')
    assert 'unchanged' in ada.models('tag', 'digits@v1', 'paper').out
    ada.models('tag', 'digits@v1', 'paper', '--remove')
    assert ada.models('tag', 'digits', 'use-case=digits', '--json').json['tags'] == ['use-case=digits']
    (row,) = ada.models('list', '--tag', 'use-case=digits', '--json').json['rows']
    assert row['tags'] == 'baseline' and row['use_case'] == 'digits' and row['metric.accuracy'] == 0.9
    assert not ada.models('list', '--tag', 'use-case=ocr', '--json').json['rows']
    assert ada.models('list', '--uses', 'in.csv', '--json').json['rows']
    assert 'No model fits' in ada.models('list', '--uses', 'x').out
    ada.models('note', 'digits@v1', 'weak on sevens\nwith a bar')
    shown = ada.models('show', 'digits').out
    assert 'weak on sevens' in shown and 'baseline' in shown and 'in.csv' in shown and 'validate' in shown
    assert ada.models('show', 'digits', '--json').json['changed'] == []
    ada.train(93)
    ada.models('register')
    assert ada.models('show', 'digits', '--json').json['changed'] == ['params.yaml']
    assert 'and changes to params.yaml' in ada.models('show', 'digits').out
    assert 'is no tag' in ada.models('tag', 'digits', 'a b;c', code=2).err


def test_gc_keeps_what_a_version_holds_and_push_sends_it(ada: Person, ben: Person) -> None:
    runs = {*(ada.path / '.mlops/runs').rglob('*.json')}
    ada.train(93)
    ada.models('register')
    version = next((ada.path / '.mlops/models/digits/versions').iterdir())
    for record in ((ada.path / '.mlops/stages').glob('*.json'), {*(ada.path / '.mlops/runs').rglob('*.json')} - runs):
        for path in record:  # what else would hold it
            path.unlink()
    for name in ('best.bin', 'best.json', 'data'):
        (ada.path / name).unlink()
    (ada.path / '.mlops/local/index-v1.sqlite').unlink()  # which knows what was placed
    ada.do('gc', '--grace', '0', '--yes')
    ada.models('get', 'digits@v1', 'kept')
    ada.commit('only a version')
    ada.do('push')
    ada.git('push', '-q', 'origin', 'HEAD:main')
    ben.git('pull', '-q', 'origin', 'main')
    ben.models('get', 'digits@v1', 'there')
    assert (ben.path / 'there/best.bin').read_bytes() == (ada.path / 'kept/best.bin').read_bytes() == b'a,1\nmodel 93\n'
    # and it was the version that held it
    digits = json.loads(version.read_text())['model'][1].removeprefix('blake3:')
    held = ada.path / '.mlops/cache/objects-v1' / digits[:2] / digits[2:]
    assert held.exists()
    ada.git('reset', '-q', '--hard', 'HEAD~1')
    ada.git('update-ref', '-d', 'refs/remotes/origin/main')
    ada.git('reflog', 'expire', '--expire=now', '--all')
    ada.do('gc', '--grace', '0', '--yes')
    assert not held.exists()


def test_a_folder_is_a_model_too(ada: Person) -> None:
    ada.write(
        'pipeline.yaml',
        'version: 1\nstages:\n  fit:\n    cmd: mkdir -p net/deep && echo 1 > net/a && echo 2 > net/deep/b\n    outs: [net]\n'
        '    model: {name: net, path: net}\n',
    )
    ada.do('run', '-q')
    ada.models('register')
    row = ada.models('list', 'net', '--json').json['rows'][0]
    lines = subprocess.run(
        'find . -type f | sed s,^./,, | LC_ALL=C sort | xargs sha256sum | sha256sum', shell=True, cwd=ada.path / 'net',
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert lines.split()[0] == row['sha256']
    ada.models('get', 'net@v1', 'there')
    assert (ada.path / 'there/net/deep/b').read_text() == '2\n'
    assert 'sound' in ada.models('verify').out and 'net' in ada.models('card', 'net').out


def test_keys_and_policies_count_as_the_shared_branch_has_them(ada: Person, ben: Person) -> None:
    """Who cannot push to main can neither bring a key nor take a policy away, be it on a branch or on a main of their own."""
    keys = ada.path.parent / 'keys'
    keys.mkdir()
    for name in ('ada', 'ben'):
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(keys / name)], check=True)
    with_policy(ada, 'models: {"*": {prod: {approvals: 1, signed: true}}}\n')
    ada.write('.mlops/trust', f'ada@example.org {(keys / "ada.pub").read_text()}')
    sync(ada)
    sync(ben)
    ada.models('register', '--key', str(keys / 'ada'))
    sync(ada)
    sync(ben)
    assert 'this one would not count: it is not signed' in ben.models('approve', 'digits', 'prod', code=5).err
    for place in ('main', 'side'):
        ben.git('switch', '-q', '-C', place)
        ben.write('.mlops/trust', f'ben@example.org {(keys / "ben.pub").read_text()}')
        ben.commit('trust me')
        assert 'would not count' in ben.models('approve', 'digits', 'prod', '--key', str(keys / 'ben'), code=5).err
        ben.write('.mlops/config.yaml', '')
        ben.commit('no policy')
        assert 'has 0 of 1 approval' in ben.models('promote', 'digits', 'prod', code=5).err
    ben.git('switch', '-q', '-C', 'main', 'origin/main')
    text = (ada.path / '.mlops/trust').read_text()
    ada.write('.mlops/trust', f'{text}ben@example.org namespaces="mlops-model" {(keys / "ben.pub").read_text()}')
    sync(ada)
    sync(ben)
    ben.models('approve', 'digits', 'prod', '--key', str(keys / 'ben'))
    sync(ben)
    sync(ada)
    ada.git('config', 'user.signingKey', str(keys / 'ada'))
    assert 'signed promotions' in ada.models('promote', 'digits', 'prod', code=5).err
    ada.models('promote', 'digits', 'prod', '--sign')
    assert ada.models('get', 'digits@prod', 'there', '--json').json['signed'] is True
    assert 'cannot sign' in ada.models('promote', 'digits', 'x', '--key', 'nowhere', code=2).err


def test_names_and_numbers_that_somebody_pushed(ada: Person) -> None:
    """A branch of theirs stops nobody from registering; a tag does not take the place of a model."""
    ada.git('switch', '-q', '-c', 'side')
    for name in ('v1000000-9cc492e4.json', 'v9999999-9cc492e4.json'):
        ada.write(f'.mlops/models/digits/versions/{name}', 'x')
    ada.commit('far')
    ada.git('tag', 'digits@v1')
    ada.git('switch', '-q', 'main')
    assert 'digits v1' in ada.models('register').out
    assert 'may be a model' in ada.do('reproduce', 'digits@v1', code=5).err
    with Root(str(ada.path)) as root:
        (one,) = Models(root).all['digits'].numbered
    late = Fact('tag', 'digits', None, one.who, iso(LATEST), text='paper')
    ada.write(late.file, late.encoded)
    ada.models('tag', 'digits', 'baseline')
    assert f'git rm {late.file}' in ada.models('tag', 'digits', 'paper', '--remove', code=5).err


def test_a_number_that_another_branch_has_is_not_given_again(ada: Person, ben: Person) -> None:
    ada.models('register')
    ada.git('switch', '-q', '-c', 'side')
    ada.commit('v1 on a branch')
    ada.git('tag', '-a', 'annotated', '-m', 'x')
    ada.git('push', '-q', 'origin', 'side', 'annotated')
    ada.git('switch', '-q', 'main')
    ada.train(91)
    assert 'digits v2' in ada.models('register').out  # v1 is here, though not on this branch
    ben.git('fetch', '-q')
    ben.train(92)
    assert 'digits v2' in ben.models('register').out  # v1 is on a branch of the remote; of Ada's v2 nobody knows yet
