"""Where a registered version came from, asked by its name."""

from __future__ import annotations

from tests.registry.conftest import Person


def test_a_version_an_alias_and_a_name_lead_to_what_was_registered(ada: Person) -> None:
    ada.models('register')
    ada.models('promote', 'digits@v1', 'prod')
    ada.train(80)
    ada.models('register')
    first = ada.do('lineage', 'upstream', 'digits@prod', '--json').json
    assert first['target']['title'].startswith('digits v1, a model: best.bin, ') and first['target']['kind'] == 'output'
    assert first['target']['said'][0].startswith('Registered ') and 'by Ada' in first['target']['said'][0]
    assert [node['stage'] for node in first['nodes']] == ['train', 'prepare']
    assert {'train', 'prepare', 'in.csv'} <= {node['stage'] for node in first['nodes']} | {
        entry['name'] for node in first['nodes'] for entry in node['inputs']
    }
    second = ada.do('lineage', 'upstream', 'digits', '--json').json  # the latest
    assert second['target']['title'].startswith('digits v2, ')
    assert second['nodes'][0]['id'] != first['nodes'][0]['id']
    differ = ada.do('lineage', 'diff', 'digits@v1', 'digits@v2').out
    assert differ.startswith('digits v1, a model') and 'train part' in differ
    assert 'no model' not in ada.do('lineage', 'downstream', 'digits@v1').out


def test_what_is_called_like_a_model_goes_before_it(ada: Person) -> None:
    ada.models('register')
    ada.write('digits', 'a file of that name\n')
    assert ada.do('lineage', 'upstream', 'digits').out.startswith('digits, 20 B')
    assert ada.do('lineage', 'upstream', 'digits@latest').out.startswith('digits v1, a model')
    refused = ada.do('lineage', 'upstream', 'digits@v7', code=2).err
    assert 'the model digits has no v7' in refused


def test_a_version_whose_result_is_on_another_branch_is_told(ada: Person) -> None:
    ada.models('register')
    for path in (ada.path / '.mlops/stages').iterdir():
        path.unlink()
    for path in (ada.path / '.mlops/cache/results-v1').rglob('*.json'):
        path.unlink()
    said = ada.do('lineage', 'upstream', 'digits@v1').out
    assert 'is not recorded here: fetch the branch that pinned it' in ' '.join(said.split())
