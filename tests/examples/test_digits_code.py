"""The Python of examples/digits, called directly: what its stages compute, and that equal inputs make equal bytes."""
from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / 'examples' / 'digits'
PARAMS: dict[str, Any] = yaml.safe_load((EXAMPLE / 'params.yaml').read_text())
PIPELINE: dict[str, Any] = yaml.safe_load((EXAMPLE / 'pipeline.yaml').read_text())
STAGES: dict[str, Any] = PIPELINE['stages']
TRAININGS = list(product(PARAMS['models'], PARAMS['seeds']))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's package can be imported; what its import sets in the environment is undone after the test.  The
    imports stand in the tests, so that collecting them does not load scikit-learn."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for variable in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'VECLIB_MAXIMUM_THREADS'):
        monkeypatch.setenv(variable, '1')


@pytest.fixture
def parts() -> Any:
    from digits.prepare import collection, split
    return split(collection(), seed=7, validation=0.2, test=0.2)


def trained(parts: Any, kind: str, seed: int = 1, **changed: Any) -> Any:
    from digits.train import train
    return train(kind, seed, {**PARAMS['train'], 'rounds': 2, **changed}, parts['train'], parts['validation'])


class TestPrepare:
    def test_every_digit_is_in_one_part(self, parts: Any) -> None:
        ids = [i for part in parts.values() for i in part.ids.tolist()]
        assert sorted(ids) == list(range(1797))
        assert {name: len(part) for name, part in parts.items()} == {'train': 1078, 'validation': 360, 'test': 359}

    def test_every_part_has_the_same_mix(self, parts: Any) -> None:
        import numpy as np
        from digits.prepare import collection
        for part in parts.values():
            counts, whole = np.bincount(part.labels), np.bincount(collection().labels)
            assert (abs(counts - whole * len(part) / 1797) < 1.5).all()

    def test_the_seed_decides(self, parts: Any) -> None:
        from digits.prepare import collection, split
        same, other = (split(collection(), seed=seed, validation=0.2, test=0.2) for seed in (7, 8))
        assert same['test'].ids.tolist() == parts['test'].ids.tolist() != other['test'].ids.tolist()

    def test_a_file_gives_back_what_was_written(self, parts: Any, tmp_path: Path) -> None:
        from digits.data import read_digits, write_digits
        path = write_digits('test', parts['test'], tmp_path / 'new' / 'folder')
        again = read_digits('test', path.parent)
        for field in ('ids', 'labels', 'pixels'):
            assert (getattr(again, field) == getattr(parts['test'], field)).all()
        assert again.pixels.shape == (359, 64)

    def test_another_table_is_refused(self, tmp_path: Path) -> None:
        from digits.data import read_digits
        (tmp_path / 'x.csv').write_text('a,b\n1,2\n')
        with pytest.raises(ValueError, match=r'x\.csv: the first line is not the header'):
            read_digits('x', tmp_path)


class TestShare:
    def test_all_of_it_changes_nothing(self, parts: Any) -> None:
        assert parts['train'].share(1.0).ids.tolist() == parts['train'].ids.tolist()

    @pytest.mark.parametrize('share', [0.05, 0.5])
    def test_a_part_is_in_proportion(self, parts: Any, share: float) -> None:
        assert abs(len(parts['train'].share(share)) - share * 1078) <= 10

    def test_no_class_is_lost(self, parts: Any) -> None:
        assert set(parts['train'].share(0.0001).labels.tolist()) == set(range(10))


def test_features_are_the_pixels_and_the_means_of_zones() -> None:
    import numpy as np
    from digits.features import features
    pixels = np.zeros((2, 8, 8))
    pixels[1, 0, 0] = 16
    pixels[1, 7, 6:] = 8
    blank, marked = features(pixels.reshape(2, 64))
    assert blank.shape == (80,) and not blank.any()
    assert marked[:64].tolist() == [1, *[0] * 61, 0.5, 0.5]
    assert marked[64:].tolist() == [0.25, *[0] * 14, 0.25]


class TestTrain:
    @pytest.mark.parametrize('kind', ['logistic', 'forest'])
    def test_a_curve_has_a_row_a_round_and_the_model_reads(self, parts: Any, kind: str) -> None:
        from digits.features import features
        (model, curve), compare = trained(parts, kind), parts['validation']
        assert [row[0] for row in curve] == [1, 2]
        assert curve[-1][2] == pytest.approx(model.score(features(compare.pixels), compare.labels), abs=1e-6)
        assert curve[-1][2] > 0.9

    @pytest.mark.parametrize('kind', ['logistic', 'forest'])
    def test_the_same_training_writes_the_same_bytes(self, parts: Any, kind: str, tmp_path: Path) -> None:
        from digits.features import features
        from digits.files import read_model, write_model
        for name, seed in (('one', 1), ('same', 1), ('other', 2)):
            write_model(tmp_path / name, trained(parts, kind, seed)[0])
        one, same, other = ((tmp_path / name).read_bytes() for name in ('one', 'same', 'other'))
        assert one == same
        assert one != other
        model, inputs = trained(parts, kind)[0], features(parts['test'].pixels)
        assert (read_model(tmp_path / 'one').predict_proba(inputs) == model.predict_proba(inputs)).all()

    def test_growing_a_forest_is_training_it_at_once(self, parts: Any) -> None:
        from digits.features import features
        slow = trained(parts, 'forest', rounds=3)[0]
        fast = trained(parts, 'forest', rounds=1, forest={'trees': 30, 'depth': PARAMS['train']['forest']['depth']})[0]
        inputs = features(parts['test'].pixels)
        assert (slow.predict_proba(inputs) == fast.predict_proba(inputs)).all()

    def test_of_too_little_too_little_is_learned(self, parts: Any) -> None:
        assert all(trained(parts, kind, share=0.05)[1][-1][2] < 0.95 for kind in PARAMS['models'])


class TestModelFile:
    def test_it_names_no_time_and_no_address(self, parts: Any, tmp_path: Path) -> None:
        from digits.files import write_model
        path = tmp_path / 'folder' / 'model.skops'
        write_model(path, trained(parts, 'forest')[0])
        with ZipFile(path) as archive:
            assert archive.testzip() is None
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            ids: list[int] = []
            json.loads(archive.read('schema.json'), object_hook=lambda node: ids.append(node.get('__id__', 0)))
        assert max(ids) < 100_000

    def test_what_is_no_model_is_not_loaded(self, tmp_path: Path) -> None:
        from digits.files import read_model, write_model
        from sklearn.preprocessing import FunctionTransformer
        from skops.io.exceptions import UntrustedTypesFoundException
        write_model(tmp_path / 'evil.skops', FunctionTransformer(os.getcwd))
        with pytest.raises(UntrustedTypesFoundException):
            read_model(tmp_path / 'evil.skops')


def test_the_best_is_the_most_accurate_then_the_surest_then_the_first() -> None:
    from digits.select import ranked
    results = {
        'd': {'accuracy': 0.9, 'loss': 0.1}, 'c': {'accuracy': 0.97, 'loss': 0.2},
        'b': {'accuracy': 0.97, 'loss': 0.2}, 'a': {'accuracy': 0.97, 'loss': 0.3},
    }
    assert ranked(results) == ['b', 'c', 'a', 'd']


def test_classes_that_are_never_read_have_precision_zero() -> None:
    import numpy as np
    from digits.evaluate import by_class
    rows = by_class(np.arange(10), np.array([0, 0, *range(2, 10)]))
    assert rows[0] == (0, 1, 0.5, 1.0, 0.666667)
    assert rows[1] == (1, 1, 0.0, 0.0, 0.0)
    assert len(rows) == 10


class TestPicture:
    def reading(self, parts: Any, wrong: int) -> Any:
        import numpy as np
        from digits.plots import Reading
        test = parts['test']
        read = test.labels.copy()
        read[:wrong] = (read[:wrong] + 1) % 10
        return Reading(test, read, np.linspace(0.2, 0.9, len(test)))

    def drawn(self, reading: Any, path: Path, gallery: int = 12) -> bytes:
        from digits.plots import draw
        draw(path, reading, name='forest-1', candidates=4, gallery=gallery)
        return path.read_bytes()

    def test_mistakes_come_surest_first(self, parts: Any) -> None:
        assert self.reading(parts, 3).mistakes().tolist() == [2, 1, 0]

    def test_the_matrix_counts_every_digit_once(self, parts: Any) -> None:
        import numpy as np
        counts = self.reading(parts, 5).confusion()
        assert counts.sum() == 359
        assert np.trace(counts) == 354

    def test_the_same_reading_is_the_same_bytes_whatever_the_reader_likes(self, parts: Any, tmp_path: Path) -> None:
        import matplotlib
        one = self.drawn(self.reading(parts, 9), tmp_path / 'one.svg')
        with matplotlib.rc_context({'font.size': 30, 'axes.facecolor': 'red', 'savefig.bbox': 'tight'}):
            same = self.drawn(self.reading(parts, 9), tmp_path / 'same.svg')
            assert matplotlib.rcParams['font.size'] == 30
        other = self.drawn(self.reading(parts, 8), tmp_path / 'other.svg')
        assert one == same != other
        assert b'<dc:date>' not in one

    @pytest.mark.parametrize(('wrong', 'gallery', 'said'), [
        (0, 12, 'No mistakes'), (1, 12, 'The one mistake'), (9, 12, 'All 9 mistakes'), (60, 12, '12 of 60 mistakes'),
        (9, 0, '0 of 9 mistakes'),
    ])
    def test_any_number_of_mistakes_can_be_shown(self, parts: Any, tmp_path: Path, wrong: int, gallery: int, said: str) -> None:
        from digits.plots import counted
        assert ElementTree.fromstring(self.drawn(self.reading(parts, wrong), tmp_path / 'x.svg', gallery)).tag.endswith('svg')
        assert counted(min(wrong, gallery), wrong) == said

    @pytest.mark.parametrize('tiles', range(1, 60))
    def test_the_gallery_fits_its_box(self, tiles: int) -> None:
        from digits.plots import CAPTION, grid
        columns, side = grid(tiles, 4.0, 4.3)
        assert columns * side <= 4.0 + 1e-9
        assert -(-tiles // columns) * side * CAPTION <= 4.3 + 1e-9


def declared() -> set[str]:
    """Every file and folder that pipeline.yaml says is made, instances spelled out."""
    made: set[str] = set()
    for stage in STAGES.values():
        for entry in (*stage.get('outs', ()), *stage.get('metrics', ()), *stage.get('plots', ())):
            path = entry if isinstance(entry, str) else next(iter(entry))
            made |= {path.replace('${item.model}', model).replace('${item.seed}', str(seed)) for model, seed in TRAININGS}
    return made


class TestPipelineFile:
    def test_its_first_line_names_the_schema(self) -> None:
        first = (EXAMPLE / 'pipeline.yaml').read_text().splitlines()[0]
        assert first == '# yaml-language-server: $schema=../../pipeline.schema.yaml'

    def test_every_declared_parameter_exists(self) -> None:
        for stage in STAGES.values():
            for key, model in product(stage.get('params', ()), PARAMS['models']):
                value: Any = PARAMS
                for part in key.replace('${item.model}', model).split('.'):
                    value = value[part]

    def test_every_stage_says_what_it_is_for(self) -> None:
        assert all(stage['desc'] for stage in STAGES.values())

    @pytest.mark.parametrize(('stage', 'modules'), [
        ('prepare', 'data params'),
        ('train', 'data features files model params'),
        ('select', 'files params'),
        ('evaluate', 'data features files params plots'),
    ])
    def test_a_stage_imports_no_more_than_it_uses(self, stage: str, modules: str) -> None:
        """What README.md says of which change runs what again rests on this."""
        found, todo = set[str](), [stage]
        while todo:
            for node in ast.walk(ast.parse((EXAMPLE / 'digits' / f'{todo.pop()}.py').read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('digits.'):
                    name = str(node.module).removeprefix('digits.')
                    todo += [name] * (name not in found)
                    found.add(name)
        assert sorted(found) == modules.split()


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob('*'))
        if path.is_file() and path.suffix != '.pyc'
    }


def test_the_stages_make_what_the_pipeline_file_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from digits import evaluate, prepare, select, train
    monkeypatch.chdir(tmp_path)
    short = {**PARAMS, 'train': {**PARAMS['train'], 'rounds': 2}}
    Path('params.yaml').write_text(yaml.safe_dump(short))
    prepare.main()
    for model, seed in TRAININGS:
        monkeypatch.setattr(sys, 'argv', ['train', '--model', model, '--seed', str(seed)])
        train.main()
    select.main()
    evaluate.main()
    made = set(files(tmp_path)) - {'params.yaml'}
    prepared = {path for path in made if path.startswith('data/prepared/')}
    assert prepared == {f'data/prepared/{name}.csv' for name in ('train', 'validation', 'test')}
    assert made - prepared == declared() - {'data/prepared'}
    best = json.loads(Path('best.json').read_text())
    assert best['accuracy'] == max(json.loads(path.read_text())['accuracy'] for path in Path('metrics').glob('*-*.json'))
    assert Path('best.skops').read_bytes() == Path(f'models/{best["name"]}.skops').read_bytes()


def run_all(folder: Path, **environment: str) -> dict[str, bytes]:
    """Every command of pipeline.yaml but the gate, in order, as a person would type them."""
    folder.mkdir()
    shutil.copy(EXAMPLE / 'params.yaml', folder)
    shutil.copytree(EXAMPLE / 'digits', folder / 'digits', ignore=shutil.ignore_patterns('__pycache__'))
    before, variables = set(files(folder)), {**os.environ, **environment}
    for name in ('prepare', 'train', 'select', 'evaluate'):
        for model, seed in TRAININGS if name == 'train' else TRAININGS[:1]:
            command = STAGES[name]['cmd'].replace('${item.model}', model).replace('${item.seed}', str(seed))
            words = [sys.executable if word == 'python' else word for word in command.split()]
            subprocess.run(words, cwd=folder, env=variables, check=True, capture_output=True, timeout=120)
    return {path: data for path, data in files(folder).items() if path not in before}


@pytest.mark.full
def test_two_cold_runs_make_the_same_bytes_and_pass_the_gate_with_room(tmp_path: Path) -> None:
    one = run_all(tmp_path / 'one', PYTHONHASHSEED='1', TZ='UTC')
    two = run_all(tmp_path / 'two', PYTHONHASHSEED='2', TZ='Asia/Tokyo', OMP_NUM_THREADS='2')
    assert one == two
    assert json.loads(one['best.json'])['accuracy'] >= 0.96
    assert json.loads(one['metrics/test.json'])['accuracy'] >= 0.96
