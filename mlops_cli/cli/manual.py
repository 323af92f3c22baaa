"""The reference of the command line, as Markdown and as a manual page.  Made from the grammar alone: values in, text out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from textwrap import wrap

from mlops_cli.cli.completion.grammar import Node, groups, walk
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import plural

_EXAMPLE = pattern(r'^Examples?:\s*')
_COMMENT = pattern(r'\s{3,}.*$')


def examples(of: Node) -> list[str]:
    """The command lines that a command's help shows, without the words beside them."""
    found, inside = [], False
    for line in of['help'].splitlines():
        if start := _EXAMPLE.match(line.strip()):
            inside, line = True, line.strip()[start.end() :]
        if inside and line.strip().startswith('mlops '):
            found.append(_COMMENT.sub('', line.strip()))
        elif inside and not line.strip():
            inside = False
    return found


def about(of: Node) -> list[str]:
    """What a command's help says, paragraph by paragraph, without the examples."""
    text, _, _ = re.split(r'(?m)^\s*(Examples?):', of['help'] + '\nExample:', maxsplit=1)
    return [' '.join(part.split()) for part in text.strip().split('\n\n') if part.strip()]


def usage(path: Iterable[str], of: Node) -> str:
    """``mlops logs [OPTION]... STAGE``."""
    arguments = [one['takes'] for one in of['params'] if not one['names']]
    return ' '.join(['mlops', *path, '[OPTION]...', *arguments])


def everywhere(tree: Node) -> frozenset[str]:
    """Names of the options that every command takes, and that mlops takes in front of it."""
    names = [{name for one in of['params'] for name in one['names']} for of in (tree, *(of for _, of in walk(tree)))]
    return frozenset(set.intersection(*names))


def own_options(of: Node, shared: Collection[str]) -> list[Node]:
    """The options that not every command takes."""
    return [one for one in of['params'] if one['names'] and not any(name in shared for name in one['names'])]


def written(param: Node) -> str:
    """``-j, --jobs N``."""
    names = ', '.join(sorted(param['names'], key=lambda name: name.startswith('--')))
    return f'{names} {param["takes"]}'.rstrip()


def codes(of: Node) -> list[tuple[int, str]]:
    """What a command ends with, from its last words."""
    text = ' '.join(of['epilog'].split()).partition('Exit codes: ')[2].rstrip('.')
    return [(int(code), meaning) for code, meaning in re.findall(r'(\d+) (.+?)(?=, \d+ |$)', text)]


# Markdown


def markdown(tree: Node, schemas: Collection[str]) -> str:
    """docs/cli.md.  ``schemas``: names of files in docs/schemas."""
    lines = [
        '# Command line',
        '',
        '<!-- Written by docs/generate.py from the commands themselves: edit those. -->',
        '',
        'Every command with every option, its default, its variable and its exit codes. What they print, in a session:',
        '[Commands](commands.md). The same in a terminal: `mlops COMMAND -h`, `man mlops`.',
        '',
        *_contents(tree),
        '',
        '## Options of every command',
        '',
        'Before the command or behind it; `--version` and completion stand alone.',
        '',
        *_table(one for one in tree['params'] if one['names']),
        '| `-h`, `--help` | | what the command takes, an example, its exit codes |',
    ]
    shared = everywhere(tree)
    for path, of in _sections(tree):
        lines += ['', *_section(path, of, schemas, shared)]
    return '\n'.join(lines) + '\n'


def _sections(tree: Node) -> list[tuple[tuple[str, ...], Node]]:
    """Commands in order, each group in front of its own."""
    found: list[tuple[tuple[str, ...], Node]] = []
    heads = dict(groups(tree))
    for path, of in walk(tree):
        for length in range(1, len(path)):
            if path[:length] in heads:
                found.append((path[:length], heads.pop(path[:length])))
        found.append((path, of))
    return found


def _contents(tree: Node) -> list[str]:
    lines = ['| command | |', '|---|---|']
    for path, of in _sections(tree):
        name = ' '.join(path)
        lines.append(f'| [`{name}`](#mlops-{"-".join(path)}) | {_cell(_first(of))} |')
    return lines


def _first(of: Node) -> str:
    """The first sentence, without its full stop."""
    paragraphs = about(of)
    return re.split(r'(?<=[^.])\.(?:\s|$)', paragraphs[0], maxsplit=1)[0] if paragraphs else ''


def _section(path: tuple[str, ...], of: Node, schemas: Collection[str], shared: Collection[str]) -> list[str]:
    title = f'## mlops {" ".join(path)}' if len(path) == 1 else f'### mlops {" ".join(path)}'
    lines = [title, '']
    for paragraph in about(of):
        lines += [_text(paragraph), '']
    if 'commands' in of:
        names = ', '.join(f'[`{one["name"]}`](#mlops-{"-".join((*path, one["name"]))})' for one in of['commands'])
        return [*lines, f'{plural(len(of["commands"]), "command")}: {names}.']
    lines += ['```', usage(path, of), *(f'  {line}' for line in examples(of)), '```', '']
    rows = [one for one in of['params'] if not one['names']] + own_options(of, shared)
    if rows:
        lines += [*_table(rows), '']
    file = f'{"-".join(path)}.v1.json'
    if file in schemas:
        lines += [f'JSON: [`mlops/{"-".join(path)}/v1`](schemas/{file}).', '']
    return [*lines, 'Ends with ' + ', '.join(f'{code} {_text(meaning)}' for code, meaning in codes(of)) + '.']


def _table(params: Iterable[Node]) -> list[str]:
    lines = ['| | default, variable | |', '|---|---|---|']
    for one in params:
        name = ', '.join(f'`{part}`' for part in (written(one) if one['names'] else one['takes']).split(', '))
        beside = [f'`{one["default"]}`'] if one['default'] and 'Default:' not in one['help'] else []
        beside += [f'`{one["variable"]}`'] if one['variable'] else []
        beside += ['may be repeated'] if one['names'] and one['repeated'] else []
        lines.append(f'| {_pipes(name)} | {", ".join(beside)} | {_cell(one["help"])} |')
    return lines


def _text(text: str) -> str:
    """Text in which names keep their underscores, stars and brackets."""
    return re.sub(r'(?<![`\w])(--?[a-z][\w-]*|[\w./*@-]*[_*][\w./*@-]*|<[\w-]+>)(?![`\w])', r'`\1`', text)


def _cell(text: str) -> str:
    return _pipes(_text(text))


def _pipes(text: str) -> str:
    return text.replace('|', '\\|')


# A manual page


def man(tree: Node, version: str, meanings: Mapping[int, str], variables: Iterable[tuple[str, str]]) -> str:
    """docs/man/mlops.1.  ``meanings``: of exit codes.  ``variables``: (name, what it is)."""
    lines = [
        '.\\" Written by docs/generate.py from the commands themselves: edit those.',
        f'.TH MLOPS 1 "" "mlops {_roff(version)}" "User Commands"',
        '.SH NAME',
        'mlops \\- reproducible machine learning pipelines',
        '.SH SYNOPSIS',
        '.B mlops',
        '.RI [ OPTION ]... " COMMAND " [ ARGUMENT ]...',
        '.SH DESCRIPTION',
        *_paragraphs(about(tree)),
        '.SH OPTIONS',
        'Every command takes these, in front of it or behind it.',
        *_entries(one for one in tree['params'] if one['names']),
        '.SH COMMANDS',
    ]
    shared = everywhere(tree)
    for path, of in walk(tree):
        lines += _command(path, of, shared)
    lines += ['.SH EXIT STATUS', *(line for code, text in meanings.items() for line in _entry(str(code), text))]
    lines += ['.SH ENVIRONMENT', *(line for name, text in variables for line in _entry(name, text))]
    lines += ['.SH FILES', *(line for name, text in FILES.items() for line in _entry(name, text))]
    lines += ['.SH SEE ALSO', '.BR git (1),', '.BR make (1)']
    return '\n'.join(lines) + '\n'


FILES = {
    'pipeline.yaml': 'The stages.',
    'params.yaml': 'Their parameters.',
    '.mlops/': 'Records, which git keeps; below cache/ and local/ what it does not.',
    '.mlops/config.yaml': 'Settings of the team.',
    '.mlops/config.local.yaml': 'Settings of this person in this checkout.',
    '~/.config/mlops/config.yaml': 'Settings of this person in all projects.',
}


def _command(path: tuple[str, ...], of: Node, shared: Collection[str]) -> list[str]:
    lines = [f'.SS {_roff(usage(path, of))}', *_paragraphs(about(of))]
    lines += _entries([one for one in of['params'] if not one['names']] + own_options(of, shared))
    if shown := examples(of):
        lines += ['.PP', 'Example:', '.PP', '.nf', '.RS 4', *map(_roff, shown), '.RE', '.fi']
    return lines


def _paragraphs(texts: Iterable[str]) -> list[str]:
    """Each but the first behind a break: a heading makes its own."""
    return [line for number, text in enumerate(texts) for line in (*(['.PP'] if number else []), *_wrapped(text))]


def _wrapped(text: str) -> list[str]:
    return [_roff(line) for line in wrap(text, 72, break_long_words=False, break_on_hyphens=False)]


def _entries(params: Iterable[Node]) -> list[str]:
    return [line for one in params for line in _entry(written(one) if one['names'] else one['takes'], _described(one))]


def _described(param: Node) -> str:
    more = f' Default: {param["default"]}.' if param['default'] and 'Default:' not in param['help'] else ''
    variable = f' Variable: {param["variable"]}.' if param['variable'] else ''
    return f'{param["help"]}{more}{variable}'


def _entry(name: str, text: str) -> list[str]:
    return ['.TP', f'.B {_roff(name)}', *_wrapped(text)]


def _roff(text: str) -> str:
    found = text.replace('\\', '\\e').replace('-', '\\-').replace('"', '\\(dq')
    found = ''.join(one if one.isascii() else f'\\[u{ord(one):04X}]' for one in found)
    return f'\\&{found}' if found.startswith(('.', "'")) else found
