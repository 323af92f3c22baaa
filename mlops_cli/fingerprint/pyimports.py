"""What one Python source imports, as it stands written: names only, nothing is looked up and nothing is run."""
from __future__ import annotations

import ast
import re
import warnings

from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.parsing import SOURCE_LIMIT, parse
from mlops_cli.fingerprint.pyfacts import Facts, Import

# What makes a look at every expression worth its time; most sources have none of these.
_CALLS_MAY_IMPORT = pattern(
    rb'import_module|__import__|run_path|run_module|spec_from_file_location|FileLoader|load_source|load_module|sys\.path'
    rb'|addsitedir|exec\s*\(|sys\.executable|hydra|pydoc|resolve_name|syspath|from sys import')

# Calls that load code by a name or path of their first argument: (module, function) -> whether that is a dotted module.
_LOADERS: dict[tuple[str, str], bool] = {
    ('importlib', 'import_module'): True,
    ('builtins', '__import__'): True,
    ('runpy', 'run_module'): True,
    ('runpy', 'run_path'): False,
    ('importlib.util', 'spec_from_file_location'): False,
    ('importlib.machinery', 'SourceFileLoader'): False,
    ('importlib.machinery', 'SourcelessFileLoader'): False,
    ('importlib.machinery', 'ExtensionFileLoader'): False,
    ('imp', 'load_source'): False,
    ('imp', 'load_module'): False,
    ('pydoc', 'locate'): False,
    ('pkgutil', 'resolve_name'): False,
    ('hydra.utils', 'instantiate'): False,
    ('hydra.utils', 'call'): False,
    ('hydra.utils', 'get_class'): False,
    ('hydra.utils', 'get_method'): False,
    ('hydra.utils', 'get_object'): False,
}
_LOADER_MODULES = frozenset(module for module, _ in _LOADERS)
_MOST_STATEMENTS = 10_000
_IMPORT = pattern(rb'^[ \t]*(?:import[ \t]+[^\n;]+|from[ \t]+[\w.]+[ \t]+import[ \t]*(?:\([^()]*\)|[^\n;(]+))', re.M)
_STARTERS = pattern(rb'\bsubprocess\b|\bPopen\b|\bos\.(?:system|exec|spawn|posix_spawn|popen)|create_subprocess')


def facts_of_large(source: bytes) -> Facts:
    """Of a source that is too large to be parsed: what the lines import that begin with it.  A ``problem`` says so."""
    statements = dict.fromkeys(found[0].strip() for found in _IMPORT.finditer(source))
    found: dict[Import, None] = {}
    for statement in [*statements][:_MOST_STATEMENTS]:
        found.update(dict.fromkeys(facts_of(statement).imports))
    problem = f'it is larger than {SOURCE_LIMIT >> 20} MiB, so only lines that begin with an import were read'
    return Facts(imports=tuple(found), problem=problem)


def facts_of(source: bytes | str) -> Facts:
    """What a source imports.  One that this interpreter cannot parse gives no imports and its ``problem``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # escapes and literals of other people's code are not ours to judge
            tree = parse(source)
    except SyntaxError as error:
        return Facts(problem=f'line {error.lineno}: {error.msg}' if error.lineno else error.msg)
    except (ValueError, RecursionError, MemoryError) as error:
        return Facts(problem=str(error) or 'it is nested too deeply')
    data = source if isinstance(source, bytes) else source.encode('utf-8', 'replace')
    reader = _Reader(skips_typing=b'TYPE_CHECKING' in data and not re.search(rb'TYPE_CHECKING\s*=(?!=|\s*False\b)', data))
    reader.statements(tree.body)
    if _CALLS_MAY_IMPORT.search(data):
        _CallReader(reader).read(tree)
        if b'sys.executable' in data and _STARTERS.search(data):
            line = data[:data.index(b'sys.executable')].count(b'\n') + 1
            reader.dynamic.append((line, 'may start python again (sys.executable)'))
    exports = _exports(tree) if b'__all__' in data else ()
    extends = b'extend_path' in data or b'declare_namespace' in data
    return Facts(tuple(dict.fromkeys(reader.imports)), tuple(sorted(set(reader.dynamic))), exports, reader.path_line, extends)


class _Reader:
    """Import statements, wherever in a source they stand; those under ``if TYPE_CHECKING`` never run."""

    def __init__(self, *, skips_typing: bool) -> None:
        self.imports: list[Import] = []
        self.dynamic: list[tuple[int, str]] = []
        self.path_line = 0
        self.skips_typing = skips_typing

    def statements(self, body: list[ast.stmt]) -> None:
        waiting: list[ast.stmt] = body[::-1]
        while waiting:
            node = waiting.pop()
            kind = type(node)
            if kind is ast.Import:
                self.imports += [(alias.name, 0, ()) for alias in node.names]  # type: ignore[attr-defined]
            elif kind is ast.ImportFrom:
                assert isinstance(node, ast.ImportFrom)
                self.imports.append((node.module or '', node.level, tuple(alias.name for alias in node.names)))
            elif kind in _LEAVES:
                continue
            else:
                waiting += self.inside(node)[::-1]

    def inside(self, node: ast.stmt) -> list[ast.stmt]:
        if self.skips_typing and isinstance(node, ast.If):
            test = node.test
            if _is_typing(test):
                return node.orelse
            if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and _is_typing(test.operand):
                return node.body
        found: list[ast.stmt] = []
        for field in ('body', 'orelse', 'finalbody'):
            found += getattr(node, field, ())
        for each in (*getattr(node, 'handlers', ()), *getattr(node, 'cases', ())):
            found += each.body
        return found


_LEAVES = frozenset((ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Raise, ast.Assert, ast.Delete,
                     ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal))


def _is_typing(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == 'TYPE_CHECKING') or (
        isinstance(node, ast.Attribute) and node.attr == 'TYPE_CHECKING' and isinstance(node.value, ast.Name))


class _CallReader:
    """Calls that import, and changes of ``sys.path``."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.names: dict[str, str] = {'__import__': 'builtins.__import__', 'exec': 'builtins.exec'}  # as bound -> dotted

    def read(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition('.')[0]
                    self.names[bound] = alias.name if alias.asname else bound
            elif isinstance(node, ast.ImportFrom) and not node.level:
                self.names.update({alias.asname or alias.name: f'{node.module}.{alias.name}' for alias in node.names})
        for node in nodes:
            if isinstance(node, ast.Call):
                self.call(node)
            elif isinstance(node, ast.Attribute | ast.Name) and self.dotted(node) in ('sys.path', 'site.addsitedir'):
                self.reader.path_line = min(self.reader.path_line or node.lineno, node.lineno)

    def dotted(self, node: ast.expr) -> str:
        """The dotted name an expression stands for, empty if it is none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ''
        return '.'.join((self.names.get(node.id, node.id), *reversed(parts)))

    def call(self, node: ast.Call) -> None:
        name = self.dotted(node.func)
        module, _, function = name.rpartition('.')
        if name == 'builtins.exec':
            if any(self.reads_file(each) for argument in node.args[:1] for each in ast.walk(argument)):
                self.note(node, 'runs the text of a file (exec)')
            return
        if (module, function) not in _LOADERS:
            if function not in ('import_module', 'spec_from_file_location', 'run_path'):
                return
            module = next(known for known, each in _LOADERS if each == function)  # through a name we do not know
        argument = node.args[0] if node.args else next(
            (each.value for each in node.keywords if each.arg in ('name', 'mod_name', 'path_name')), None)
        if _LOADERS[module, function] and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            self.constant(node, function, argument.value)
        else:
            self.note(node, f'loads code by a name that is known only when it runs ({function})')

    def constant(self, node: ast.Call, function: str, name: str) -> None:
        level = len(name) - len(name.lstrip('.'))
        keywords = {each.arg: each.value for each in node.keywords}
        if not level:
            wanted = _strings(keywords.get('fromlist', node.args[3] if len(node.args) > 3 else None)) or []
            self.reader.imports.append((name, 0, ('__main__',) if function == 'run_module' else tuple(wanted)))
            return
        package = keywords.get('package', node.args[1] if len(node.args) > 1 else None)
        if isinstance(package, ast.Name) and package.id in ('__package__', '__name__', '__spec__'):
            self.reader.imports.append((name[level:], level, ()))
        elif isinstance(package, ast.Constant) and isinstance(package.value, str):
            base = package.value.split('.')
            kept = base[:len(base) - level + 1]
            self.reader.imports.append(('.'.join([*kept, name[level:]]), 0, ()))
        else:
            self.note(node, f'loads code by a name that is known only when it runs ({function})')

    def reads_file(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and (
            self.dotted(node.func) == 'open'
            or (isinstance(node.func, ast.Attribute) and node.func.attr in ('open', 'read', 'read_text', 'read_bytes')))

    def note(self, node: ast.Call, what: str) -> None:
        self.reader.dynamic.append((node.lineno, what))


def _exports(tree: ast.Module) -> tuple[str, ...] | None:
    """The names of ``__all__``: of all its constant lists; None if something else makes it."""
    found: list[str] = []
    for node in tree.body:
        value: ast.expr | None = None
        targets = node.targets if isinstance(node, ast.Assign) else (
            [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else [])
        call = node.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
        if any(_is_all(target) for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
            value = node.value
        elif call and isinstance(call.func, ast.Attribute) and _is_all(call.func.value) and call.args:
            value = ast.List([call.args[0]], ast.Load()) if call.func.attr == 'append' else call.args[0]
        else:
            continue
        names = _strings(value)
        if names is None:
            return None
        found += names
    return tuple(found)


def _is_all(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == '__all__'


def _strings(node: ast.expr | None) -> list[str] | None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _strings(node.left), _strings(node.right)
        return None if left is None or right is None else left + right
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return None
    values = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return values if len(values) == len(node.elts) else None


