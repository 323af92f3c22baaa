"""The facts about single stages, from what is declared and found; no command is run."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping

from mlops_cli.checks.doctor.facts import StageFacts
from mlops_cli.checks.doctor.gather_own import seen
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import ancestors, check_path, inside
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.environment import HOME_OF, variables
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.pipeline.spec import Stage
from mlops_cli.run.capacity import Machine, refusal
from mlops_cli.run.hosts import refusal as refused_there
from mlops_cli.run.machine import machine
from mlops_cli.run.request import ANY, Routes
from mlops_cli.run.workbench import Workbench

POINTER = b'version https://git-lfs.github.com/spec/'
POINTER_SIZE = 1024  # bytes that none of them has more than
STAGES_LIMIT = 2000
WORDS_LIMIT = 20_000  # characters of a command
_ASSIGNED = pattern(r'[A-Za-z_]\w*=')
_PLAIN = pattern(r'[\w./@%+:,~-]+')
# They are the shell's own, or what they name is made by them.
_SHELL = frozenset(
    [
        *('alias', 'break', 'case', 'cd', 'command', 'continue', 'do', 'done', 'echo', 'elif', 'else', 'esac', 'eval', 'exec'),
        *('exit', 'export', 'false', 'fi', 'for', 'if', 'printf', 'pwd', 'read', 'return', 'set', 'shift', 'source', 'test'),
        *('then', 'time', 'times', 'trap', 'true', 'type', 'ulimit', 'umask', 'unset', 'until', 'wait', 'while'),
        *('.', ':', '[', '{', '}', '!'),
    ]
)
_NAMES_NOTHING = _SHELL | {'mkdir', 'rm', 'rmdir', 'ls', 'touch'}


def look(bench: Workbench, now: float) -> tuple[StageFacts, ...]:
    """Raises UserError where an input cannot be read."""
    routes = Routes(bench)
    here = _here(bench, routes)
    order, nested, lacking = bench.order[:STAGES_LIMIT], _nested(bench), _unmeasured(here)
    return tuple(_one(bench, bench.drafts[name], now, routes, here, lacking, nested) for name in order)


def _here(bench: Workbench, routes: Routes) -> Machine:
    stages = (bench.pipeline.stages[name] for name in bench.order)
    gpus = any(stage.resources.gpus and not routes.named(stage) for stage in stages)
    try:
        return machine(bench.config.tokens, bench.environ, gpus=gpus)
    except UserError:  # told by a run that needs one
        return machine(bench.config.tokens, bench.environ)


def _unmeasured(here: Machine) -> str:
    if not here.cards:
        return ''
    from mlops_cli.usage import gpu

    try:
        gpu.opened()
    except gpu.Failed as error:
        return str(error)
    return ''


def _one(
    bench: Workbench,
    draft: Draft,
    now: float,
    routes: Routes,
    here: Machine,
    lacking: str,
    nested: Mapping[str, list[tuple[str, str]]],
) -> StageFacts:
    stage = draft.stage
    host = routes.of(stage)
    environ = variables(stage.environment, bench.root.path, bench.environ)
    return StageFacts(
        stage.name,
        str(stage.places.get('cmd', stage.where)),
        draft.unknown,
        _refusal(stage, host, here, routes),
        lacking if stage.resources.gpus and not host else '',
        _missing_program(bench, stage, environ),
        tuple(_named_folders(bench, draft)),
        dict(_sizes(bench, stage)),
        tuple(_environments(bench, stage)) if not host else (),  # a host makes it
        tuple(_around(nested, stage)),
        tuple(path for path in draft.inputs if _is_pointer(bench, path)),
        dict(_ahead(bench, draft, now)),
    )


def _refusal(stage: Stage, host: str, here: Machine, routes: Routes) -> UserError | None:
    """Where hosts are unknown that a run would ask, nobody can tell."""
    if host == ANY and routes.chooser.unseen:
        return None
    return refused_there(stage, host, here, routes) if host else refusal(stage, here)


def simple_commands(stage: Stage) -> Iterator[list[str]]:
    """The words of each simple command, as far as they can be told without running a shell."""
    if stage.command.kind == 'argv':
        yield list(stage.command.words)
        return
    for line in '\n'.join(stage.command.words)[:WORDS_LIMIT].splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        to_file = False
        try:
            for word in lexer:
                if to_file:
                    to_file = False
                elif set(word) <= set('<>&') and set(word) & set('<>'):
                    to_file = True  # what is read or written there is not a word of the command
                elif set(word) <= set('();<>|&'):
                    yield words
                    words = []
                else:
                    words.append(word)
        except ValueError:  # quotes that end on another line
            return
        yield words


def _missing_program(bench: Workbench, stage: Stage, environ: Mapping[str, str]) -> str:
    """The first program that cannot be started; empty if all can, or it cannot be told."""
    for words in simple_commands(stage):
        rest = [word for word in words if not _ASSIGNED.match(word)] if stage.command.kind == 'shell' else words
        program = rest[0] if rest else ''
        if not program or program in _SHELL or not _PLAIN.fullmatch(program) or program.startswith('~'):
            continue
        if '/' in program:
            path = os.path.join(bench.root.path, stage.wdir, program)
            if not os.path.lexists(path) and not _made(bench, stage, program):
                return program
        elif shutil.which(program, path=environ.get('PATH', os.defpath)) is None:
            return program
        if stage.command.kind == 'shell' and words and words[0] in ('cd', 'set', 'export'):
            return ''
    return ''


def _made(bench: Workbench, stage: Stage, program: str) -> bool:
    try:
        return bench.describer.maker_of(check_path(os.path.normpath(os.path.join(stage.wdir, program)))) is not None
    except ValueError:
        return True


def _named_folders(bench: Workbench, draft: Draft) -> Iterator[str]:
    stage = draft.stage
    declared = [dep.value for dep in stage.deps if dep.kind != 'stage'] + [output.path for output in stage.outputs]
    declared += [*stage.code.paths, *stage.caches, *([stage.checkpoint] if stage.checkpoint else []), *draft.inputs]
    seen = set()
    for words in simple_commands(stage):
        if not words or words[0] in _NAMES_NOTHING:
            continue
        for word in words[1:]:
            text = word.rpartition('=')[2] if word.startswith('-') else word
            path = _folder(bench, stage, text)
            if path and path not in seen and not any(inside(path, one) or inside(one, path) for one in declared):
                seen.add(path)
                yield path


def _folder(bench: Workbench, stage: Stage, text: str) -> str:
    """The folder of the project that a word names; empty if it names none that is there."""
    if not text or not _PLAIN.fullmatch(text) or text.startswith('-'):
        return ''
    try:
        path = check_path(os.path.normpath(os.path.join(stage.wdir, text)))
    except ValueError:
        return ''
    status = seen(bench.root, path) if path != '.' else None
    return path if status is not None and os.path.isdir(bench.root.full(path)) else ''


def _sizes(bench: Workbench, stage: Stage) -> Iterator[tuple[str, int]]:
    for output in stage.outputs:
        ref = bench.workspace.ref(output.path, ignore=False)
        if ref is not None:
            yield output.path, ref.size


def _environments(bench: Workbench, stage: Stage) -> Iterator[tuple[str, str]]:
    if stage.environment is not None and stage.environment.path:
        folder = os.path.join(os.path.dirname(stage.environment.path), HOME_OF[stage.environment.kind])
        if stage.environment.kind == 'conda' and bench.environ.get('CONDA_PREFIX'):
            return  # whoever has activated one means that
        mark = 'conda-meta' if stage.environment.kind == 'conda' else 'bin/python'
        if not os.path.exists(os.path.join(bench.root.full(folder), mark)):
            yield stage.environment.path, folder


def _nested(bench: Workbench) -> dict[str, list[tuple[str, str]]]:
    """Folder -> (output in it, its maker)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, maker in bench.describer.makers.items():
        for folder in ancestors(path):
            found.setdefault(folder, []).append((path, maker))
    return found


def _around(nested: Mapping[str, list[tuple[str, str]]], stage: Stage) -> Iterator[tuple[str, str, str]]:
    """Folders that it reads as a whole, though another stage makes only a part of each."""
    for dep in stage.deps:
        for path, maker in nested.get(dep.value, ()) if dep.kind == 'path' else ():
            if maker != stage.name:
                yield dep.value, path, maker


def _is_pointer(bench: Workbench, path: str) -> bool:
    status = seen(bench.root, path)
    if status is None or not 0 < status.st_size <= POINTER_SIZE:
        return False
    try:
        fd = bench.root.open(path)
    except (OSError, UserError):
        return False
    try:
        return os.read(fd, len(POINTER)) == POINTER
    finally:
        os.close(fd)


def _ahead(bench: Workbench, draft: Draft, now: float) -> Iterator[tuple[str, float]]:
    for path in draft.inputs:
        status = seen(bench.root, path)
        if status is not None and status.st_mtime > now:
            yield path, status.st_mtime - now
