"""What a JSON Schema validator found, as sentences with places.  Knows the schema's words, not the validator."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.scalars import kind

Path = Sequence[str | int]

# What other tools call these things -> what to say to people who are used to that.
_ELSEWHERE = {
    'command': 'it is called cmd here', 'run': 'it is called cmd here', 'script': 'it is called cmd here',
    'shell': 'it is called cmd here', 'args': 'it is called argv here', 'entrypoint': 'it is called argv here',
    'inputs': 'it is called deps here', 'input': 'it is called deps here', 'dependencies': 'it is called deps here',
    'sources': 'it is called deps here', 'outputs': 'it is called outs here', 'output': 'it is called outs here',
    'targets': 'it is called outs here', 'artifacts': 'a stage names its model with model: {name, path}',
    'depends_on': 'it is called needs here, or list the outputs that are read under deps', 'after': 'it is called needs here',
    'cwd': 'it is called wdir here', 'workdir': 'it is called wdir here', 'directory': 'it is called wdir here',
    'working_directory': 'it is called wdir here', 'description': 'it is called desc here', 'doc': 'it is called desc here',
    'parameters': 'it is called params here', 'hyperparameters': 'it is called params here',
    'variables': 'it is called vars here, and variables of the environment env',
    'retries': 'it is called retry here', 'cpu': 'resources: {cpus: ...}', 'cpus': 'resources: {cpus: ...}',
    'memory': 'resources: {memory: ...}', 'gpu': 'resources: {gpus: ...}', 'gpus': 'resources: {gpus: ...}',
    'gpu_memory': 'resources: {gpu_memory: ...}',
    'threads': 'resources: {cpus: ...}', 'conda': 'environment: {conda: environment.yml}',
    'lock': 'it is called mutex here', 'strategy': 'it is called matrix here', 'for': 'it is called foreach here',
    'datasets': 'data that no stage makes is tracked by mlops add',
    'push': 'it is a setting of an output: outs: [{PATH: {push: false}}]',
    'remote': 'it is a setting of an output: outs: [{PATH: {remote: NAME}}]',
    'live': 'list the file under metrics or plots',
}
_STAGE_KEYS = ('cmd', 'deps', 'outs', 'params', 'metrics', 'plots')
_SETTINGS = ('cache', 'persist', 'desc', 'push', 'remote', 'primary', 'goals', 'tolerance', 'x', 'y', 'title', 'template')
_BOUNDS = ('minimum', 'maximum', 'exclusiveMinimum', 'pattern', 'minLength')
_NO_TEXT = ('a list', 'a mapping', 'a number', 'a whole', 'true', 'a time', 'a size', '1,')
_STAGE = 'a mapping with at least cmd'
_FLAGS = {'yes': 'true', 'on': 'true', 'y': 'true', 'no': 'false', 'off': 'false', 'n': 'false'}
_NAMED = {'stages': 'a stage', 'resources': 'a resource', 'matrix': 'an axis'}


class Kind(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Any: ...


class Violation(Protocol):
    """As jsonschema-rs has it.  ``kind.value`` of anyOf: for each branch, its violations."""

    @property
    def kind(self) -> Kind: ...
    @property
    def instance_path(self) -> Sequence[str | int]: ...
    @property
    def schema_path(self) -> Sequence[str | int]: ...
    @property
    def instance(self) -> Any: ...


GUESSES = 200  # keys of which it is looked what was meant; no more mistakes are shown


class Teller:
    """``locate``: a path in the checked value -> its place, with the second argument of its key.
    ``about``: what each sentence starts with, such as ``stage train: ``; a path -> that."""

    def __init__(self, schema: Mapping[str, Any], locate: Callable[[Path, bool], Where], about: Callable[[Path], str]) -> None:
        self.schema = schema
        self.locate = locate
        self.about = about
        self._guessed = 0

    def tell(self, violations: Sequence[Violation]) -> list[UserError]:
        """All of them as errors, without those that another one explains."""
        found = [error for violation in violations for error in self._one(violation)]
        unique = {(error.where, error.message): error for error in found}
        return list(unique.values())

    def _one(self, violation: Violation) -> Iterator[UserError]:
        path, value = violation.instance_path, violation.kind.value
        match violation.kind.name:
            case 'additionalProperties':
                for key in value:
                    yield self._unknown(path, key, violation)
            case 'required':
                yield self._error(path, f'the key {str(value).strip(chr(34))} is missing', key=True)
            case 'propertyNames':
                yield self._name(path, value)
            case 'oneOf':
                yield from self._command(path, violation)
            case 'anyOf':
                yield from self._any(violation)
            case 'enum' | 'const':
                yield self._wrong(violation, _choice(violation.instance, _options([violation])))
            case _:
                yield self._wrong(violation)

    def _error(self, path: Path, message: str, hint: str = '', *, key: bool = False, at: Path | None = None) -> UserError:
        return UserError(f'{self.about(path)}{message}', hint=hint, where=self.locate(path if at is None else at, key))

    def _unknown(self, path: Path, key: str, violation: Violation) -> UserError:
        known = list(self._schema_at(violation.schema_path[:-1]).get('properties', ()))
        hint = _ELSEWHERE.get(key, '') if not {'cmd', 'stages'}.isdisjoint(known) else ''
        if not hint and known and self._guessed < GUESSES:
            self._guessed += 1
            hint = did_you_mean(key, known, what='keys here')
        if path == [] and key in _STAGE_KEYS:
            hint = f'indent it: {key} belongs to a stage, under stages:'
        return self._error([*path, key], f'unknown key "{_short(key)}"', hint, key=True)

    def _name(self, path: Path, violation: Any) -> UserError:
        key = violation.instance
        hint = '"@" is for the instances of a matrix' if path[-1] == 'stages' and '@' in str(key) else ''
        message = (f'"{_short(str(key))}" cannot name {_NAMED.get(str(path[-1]), "anything")}: it has to be '
                   f'{self._expects(violation.schema_path[:-1])}')
        return self._error([*path, key] if path[-1] != 'stages' else path, message, hint, key=True, at=[*path, key])

    def _command(self, path: Path, violation: Violation) -> Iterator[UserError]:
        """The only oneOf there is: cmd or argv."""
        stage = violation.instance
        if not isinstance(stage, Mapping):
            return
        if 'cmd' in stage:
            hint = 'keep one: argv starts a program without a shell'
            yield self._error([*path, 'argv'], 'it has both cmd and argv', hint, key=True)
        elif not any(_means_command(key) for key in stage):
            yield self._error(path, 'it has neither cmd nor argv', 'say what to run: cmd: python train.py', key=True)

    def _any(self, violation: Violation) -> Iterator[UserError]:
        """Of several forms, what is wrong in the one that was meant; if none is like it, what they all are."""
        depth = len(violation.instance_path)
        branches = [branch for branch in violation.kind.value
                    if branch and not any('template' in one.schema_path or one.kind.name == 'falseSchema' for one in branch)]
        meant = [branch for branch in branches
                 if not any(len(one.instance_path) == depth and one.kind.name in ('type', 'const', 'enum') for one in branch)]
        if len(meant) != 1:
            options = [word for branch in branches for word in _options(branch)]
            yield self._wrong(violation, _choice(violation.instance, options))
            return
        if all(len(one.instance_path) == depth and one.kind.name in _BOUNDS for one in meant[0]):
            yield self._wrong(violation)
            return
        for one in meant[0]:
            yield from self._one(one)

    def _wrong(self, violation: Violation, hint: str = '') -> UserError:
        path, value = violation.instance_path, violation.instance
        expects = self._expects(violation.schema_path[:-1])
        if len(path) > 2 and isinstance(path[-2], int) and path[-3] in ('outs', 'metrics', 'plots') and path[-1] in _SETTINGS:
            # "- model.bin:" with "cache: false" below it that is not indented enough: a path called cache
            message = f'"{path[-1]}" stands where a path is expected'
            return self._error(path, message, 'indent it further, below its path', key=True)
        if list(path) == ['params'] and isinstance(value, list):  # as in dvc.yaml
            hint = 'one file here; the keys of others in the stages, as params: [{other.yaml: [train.lr]}]'
        hint = hint or _mend(value, expects)
        return self._error(path, f'{_subject(path)} has to be {expects}, not {_shown(value)}', hint)

    def _schema_at(self, path: Path) -> Mapping[str, Any]:
        found: Any = self.schema
        for step in path:
            found = found[step]
        return found if isinstance(found, Mapping) else {}

    def _expects(self, path: Path) -> str:
        """The words of the nearest schema around that has some."""
        path = list(path)
        while path:
            if words := self._schema_at(path).get('expects'):
                return str(words)
            path.pop()
        return str(self.schema['expects'])


def _options(violations: Sequence[Violation]) -> list[str]:
    """The words that would have been right."""
    values = [one.kind.value for one in violations if one.kind.name in ('enum', 'const')]
    return [word for value in values for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]


def _choice(value: Any, options: list[str]) -> str:
    hint = did_you_mean(value, options, what='write one of') if isinstance(value, str) else ''
    return hint if len(options) > 1 or hint.startswith('did you mean') else ''


def _means_command(key: str) -> bool:
    said = _ELSEWHERE.get(key) or did_you_mean(key, ('cmd', 'argv'))
    return said.startswith(('it is called cmd', 'it is called argv', 'did you mean'))


def _subject(path: Path) -> str:
    """``gpus``; for an item of a list, ``an entry of deps``."""
    if not path:
        return 'the file'
    if isinstance(path[-1], int):
        name = next((step for step in reversed(path) if isinstance(step, str)), 'the list')
        return f'an entry of {_short(name)}'
    if len(path) == 2 and path[0] == 'stages':
        return 'a stage'
    return _short(path[-1])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{_short(value)}"' if value else 'empty'
    if isinstance(value, list | dict) and not value:
        return f'an empty {"list" if isinstance(value, list) else "mapping"}'
    if isinstance(value, dict):
        return _short(f'a mapping with {", ".join(map(str, value))}')
    if value is None:
        return 'empty'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return _short(str(value)) if isinstance(value, int | float) else kind(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + '...'


def _mend(value: Any, expects: str) -> str:
    """What to do about a value of the wrong form, '' where nothing helps more than the sentence itself."""
    if value is None:
        return ('remove the ":", or indent its settings further' if expects == 'a mapping of settings'
                else 'give it a value, or remove it')
    if expects.startswith('a list of') and isinstance(value, str) and value:
        return f'write [{_short(", ".join(value.split()) if "words" in expects else value)}]'
    if expects.startswith('a list of') and isinstance(value, dict) and value:
        return 'put it into a list: [{...}]'
    if isinstance(value, str):
        return _mend_text(value, expects)
    if isinstance(value, bool | int | float) and not expects.startswith(_NO_TEXT):
        return f'quote it if it is meant: "{_shown(value)}"'
    return ''


def _mend_text(value: str, expects: str) -> str:
    if expects == 'true or false' and value.casefold() in _FLAGS:
        return f'write {_FLAGS[value.casefold()]}: in YAML 1.2 "{value}" is text'
    if expects == _STAGE and value:
        return f'write {{cmd: {_short(value)}}}'
    return 'write it without quotes' if expects.startswith(('a number', 'a whole', '1,')) and value.isdigit() else ''
