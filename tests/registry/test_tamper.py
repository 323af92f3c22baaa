"""What somebody changed behind the registry's back is not handed out: bytes, files, names, signatures, links, policies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.models import Fact, Person, Version, decode
from mlops_cli.ssh import sign
from tests.registry import conftest
from tests.support.project import Project, Result

POLICY = 'models: {digits: {prod: {approvals: 1, signed: true, gates: ["best.json:accuracy >= 0.9"]}}}\n'
Tamper = Callable[['Forger'], None]


def introduced(project: Project, name: str) -> None:
    project.git('config', 'user.name', name)
    project.git('config', 'user.email', f'{name.lower()}@example.org')


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """v1 holds prod and staging, signed by Ada and Ben; v2 is there; Eve has a key that nobody trusts."""
    folder = tmp_path_factory.mktemp('tamper')
    for name in ('ada', 'ben', 'eve'):
        key = str(folder / name)
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', key], check=True)
    project = Project(folder / 'project')
    project.init_git()
    project.write('pipeline.yaml', conftest.PIPELINE)
    project.write('train.sh', conftest.TRAIN)
    project.write('in.csv', 'a,1\n')
    project.write('.mlops/config.yaml', POLICY)
    keys = [f'{name}@example.org {(folder / f"{name}.pub").read_text()}' for name in ('ada', 'ben')]
    project.write('.mlops/trust', ''.join(keys))
    introduced(project, 'Ada')
    for score in (95, 96):
        project.write('params.yaml', f'score: {score}\n')
        project.mlops('run', '-q')
        project.mlops('models', 'register', '--key', str(folder / 'ada'))
        project.commit(f'score {score}')  # the policy and the keys count from the first one on
    introduced(project, 'Ben')
    project.mlops('models', 'approve', 'digits@v1', 'prod', '--key', str(folder / 'ben'))
    project.mlops('models', 'approve', 'digits@v1', 'staging', '--key', str(folder / 'ben'))
    introduced(project, 'Ada')
    project.mlops('models', 'promote', 'digits@v1', 'prod', '--key', str(folder / 'ada'))
    project.mlops('models', 'promote', 'digits@v1', 'staging')
    project.commit('promoted')
    return project


class Forger(conftest.Person):
    """A copy of that project, in the hands of somebody who may write every file in it, but has no key that counts."""

    def one(self, pattern: str) -> Path:
        (found,) = (self.path / '.mlops/models/digits').glob(pattern)
        return found

    def version(self, number: int = 1) -> tuple[Path, Version]:
        path = self.one(f'versions/v{number}-*.json')
        found = self.read_of(path)
        assert isinstance(found, Version)
        return path, found

    def fact(self, pattern: str) -> tuple[Path, Fact]:
        path = self.one(pattern)
        found = self.read_of(path)
        assert isinstance(found, Fact)
        return path, found

    @property
    def promotion(self) -> tuple[Path, Fact]:
        return self.fact('aliases/prod/*.json')

    @property
    def approval(self) -> tuple[Path, Fact]:
        for path in (self.path / '.mlops/models/digits/approvals').iterdir():
            found = self.read_of(path)
            if isinstance(found, Fact) and found.alias == 'prod':
                return path, found
        raise AssertionError('no approval')

    def read_of(self, path: Path) -> Version | Fact:
        return decode(path.read_bytes(), path.relative_to(self.path).as_posix())

    def put(self, one: Version | Fact, instead: Path | None = None) -> None:
        """As mlops would have written it: with the right name."""
        if instead is not None:
            instead.unlink()
        self.write(one.file, one.encoded)

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    @property
    def object(self) -> Path:
        digits = self.version()[1].ref.digest.hex
        found = self.path / '.mlops/cache/objects-v1' / digits[:2] / digits[2:]
        found.chmod(0o644)
        return found

    def stored(self, content: bytes) -> ObjectRef:
        """Another object in the cache, in order."""
        digits = digest_of(content).hex
        self.write(f'.mlops/cache/objects-v1/{digits[:2]}/{digits[2:]}', content)
        return ObjectRef(Digest(digits), len(content), 'file')

    def key(self, name: str) -> str:
        return os.environ['MLOPS_TEST_KEYS'] + f'/{name}'

    def signed(self, one: Version | Fact, name: str) -> Version | Fact:
        return replace(one, signature=sign(one.signed_part, self.key(name), 'mlops-model'))

    def forge_all(self, name: str = '') -> None:
        """Another model under the name of the first one, approved and promoted, all of it consistent; signed by ``name``."""
        path, version = self.version()
        evil = replace(version, ref=self.stored(b'evil'), sha256=hashlib.sha256(b'evil').hexdigest(), signature='')
        evil = self.signed(evil, name) if name else evil
        assert isinstance(evil, Version)
        self.put(evil, path)
        path, approval = self.approval
        approval = replace(approval, version=evil.digest, signature='')
        approval = self.signed(approval, name) if name else approval
        self.put(approval, path)
        path, promotion = self.promotion
        promotion = replace(promotion, version=evil.digest, approvals=(approval.digest,), signature='')
        self.put(self.signed(promotion, name) if name else promotion, path)
        shutil.rmtree(self.path / '.mlops/models/digits/aliases/staging')
        for path in (self.path / '.mlops/models/digits/approvals').iterdir():
            one = self.read_of(path)
            if isinstance(one, Fact) and one.alias == 'staging':
                path.unlink()


@pytest.fixture
def forger(template: Project, tmp_path: Path, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Forger:
    shutil.copytree(template.path, tmp_path / 'project', symlinks=True)
    monkeypatch.setenv('MLOPS_TEST_KEYS', str(template.path.parent))
    return Forger(tmp_path / 'project', 'Eve', call)


def linked(path: Path, target: Path) -> None:
    shutil.move(path, target)
    path.symlink_to(target)


def elsewhere(forger: Forger) -> Path:
    return forger.path.parent / 'elsewhere'


def _object(change: Callable[[Path], object]) -> Tamper:
    return lambda forger: (change(forger.object), None)[1]


def _of(forger: Forger, what: str) -> tuple[Path, Version | Fact]:
    return forger.version() if what == 'version' else forger.promotion if what == 'promotion' else forger.approval


def _in_place(what: str, old: str, new: str) -> Tamper:
    def tamper(forger: Forger) -> None:
        forger.edit(_of(forger, what)[0], old, new)

    return tamper


def _renamed(what: str, **changes: object) -> Tamper:
    """Edited, and named as its new content asks."""

    def tamper(forger: Forger) -> None:
        path, one = _of(forger, what)
        forger.put(replace(one, **changes), path)

    return tamper


def _second_tip(forger: Forger) -> None:
    _, promotion = forger.promotion
    _, version = forger.version(2)
    forger.put(replace(promotion, version=version.digest, follows=(promotion.digest,), approvals=(), signature=''))


def _moved_promotion(forger: Forger) -> None:
    path, _ = forger.fact('aliases/staging/*.json')
    forger.promotion[0].unlink()
    shutil.copy(path, path.parents[1] / 'prod' / path.name)


def _own_approval(forger: Forger) -> None:
    path, approval = forger.approval
    forger.put(forger.signed(replace(approval, who=Person('Ada', 'ada@example.org')), 'ada'), path)


def _to_version_two(forger: Forger) -> None:
    path, promotion = forger.promotion
    forger.put(replace(promotion, version=forger.version(2)[1].digest), path)


def _trust_on_a_branch(forger: Forger) -> None:
    forger.git('switch', '-q', '-c', 'side')
    forger.edit(forger.path / '.mlops/trust', 'ada@example.org ', 'ada@example.org,eve@example.org ')
    text = (forger.path / '.mlops/trust').read_text()
    eve = Path(forger.key('eve') + '.pub').read_text()
    forger.write('.mlops/trust', f'{text}ada@example.org,ben@example.org {eve}')
    forger.forge_all('eve')
    forger.commit('trust me')


def _no_policy_on_a_branch(forger: Forger) -> None:
    forger.git('switch', '-q', '-c', 'side')
    forger.write('.mlops/config.yaml', '')
    forger.forge_all()
    forger.commit('who needs policies')


def _path_by_hand(place: str) -> Tamper:
    """Signed, approved and promoted as it must be, by people who were deceived: the path alone is wrong."""

    def tamper(forger: Forger) -> None:
        path, version = forger.version()
        wrong = forger.signed(replace(version, path=place, signature=''), 'ada')
        forger.put(wrong, path)
        path, approval = forger.approval
        agreed = forger.signed(replace(approval, version=wrong.digest, signature=''), 'ben')
        forger.put(agreed, path)
        path, promotion = forger.promotion
        promotion = replace(promotion, version=wrong.digest, approvals=(agreed.digest,), signature='')
        forger.put(forger.signed(promotion, 'ada'), path)
        shutil.rmtree(forger.path / '.mlops/models/digits/aliases/staging')
        for path in (forger.path / '.mlops/models/digits/approvals').iterdir():
            one = forger.read_of(path)
            if isinstance(one, Fact) and one.alias == 'staging':
                path.unlink()
        for path in (forger.path / '.mlops/stages').iterdir():  # with what says that the result has another path
            path.unlink()

    return tamper


def _a_pipe(forger: Forger) -> None:
    path, _ = forger.version()
    path.unlink()
    os.mkfifo(path)


def _of_another_model(forger: Forger) -> None:
    folder = forger.path / '.mlops/models/faces/versions'
    folder.mkdir(parents=True)
    shutil.move(forger.version()[0], folder)


def _own_approval_by_another_name(forger: Forger) -> None:
    path, approval = forger.approval
    forger.put(forger.signed(replace(approval, who=Person('ada@example.org')), 'ada'), path)


def _own_approval_with_the_same_key(forger: Forger) -> None:
    """Whose key is listed for two."""
    trust = forger.path / '.mlops/trust'
    forger.write('.mlops/trust', trust.read_text().replace('ada@example.org ', 'ada@example.org,cleo@example.org '))
    forger.commit('a key for two')
    path, approval = forger.approval
    forger.put(forger.signed(replace(approval, who=Person('Cleo', 'cleo@example.org')), 'ada'), path)


CASES: dict[str, Tamper] = {
    'object: a bit': _object(lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])),
    'object: cut off': _object(lambda path: path.write_bytes(path.read_bytes()[:-1])),
    'object: longer': _object(lambda path: path.write_bytes(path.read_bytes() + b'x')),
    'object: another': _object(lambda path: path.write_bytes(b'evil')),
    'object: gone': _object(lambda path: path.unlink()),
    'object: a link': lambda forger: linked(forger.object, elsewhere(forger)),
    'version: a metric': _in_place('version', '0.95', '0.99'),
    'version: its sha256': lambda forger: forger.edit(forger.version()[0], forger.version()[1].sha256, '0' * 64),
    'version: another object': lambda forger: forger.edit(
        forger.version()[0], forger.version()[1].ref.digest.hex, forger.stored(b'evil').digest.hex
    ),
    'version: its number': _in_place('version', '"number":1', '"number":7'),
    'version: half of it': lambda forger: forger.version()[0].write_bytes(forger.version()[0].read_bytes()[:200]),
    'version: a key twice': _in_place('version', '"branch":', '"branch":"x",\n "branch":'),
    'version: a conflict': _in_place('version', ' "branch":', '<<<<<<< HEAD\n "branch":'),
    'version: gone': lambda forger: forger.version()[0].unlink(),
    'version: a link': lambda forger: linked(forger.version()[0], elsewhere(forger)),
    'version: a pipe': _a_pipe,
    'version: huge': lambda forger: forger.version()[0].write_bytes(b' ' * (2 << 20)),
    'version: in the folder of another model': _of_another_model,
    'version: renamed after a change': _renamed('version', text='better'),
    'version: signature taken away': _renamed('version', signature=''),
    'version: signature emptied in place': lambda forger: forger.edit(
        forger.version()[0], json.dumps(forger.version()[1].signature), '""'
    ),
    'version: a path out of the project': _path_by_hand('../../evil'),
    'version: a path into .git': _path_by_hand('.git/hooks/pre-commit'),
    'version: an absolute path': _path_by_hand('/etc/cron.d/evil'),
    'approval: a word': _in_place('approval', 'Ben', 'Bob'),
    'approval: gone': lambda forger: forger.approval[0].unlink(),
    'approval: of somebody else': _renamed('approval', who=Person('Cleo', 'cleo@example.org')),
    'approval: unsigned': _renamed('approval', signature=''),
    'approval: of the author': _own_approval,
    'approval: of the author by another name': _own_approval_by_another_name,
    'approval: of the author with the same key': _own_approval_with_the_same_key,
    'approval: a link': lambda forger: linked(forger.approval[0], elsewhere(forger)),
    'alias: another version, in place': lambda forger: forger.edit(
        forger.promotion[0], forger.version()[1].digest.hex, forger.version(2)[1].digest.hex
    ),
    'alias: another version, renamed': _to_version_two,
    'alias: unsigned': _renamed('promotion', signature=''),
    'alias: of another alias': _moved_promotion,
    'alias: a further promotion by hand': _second_tip,
    'alias: follows what is not there': _renamed('promotion', follows=(digest_of(b'x'),)),
    'alias: a rollback that never was': _renamed('promotion', decision='rollback'),
    'alias: gone': lambda forger: forger.promotion[0].unlink(),
    'alias: a link': lambda forger: linked(forger.promotion[0], elsewhere(forger)),
    'alias: its folder is a link': lambda forger: linked(forger.promotion[0].parent, elsewhere(forger)),
    'models: a link': lambda forger: linked(forger.path / '.mlops/models', elsewhere(forger)),
    'all of it, unsigned': lambda forger: forger.forge_all(),
    'all of it, signed with a key that nobody trusts': lambda forger: forger.forge_all('eve'),
    'all of it, and the key in the trust of a branch': _trust_on_a_branch,
    'all of it, and the policy gone on a branch': _no_policy_on_a_branch,
}  # fmt: skip


def test_untouched_it_is_handed_out(forger: Forger) -> None:
    assert forger.models('get', 'digits@prod', 'there', '--json').json['signed'] is True
    assert forger.models('verify').out.endswith('sound.\n')
    assert len(CASES) >= 30


def test_a_version_by_hand_is_not_what_its_result_is(forger: Forger) -> None:
    _, version = forger.version()
    evil = replace(version, number=3, ref=forger.stored(b'evil'), sha256=hashlib.sha256(b'evil').hexdigest(), signature='')
    forger.put(evil)
    better = replace(version, number=4, metrics=tuple((file, name, 0.99) for file, name, _ in version.metrics), signature='')
    forger.put(better)
    said = forger.models('verify', code=1).out
    assert 'its result has another best.bin' in said and 'not 0.99' in said
    for name in ('v3', 'v4'):
        assert 'is not what it says' in forger.models('promote', f'digits@{name}', 'canary', code=5).err
        assert 'is not what it says' in forger.models('get', f'digits@{name}', 'there', code=5).err
    assert 'by hand' in forger.do('reproduce', 'digits@v3', code=1).err and not forger.exists('there')


QUICK = (
    'object: a bit', 'version: a metric', 'version: signature taken away', 'version: a path into .git', 'approval: gone',
    'approval: of the author', 'approval: of the author with the same key',
    'alias: another version, renamed', 'alias: its folder is a link', 'all of it, unsigned',
    'all of it, and the key in the trust of a branch',
)  # fmt: skip
UNSEEN = ('alias: gone', 'object: gone', 'object: a link')  # which git tells, or a remote mends


@pytest.mark.parametrize('case', [pytest.param(one, marks=[] if one in QUICK else pytest.mark.full) for one in CASES])
def test_it_is_refused(forger: Forger, case: str) -> None:
    CASES[case](forger)
    if case not in UNSEEN:
        assert forger.models('verify', code=None).code in (1, 5), case
    said = forger.models('get', 'digits@prod', 'there', code=None)
    assert said.code in (1, 2, 5) and said.err.startswith('error: '), said
    assert not forger.exists('there/best.bin') and not forger.exists('evil')


@pytest.mark.full
@pytest.mark.parametrize('case', CASES)
def test_who_only_looks_is_told(forger: Forger, case: str) -> None:
    CASES[case](forger)
    for command in ('list', 'history digits', 'card digits', 'show digits@prod', 'diff digits@v1 digits'):
        said = forger.models(*command.split(), code=None)
        assert said.code in (0, 1, 2, 5) and (said.out or said.err.startswith('error: ')), said
