"""Writes the pages that follow from the program itself: ``python docs/generate.py``."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from mlops_cli import __version__, yamlfile
from mlops_cli.cli import exits, helping, manual
from mlops_cli.cli import tree as known
from mlops_cli.cli.completion import grammar
from mlops_cli.pipeline.load import SCHEMA_FILE
from mlops_cli.pipeline.manual import page
from mlops_cli.records.config import VARIABLES

ROOT = Path(__file__).resolve().parent.parent


def tree() -> grammar.Node:
    """All commands with all their parameters."""
    return grammar.node(typer.main.get_command(known.app), 'mlops')


def helps() -> str:
    """The help of every command, as wide as it gets."""
    root: Any = typer.main.get_command(known.app)
    found = []

    def add(command: Any, above: Any, words: list[str]) -> None:
        settings = {**command.context_settings, 'terminal_width': helping.WHOLE - 2}
        with command.context_class(command, parent=above, info_name=words[-1], **settings) as ctx:
            found.append('\f' + ' '.join(words) + '\n' + command.get_help(ctx) + '\n')
            for name in command.list_commands(ctx) if hasattr(command, 'list_commands') else ():
                add(command.get_command(ctx, name), ctx, [*words, name])

    add(root, None, ['mlops'])
    return ''.join(found)


def variables(commands: grammar.Node) -> list[tuple[str, str]]:
    """(name, what it is) of every variable that stands for an option or a setting."""
    found = {name: f'The setting {setting}.' for setting, name in VARIABLES.items()}
    for params in (commands['params'], *(of['params'] for _, of in grammar.walk(commands))):
        for one in params:
            if one['variable']:
                found.setdefault(one['variable'], f'The option {one["names"][-1]}.')
    found['NO_COLOR'] = 'Set to anything: no colours.'
    return sorted(found.items())


def schemas_page() -> str:
    """docs/schemas/README.md."""
    folder = ROOT / 'docs' / 'schemas'
    titles = {path.name: json.loads(path.read_text())['title'] for path in sorted(folder.glob('*.json'))}
    rows = [f'| [{name}]({name}) | {title} |' for name, title in titles.items()]
    return '\n'.join([SCHEMAS, '| file | of |', '|---|---|', *rows, ''])


SCHEMAS = """\
# What commands print with --json

<!-- The list is written by docs/generate.py from the schemas. -->

With `--json` a command prints one document and nothing else. Each has a [JSON Schema](https://json-schema.org/draft/2020-12)
(draft 2020-12), against which the tests hold what the commands really print. A document names its own: `mlops/runs-list/v1`
is `runs-list.v1.json`.

A field keeps its meaning within a version. New fields may come in new releases, so a program should pass over those that it
does not know; what goes or changes makes a `v2` beside the `v1`. Lists of runs, metrics and the like are
`{"schema", "rows": [flat objects]}`:

```sh
mlops runs list --json | jq -r '.rows[] | [.run, .ended, .seconds] | @tsv'
```

```python
rows = json.loads(subprocess.check_output(['mlops', 'runs', 'list', '--json']))['rows']
pandas.DataFrame(rows)
```

What goes wrong is a document too, `error.v1.json`, with the [exit code](../exit-codes.md) in it.
"""


def schema() -> dict[str, Any]:
    """pipeline.schema.yaml."""
    name = 'pipeline.schema.yaml'
    found: dict[str, Any] = yamlfile.read((ROOT / name).read_bytes(), name).value
    return found


def made() -> dict[str, str]:
    """Path from the repository's root -> what has to stand there."""
    commands = tree()
    schemas = {path.name for path in (ROOT / 'docs' / 'schemas').glob('*.json')}
    short = json.dumps(grammar.compact(commands), ensure_ascii=False, separators=(',', ':'))
    meanings = {int(code): f'{text[:1].upper()}{text[1:]}.' for code, text in exits.MEANING.items()}
    return {
        'docs/cli.md': manual.markdown(commands, schemas),
        'docs/schemas/README.md': schemas_page(),
        'docs/man/mlops.1': manual.man(commands, __version__, meanings, variables(commands)),
        'docs/pipeline.md': page(schema()),
        'mlops_cli/cli/completion/grammar.json': f'{short}\n',
        f'mlops_cli/cli/{helping.FILE}': helps(),
        f'mlops_cli/pipeline/{SCHEMA_FILE}': json.dumps(schema(), ensure_ascii=False, indent=1) + '\n',
    }


def write(folder: Path) -> None:
    for name, text in made().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == '__main__':
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
