"""Which part of a file changed, in words."""
from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.fingerprint.pyast import changed_parts, parts
from mlops_cli.fingerprint.pyast_text import sections, serialise
from tests.support.stdlib import sample

BEFORE = b'''"""A model."""
import json

LEARNING_RATE = 0.1
SIZES: list = [1]


def normalise(x):
    """Zero mean."""
    return x - x.mean()


class Net(Base):
    """A net."""
    width = 3

    def forward(self, x):
        """One step."""
        return x

    class Options:
        deep = True

        def show(self):
            pass


def old():
    pass


if __name__ == '__main__':
    old()
'''


def edited(*edits: tuple[bytes, bytes]) -> bytes:
    source = BEFORE
    for old, new in edits:
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def test_parts_have_names() -> None:
    assert list(parts(BEFORE)) == ['<docstring>', '<imports>', 'LEARNING_RATE', 'SIZES', 'normalise', 'Net', 'Net.forward',
                                   'Net.Options', 'Net.Options.show', 'old', '<module>']


def test_a_part_changes_alone() -> None:
    before, after = parts(BEFORE), parts(edited((b'return x\n', b'return -x\n')))
    assert {name for name in before if before[name] != after[name]} == {'Net.forward'}


def test_parts_of_one_name_are_one() -> None:
    source = b'@property\ndef a(): pass\n@a.setter\ndef a(x): pass\n'
    assert list(parts(source)) == ['a']
    assert parts(source)['a'] != parts(source.replace(b'(x)', b'(y)'))['a']
    assert parts(b'x = 1\nx = 2')['x'] != parts(b'x = 2\nx = 1')['x']


def test_parts_do_not_depend_on_where_they_stand() -> None:
    assert parts(b'\n\nimport a\n# moved\ndef f(): pass')['f'] == parts(b'def f():\n\tpass')['f']


def test_parts_of_a_file_cover_it() -> None:
    """Each line of the whole text, but for those of the module and of classes, is in a part."""
    for file in sample(10):
        source = Path(file).read_bytes()
        whole = (serialise(source) or b'').split(b'\n')
        cut = [line for section in sections(source) or () for line in section.text.split(b'\n')]

        def counted(lines: list[bytes]) -> list[bytes]:
            return sorted(line for line in lines if line and not line.startswith((b'Module', b'ClassDef', b'TypeComment')))

        assert counted(whole) == counted(cut)


@pytest.mark.parametrize(('edits', 'phrases'), [
    ([], ()),
    ([(b'import json', b'import json  # comment')], ()),
    ([(b'x - x.mean()', b'x - x.mean(0)')], ('function normalise changed',)),
    ([(b'def normalise', b'async def normalise')], ('function normalise changed',)),
    ([(b'return x\n', b'return -x\n')], ('method Net.forward changed',)),
    ([(b'Net(Base)', b'Net(Other)')], ('class Net changed',)),
    ([(b'width = 3', b'width = 4')], ('class Net changed',)),
    ([(b'deep = True', b'deep = False')], ('class Net.Options changed',)),
    ([(b'import json', b'import json, os')], ('imports changed',)),
    ([(b'import json\n', b'')], ('imports changed',)),
    ([(b'= 0.1', b'= 0.2')], ('constant LEARNING_RATE changed',)),
    ([(b'SIZES: list', b'SIZES: tuple')], ('constant SIZES changed',)),
    ([(b'    old()', b'    old(1)')], ('module-level code changed',)),
    ([(b'def old():', b'def new():')], ('function old removed', 'function new added')),
    ([(b'class Options:', b'class Choices:')], ('class Net.Options removed', 'class Net.Choices added')),
    ([(b'def forward', b'def backward')], ('method Net.forward removed', 'method Net.backward added')),
    ([(b'class Net(', b'class Web(')], ('class Net removed', 'class Web added')),
    ([(b'LEARNING_RATE = 0.1\n', b'')], ('constant LEARNING_RATE removed',)),
    ([(b'= 0.1\n', b'= 0.1\nlate = 1\n')], ('constant late added',)),
    ([(b'= 0.1\n', b'= 0.1\nlate = lambda x: x\n')], ('function late added',)),
    ([(b'Zero mean.', b'No mean.')], ('docstring of function normalise changed',)),
    ([(b'One step.', b'Two steps.')], ('docstring of method Net.forward changed',)),
    ([(b'A net.', b'A graph.')], ('docstring of class Net changed',)),
    ([(b'A model.', b'Models.')], ('docstring of the module changed',)),
    ([(b'"""A model."""\n', b'')], ('docstring of the module changed',)),
    ([(b'Zero mean.', b'No mean.'), (b'x - x.mean()', b'x')], ('function normalise changed',)),
    ([(b'= [1]', b'= [1]  # type: list[int]')], ('constant SIZES changed',)),
    ([(b'json', b'os'), (b'= 0.1', b'= 0.2'), (b'x.mean()', b'1'), (b'return x\n', b'pass\n'), (b'    old()', b'    f()')],
     ('imports changed', 'constant LEARNING_RATE changed', 'function normalise changed', 'method Net.forward changed',
      'module-level code changed')),
])
def test_what_changed_is_said_in_words(edits: list[tuple[bytes, bytes]], phrases: tuple[str, ...]) -> None:
    assert changed_parts(BEFORE, edited(*edits)) == phrases


def test_what_is_gone_stands_where_it_stood() -> None:
    before = b'def a(): pass\ndef b(): pass\ndef c(): pass\ndef d(): pass\n'
    after = b'def a(): 1\ndef c(): 1\ndef e(): pass\n'
    assert changed_parts(before, after) == (
        'function a changed', 'function b removed', 'function c changed', 'function d removed', 'function e added')


def test_a_changed_order_is_said() -> None:
    assert changed_parts(b'def f(): a\ndef g(): b\n', b'def g(): b\ndef f(): a\n') == ('order of definitions changed',)


def test_without_docstrings_a_new_one_is_no_change() -> None:
    assert changed_parts(BEFORE, edited((b'A net.', b'Changed.')), docstrings=False) == ()
    assert changed_parts(b'', b'"doc"', docstrings=False) == ()
    assert changed_parts(b'class A:\n  def f(self): 1\n', b'class A:\n  "doc"\n  def f(self): 1\n', docstrings=False) == ()
