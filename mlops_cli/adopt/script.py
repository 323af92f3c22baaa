"""A first stage for a script that is there: what it reads and writes, as far as the script itself names it.

Read as text, never run.  A name that is put together at run time is not guessed at."""

from __future__ import annotations

import ast
import json
import re
import warnings

from mlops_cli.adopt.arguments import required, shown
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import check_path
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.parsing import parse
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root

LIMIT = 1 << 20  # bytes of a script
_PATH_FIRST_WRITES = frozenset(
    (
        'to_csv',
        'to_parquet',
        'to_json',
        'to_pickle',
        'to_feather',
        'to_excel',
        'to_html',
        'to_markdown',
        'savefig',
        'savetxt',
        'savez',
        'savez_compressed',
        'save_model',
        'save_pretrained',
        'write_image',
        'write_html',
        'write_csv',
        'write_parquet',
        'write_ndjson',
        'sink_parquet',
        'imwrite',
    )
)
_PATH_FIRST_READS = frozenset(
    (
        'read_csv',
        'read_parquet',
        'read_json',
        'read_pickle',
        'read_feather',
        'read_excel',
        'read_table',
        'scan_csv',
        'scan_parquet',
        'loadtxt',
        'genfromtxt',
        'load',
        'imread',
        'from_csv',
        'load_model',
    )
)
_PATH_SECOND_WRITES = frozenset(('dump', 'save'))  # joblib.dump(model, path), torch.save(state, path)
_PATH_WRITES = frozenset(('write_text', 'write_bytes'))
_PATH_READS = frozenset(('read_text', 'read_bytes'))
_STAGE_NAME = pattern(r'[^A-Za-z0-9_.-]+')
_WORDS = frozenset(('true', 'false', 'null', 'yes', 'no', 'on', 'off', 'y', 'n'))  # no text, to some readers of YAML
_KNOWN = '.py, .sh, .R and .jl are known'
_PICTURES = ('.png', '.svg', '.jpg', '.jpeg')
# Tables that people draw, by what they are usually called.
_DRAWN = pattern(
    r'(?:^|[/_.-])(?:loss|losses|accuracy|curve|curves|learning|history|confusion|roc|pr|calibration|residuals|plot|plots)'
    r'(?:[_.-][^/]*)?\.(?:csv|tsv|jsonl)$'
)


@dataclass(frozen=True, slots=True)
class Guess:
    """Project-relative paths.  ``reads`` are there; ``writes`` may not be.  ``needs``: options and arguments without a default,
    which the command lacks yet."""

    script: str
    stage: str
    command: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(path for path in self.writes if path.endswith('.json') and re.search('metric|score|result', path.lower()))

    @property
    def plots(self) -> tuple[str, ...]:
        return tuple(p for p in self.writes if p.endswith(_PICTURES) or p.startswith('plots/') or _DRAWN.search(p))

    @property
    def outs(self) -> tuple[str, ...]:
        return tuple(path for path in self.writes if path not in self.metrics and path not in self.plots)

    def yaml(self) -> str:
        """The pipeline with this one stage."""
        return f'version: 1\nstages:\n{self.stage_yaml()}'

    def stage_yaml(self, indent: int = 2) -> str:
        """The stage alone, as it stands below ``stages:``."""
        lines = [f'{_quoted(self.stage)}:', f'    cmd: {_quoted(self.command)}']
        if self.needs:
            lines.insert(1, f'    # It has no default for {shown(self.needs)}: add that to the command.')
        for key, paths in (('deps', self.reads), ('outs', self.outs), ('metrics', self.metrics), ('plots', self.plots)):
            if paths:
                lines.append(f'    {key}: [{", ".join(map(_quoted, paths))}]')
        if not self.writes:
            lines.append('    # outs: [model.bin]    # what it writes: list it here, so that it is kept and restored')
        return ''.join(f'{" " * indent}{line.removeprefix("  ")}\n' for line in lines)


def _quoted(text: str) -> str:
    plain = re.fullmatch(r'[A-Za-z][\w ./@+-]*(?<! )', text, re.ASCII) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def guess(root: Root, script: str) -> Guess:
    """Raises UserError where the script is not there, or is none that could be started."""
    try:
        script = check_path(script)
        data = read_file(root, script, LIMIT)
    except ValueError as error:
        raise UserError(f'{script[:200]}: {error}', hint='name a script inside the project') from error
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UserError(f'there is no script {script}', hint='name a file, relative to the project') from error
    stage = _STAGE_NAME.sub('-', script.rpartition('/')[2].partition('.')[0]).strip('-.') or 'stage'
    script = f'./{script}' if script.startswith('-') else script
    word = script if re.fullmatch(r'[\w./+-]+', script) else "'" + script.replace("'", "'\\''") + "'"
    if script.endswith('.py'):
        tree = _tree(data)
        if tree is None:
            return Guess(script, stage, f'python3 {word}')
        reads, writes = _of_python(tree)
        there = tuple(path for path in reads if path not in writes and root.stat(path) is not None)
        made = tuple(path for path in writes if path != script)
        return Guess(script, stage, f'python3 {word}', there, made, required(tree))
    runner = {'sh': 'sh', 'R': 'Rscript', 'jl': 'julia'}.get(script.rpartition('.')[2])
    if runner is None:
        hint = f'jupyter nbconvert --to script {word}, then the file it makes' if script.endswith('.ipynb') else _KNOWN
        raise UserError(f'{script} is no script that can be told how to start', hint=hint)
    return Guess(script, stage, f'{runner} {word}')


def _tree(data: bytes) -> ast.Module | None:
    """None where this interpreter cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _of_python(tree: ast.Module) -> tuple[list[str], list[str]]:
    """(what it reads, what it writes), as it names them, each once."""
    found = _Calls(_constants(tree))
    found.visit_all(tree)
    return list(dict.fromkeys(found.reads)), list(dict.fromkeys(found.writes))


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the module sets once, at its top."""
    found: dict[str, ast.expr] = {}
    twice: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            twice |= {name} & found.keys()
            found[name] = node.value
    return {name: value for name, value in found.items() if name not in twice}


@dataclass
class _Calls:
    constants: dict[str, ast.expr]
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)

    def visit_all(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._call(node)

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            if function.id == 'open' and node.args:
                self._open(node.args[0], node.args[1:2], node)
            return
        if not isinstance(function, ast.Attribute):
            return
        name = function.attr
        if name in _PATH_WRITES:
            self._add(self.writes, function.value)
        elif name in _PATH_READS:
            self._add(self.reads, function.value)
        elif name == 'open' and not isinstance(function.value, ast.Name):
            self._open(function.value, node.args[:1], node)
        elif name in _PATH_SECOND_WRITES and len(node.args) > 1 and self._path(node.args[1]):
            self._add(self.writes, node.args[1])
        elif node.args and name in _PATH_FIRST_WRITES | {'save'}:
            self._add(self.writes, node.args[0])
        elif node.args and name in _PATH_FIRST_READS:
            self._add(self.reads, node.args[0])

    def _open(self, path: ast.expr, modes: list[ast.expr], node: ast.Call) -> None:
        mode = next((keyword.value for keyword in node.keywords if keyword.arg == 'mode'), modes[0] if modes else None)
        if mode is None:
            self._add(self.reads, path)
        elif isinstance(mode, ast.Constant) and isinstance(mode.value, str):
            self._add(self.writes if set(mode.value) & set('wax') else self.reads, path)

    def _add(self, to: list[str], node: ast.expr) -> None:
        if path := self._path(node):
            to.append(path)

    def _path(self, node: ast.expr, depth: int = 0) -> str:
        """The path that an expression is for certain; else empty."""
        text = self._text(node, depth)
        try:
            return '' if not text or '://' in text or check_path(text) == '.' else check_path(text)
        except ValueError:
            return ''

    def _text(self, node: ast.expr, depth: int) -> str:
        if depth > 20:
            return ''
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else ''
        if isinstance(node, ast.Name) and node.id in self.constants:
            return self._text(self.constants[node.id], depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left, right = self._text(node.left, depth + 1), self._text(node.right, depth + 1)
            return f'{left}/{right}' if left and right else ''
        if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
            return self._text(node.args[0], depth + 1) if name in ('Path', 'PurePath') else ''
        return ''
