"""What of single stages is wrong or worth knowing.  Stages with the same to say are told together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from mlops_cli.checks.doctor.facts import Facts, Finding
from mlops_cli.core.units import plural, show_seconds, show_size

What = TypeVar('What')
HUGE_OUTPUT = 10_000_000_000  # bytes
CLOCK_SLACK = 120.0  # seconds
SHOWN = 4


def programs(facts: Facts) -> Iterator[Finding]:
    for program, stages in _together((stage.program, stage.name) for stage in facts.stages if stage.program):
        fix = 'activate the environment that has it, or install it; where it is on PATH: command -v'
        if program == 'python':
            fix = 'activate an environment, or write python3'
        yield Finding(
            'programs', 'wrong', f'{program} is not found, which {_names(stages)} would start', fix, _where(facts, stages)
        )


def environments(facts: Facts) -> Iterator[Finding]:
    found = (((lock, folder), stage.name) for stage in facts.stages for lock, folder in stage.locks)
    for (lock, folder), stages in _together(found):
        fix = f'python3 -m venv {folder} && {folder}/bin/pip install -r {lock}'
        if lock.endswith('uv.lock'):
            fix = 'uv sync'
        elif folder.endswith('.conda'):
            fix = f'conda env create -p {folder} -f {lock}, or activate the one that you have'
        text = f'{_names(stages)} name the environment of {lock}, and there is no {folder}'
        yield Finding('environments', 'note', text, fix, _where(facts, stages))


def machine(facts: Facts) -> Iterator[Finding]:
    for stage in facts.stages:
        if stage.refused is not None:
            yield Finding('machine', 'note', stage.refused.message, stage.refused.hint, str(stage.refused.where or ''))
    for why, stages in _together((stage.unmeasured, stage.name) for stage in facts.stages if stage.unmeasured):
        text = f'what {_names(stages)} {"does" if len(stages) == 1 else "do"} with GPUs is not measured: {why}'
        yield Finding('machine', 'note', text, 'does the linker find the driver? ldconfig -p | grep libnvidia-ml')


def code(facts: Facts) -> Iterator[Finding]:
    for sentence, stages in _together((sentence, stage.name) for stage in facts.stages for sentence in stage.unknown):
        text = f'code of {_names(stages)} is not known in full: {sentence}'
        yield Finding('code', 'note', text, 'list it: code: [FILE, FOLDER/]', _where(facts, stages))


def declared(facts: Facts) -> Iterator[Finding]:
    for folder, stages in _together((folder, stage.name) for stage in facts.stages for folder in stage.named):
        text = f'the command of {_names(stages)} names the folder {folder}, declared nowhere: a change in it is not noticed'
        fix = f'deps: [{folder}], if it is read; outs: [{folder}], if it is made'
        yield Finding('declared', 'note', text, fix, _where(facts, stages))


def overlaps(facts: Facts) -> Iterator[Finding]:
    found = (((folder, path, maker), stage.name) for stage in facts.stages for folder, path, maker in stage.around)
    for (folder, path, maker), stages in _together(found):
        text = (
            f'{_names(stages)} read all of {folder}, in which {maker} makes {path}: they wait for it, and any file there counts'
        )
        yield Finding('overlaps', 'note', text, f'deps: [{path}], if that is what is read', _where(facts, stages))


def inputs(facts: Facts) -> Iterator[Finding]:
    for path, stages in _together((path, stage.name) for stage in facts.stages for path in stage.pointers):
        text = f'{path}, which {_names(stages)} read, is only a pointer of Git LFS'
        yield Finding('inputs', 'wrong', text, f'git lfs pull --include {path}')


def huge(facts: Facts) -> Iterator[Finding]:
    for stage in facts.stages:
        for path, size in stage.big.items():
            if size >= HUGE_OUTPUT:
                text = (
                    f'{path}, an output of {stage.name}, has {show_size(size)}: each version of it takes that much in the cache'
                )
                yield Finding('huge-outputs', 'note', text, 'cut it into files (unchanged ones are kept once), or keep less')


def clock(facts: Facts) -> Iterator[Finding]:
    ahead = {path: seconds for stage in facts.stages for path, seconds in stage.future.items() if seconds > CLOCK_SLACK}
    if ahead:
        path, seconds = max(ahead.items(), key=lambda one: one[1])
        more = f' and {plural(len(ahead) - 1, "other file")}' if len(ahead) > 1 else ''
        text = f'{path}{more} changed {show_seconds(seconds)} in the future: it is read again by every command'
        yield Finding('clock', 'note', text, f'set the clock right; then touch {path}')


def _together(pairs: Iterator[tuple[What, str]]) -> list[tuple[What, list[str]]]:
    found: dict[What, list[str]] = {}
    for what, stage in pairs:
        found.setdefault(what, []).append(stage)
    return list(found.items())


def _names(stages: list[str]) -> str:
    return ', '.join(stages[:SHOWN]) + (f' and {plural(len(stages) - SHOWN, "more stage")}' if len(stages) > SHOWN else '')


def _where(facts: Facts, stages: list[str]) -> str:
    return next((stage.where for stage in facts.stages if stage.name == stages[0]), '')
