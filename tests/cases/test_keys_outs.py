"""``outs``, ``metrics`` and ``plots``: what is stored and restored, what is refused, and that nothing of the user's is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.stages import ended, failure, lay, run, verdict


def rescued(project: Project, name: str) -> list[str]:
    return [path.read_text() for path in (project.path / '.mlops/local/rescue').rglob(name) if path.is_file()]


def failed_leftovers(project: Project) -> list[str]:
    folder = project.path / '.mlops/local/failed'
    return sorted(path.relative_to(folder).as_posix().partition('/')[2] for path in folder.rglob('*') if path.is_file())


def gone(project: Project, *names: str) -> None:
    for name in names:
        path = project.path / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_file_and_a_folder_come_back_as_they_were(project: Project) -> None:
    command = """
        printf 'a\\0b' > file; mkdir -p dir/deep/er dir/empty; echo 1 > dir/deep/er/x
        printf '#!/bin/sh\\necho hi' > dir/tool; chmod 755 dir/tool; ln -s deep/er/x dir/link; cp dir/tool run; mkdir nothing
    """
    lay(project, {'a': {'cmd': command, 'outs': ['file', 'dir', 'run', 'nothing']}})
    assert run(project) == {'a': 'done'}
    before = snapshot(project)
    gone(project, 'file', 'dir', 'run', 'nothing')
    assert verdict(project, 'a') == 'restore'
    assert run(project) == {'a': 'restored'}
    assert snapshot(project) == before
    assert os.access(project.path / 'dir/tool', os.X_OK) and os.readlink(project.path / 'dir/link') == 'deep/er/x'
    assert (project.path / 'dir/empty').is_dir() and (project.path / 'nothing').is_dir()


def snapshot(project: Project) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(project.path.rglob('*')):
        name = path.relative_to(project.path)
        if name.parts[0] in ('.git', '.mlops', '.gitignore'):
            continue
        kind = 'link' if path.is_symlink() else 'dir' if path.is_dir() else path.stat().st_mode & 0o777
        found[str(name)] = (kind, path.read_bytes() if path.is_file() else b'')
    return found


def test_names_of_every_kind_can_be_made(project: Project) -> None:
    names = [
        'with space',
        '-leading-dash',
        '--',
        'emoji 🎉',
        "quo'te",
        'dou"ble',
        '#hash',
        '!bang',
        'semi;colon',
        '$dollar',
        'ä',
        'trailing ',
        'a' * 200,
    ]
    write = 'import sys\nfor name in sys.argv[1:]: open(name, "w").write(name)'
    project.write('write.py', write)
    lay(project, {'a': {'argv': ['python', 'write.py', *names], 'outs': names}})
    assert run(project) == {'a': 'done'}
    shown = project.git('status', '--porcelain', '-z', '--untracked-files=all').split('\0')
    assert not {line[3:] for line in shown} & set(names), 'git ignores each of them'
    gone(project, *names)
    assert run(project) == {'a': 'restored'}
    assert [project.read(name) for name in names] == names


@pytest.mark.parametrize('target', ['/etc/passwd', '../../outside', '../outside', '../project/dir/../secret'])
def test_a_link_that_leaves_the_output_is_refused(project: Project, target: str) -> None:
    lay(project, {'a': {'cmd': f'mkdir -p dir; ln -s {target} dir/link', 'outs': ['dir']}})
    assert 'dir/link' in failure(project.run(), 'a')
    assert not project.exists('dir')


def test_an_output_that_is_itself_a_link_is_refused(project: Project) -> None:
    project.write('real', 'mine')
    lay(project, {'a': {'cmd': 'ln -s real o', 'outs': ['o']}})
    assert 'o is a symbolic link' in failure(project.run(), 'a')
    assert project.read('real') == 'mine' and not project.exists('o')


def test_a_pipe_as_output_is_refused(project: Project) -> None:
    lay(project, {'a': {'cmd': 'mkdir d; mkfifo d/pipe', 'outs': ['d']}})
    assert 'd/pipe is a named pipe' in failure(project.run(), 'a')


def test_an_output_through_a_folder_that_is_a_link_out_of_the_project_is_refused(project: Project) -> None:
    outside = project.path.parent / 'outside'
    outside.mkdir()
    (project.path / 'out').symlink_to(outside)
    lay(project, {'a': {'cmd': 'echo made > out/file', 'outs': ['out/file']}})
    assert 'out' in failure(project.run(), 'a')
    assert list(outside.iterdir()) == []


def test_a_missing_output_fails_the_stage_and_puts_the_previous_back(project: Project) -> None:
    project.write('in', '1')
    stage = {'cmd': 'cp in o; cp in p', 'deps': ['in'], 'outs': ['o', 'p']}
    lay(project, {'a': stage, 'b': {'cmd': 'cat o > last', 'deps': ['o'], 'outs': ['last']}})
    run(project)
    lay(project, {'a': {**stage, 'cmd': 'echo new > o'}, 'b': {'cmd': 'cat o > last', 'deps': ['o'], 'outs': ['last']}})
    report = project.run()
    assert 'did not make p' in failure(report, 'a') and str(report.settled['b'].state) == 'skipped'
    assert (project.read('o'), project.read('p'), project.read('last')) == ('1', '1', '1')
    assert failed_leftovers(project) == ['a/o']
    assert 'the outputs it had before are back in place' in ended(report, 'a').notes


def test_what_stood_at_an_output_and_was_not_made_by_us_is_kept(project: Project) -> None:
    project.write('o', 'the only copy of my notes')
    project.write('d/mine', 'also mine')
    lay(project, {'a': {'cmd': 'echo made > o; mkdir d; echo made > d/file', 'outs': ['o', 'd']}})
    assert run(project) == {'a': 'done'}
    assert project.read('o') == 'made\n' and not project.exists('d/mine')
    assert rescued(project, 'o') == ['the only copy of my notes'] and rescued(project, 'mine') == ['also mine']


def test_what_stood_at_an_output_comes_back_if_the_stage_fails(project: Project) -> None:
    project.write('o', 'mine')
    lay(project, {'a': {'cmd': 'echo half > o; false', 'outs': ['o']}})
    assert run(project) == {'a': 'failed'} and project.read('o') == 'mine'


def test_a_stage_finds_its_outputs_gone_and_their_folders_there(project: Project) -> None:
    lay(
        project,
        {'a': {'cmd': 'test ! -e deep/er/o; test -d deep/er; echo 1 > deep/er/o; date +%N >> ../n', 'outs': ['deep/er/o']}},
    )
    assert run(project) == {'a': 'done'} and run(project, force=True) == {'a': 'done'}


def test_files_that_are_no_outputs_are_left_alone(project: Project) -> None:
    project.write('mine.txt', 'mine')
    lay(project, {'a': {'cmd': 'echo 1 > o; echo scratch > scratch; cat mine.txt', 'outs': ['o']}})
    assert run(project) == {'a': 'done'} and run(project, force=True) == {'a': 'done'}
    assert project.read('mine.txt') == 'mine' and project.read('scratch') == 'scratch\n'


def test_cache_false_leaves_an_output_to_git_and_stores_it_all_the_same(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo 1 > o; echo 2 > p', 'outs': ['o', {'p': {'cache': False}}]}})
    assert run(project) == {'a': 'done'}
    assert '/o' in project.read('.gitignore').splitlines() and '/p' not in project.read('.gitignore').splitlines()
    gone(project, 'o', 'p')
    assert run(project) == {'a': 'restored'} and project.read('p') == '2\n'


def test_persist_leaves_an_output_in_place_and_is_never_restored(project: Project) -> None:
    lay(project, {'a': {'cmd': 'cat in >> log', 'deps': ['in'], 'outs': [{'log': {'persist': True}}]}})
    project.write('in', 'one\n')
    assert run(project) == {'a': 'done'}
    project.write('in', 'two\n')
    assert run(project) == {'a': 'done'} and project.read('log') == 'one\ntwo\n'
    assert verdict(project, 'a') == 'fresh'
    project.write('in', 'one\n')
    assert verdict(project, 'a') == 'run', 'its result is known, and not used'
    assert run(project) == {'a': 'done'} and project.read('log') == 'one\ntwo\none\n'
    gone(project, 'log')
    assert run(project) == {'a': 'done'} and project.read('log') == 'one\n'


def test_a_persistent_output_in_a_folder_of_its_own_goes_on_from_what_was_there(project: Project) -> None:
    lay(project, {'a': {'cmd': 'cat in >> log', 'deps': ['in'], 'outs': [{'log': {'persist': True}}], 'isolate': 'folder'}})
    project.write('in', 'one\n')
    assert run(project) == {'a': 'done'}
    project.write('in', 'two\n')
    assert run(project) == {'a': 'done'} and project.read('log') == 'one\ntwo\n'


def test_numbers_of_metrics_go_into_the_pin_and_the_event(project: Project) -> None:
    lay(
        project,
        {
            'a': {
                'cmd': """
                    echo '{"accuracy": 0.75, "by": {"class": [1, 2]}, "name": "x", "ok": true}' > m.json
                    echo 'loss: 1e-3' > m.yaml; printf 'f1 = 0.5\\n' > m.toml
                """,
                'metrics': ['m.json', 'm.yaml', 'm.toml'],
            }
        },
    )
    report = project.run()
    numbers = {f'{file}:{name}': value for file, name, value in ended(report, 'a').metrics}
    assert numbers['m.json:accuracy'] == 0.75 and numbers['m.yaml:loss'] == 0.001 and numbers['m.toml:f1'] == 0.5
    pin = next((project.path / '.mlops/stages').iterdir()).read_text()
    assert '"metric","m.json","accuracy",0.75' in pin
    bench = project.open()
    (entry,) = bench.results.all()
    bench.close()
    assert entry.metrics['m.json:accuracy'] == 0.75


@pytest.mark.parametrize('text', ['{broken', '', '\\377\\376', '{"a": 1, "a": 2}', 'no numbers'])
def test_a_broken_metrics_file_is_a_note_and_no_failure(project: Project, text: str) -> None:
    lay(project, {'a': {'cmd': f"printf '{text}' > m.json", 'metrics': ['m.json']}})
    report = project.run()
    event = ended(report, 'a')
    assert event.state == 'done' and event.metrics == ()
    assert any('m.json' in note for note in event.notes), event.notes
    assert run(project) == {'a': 'fresh'}


def test_a_metrics_file_of_many_megabytes_is_not_read_for_numbers(project: Project) -> None:
    lay(project, {'a': {'cmd': 'head -c 3000000 /dev/zero > m.json', 'metrics': ['m.json']}})
    assert any('m.json' in note for note in ended(project.run(), 'a').notes)


def test_plots_are_outputs_like_others(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo a,b > p.csv; mkdir p; touch p/x.png', 'plots': [{'p.csv': {'x': 'a'}}, 'p']}})
    assert run(project) == {'a': 'done'}
    gone(project, 'p', 'p.csv')
    assert run(project) == {'a': 'restored'} and project.read('p.csv') == 'a,b\n' and project.exists('p/x.png')


def test_an_output_that_became_a_folder_and_back(project: Project) -> None:
    project.write('kind', 'file')
    command = 'if grep -q file kind; then echo 1 > o; else mkdir o; echo 2 > o/x; fi'
    lay(project, {'a': {'cmd': command, 'deps': ['kind'], 'outs': ['o']}})
    assert run(project) == {'a': 'done'}
    project.write('kind', 'folder')
    assert run(project) == {'a': 'done'} and project.read('o/x') == '2\n'
    project.write('kind', 'file')
    assert run(project) == {'a': 'restored'} and project.read('o') == '1\n'
    project.write('kind', 'folder')
    assert run(project) == {'a': 'restored'} and project.read('o/x') == '2\n'


def test_outputs_without_write_permission_can_be_made_again_and_restored(project: Project) -> None:
    project.write('in', '1')
    lay(project, {'a': {'cmd': 'mkdir d; cp in d/x; chmod 444 d/x; chmod 555 d', 'deps': ['in'], 'outs': ['d']}})
    assert run(project) == {'a': 'done'}
    project.write('in', '2')
    assert run(project) == {'a': 'done'} and project.read('d/x') == '2'
    project.write('in', '1')
    assert run(project) == {'a': 'restored'} and project.read('d/x') == '1'
    os.chmod(project.path / 'd', 0o755)


def test_an_output_changed_by_hand_shows_and_is_put_right(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo 1 > o', 'outs': ['o']}})
    run(project)
    project.write('o', 'mine')
    assert project.plan().by_name['a'].changed_by_hand == ('o',)
    assert run(project) == {'a': 'restored'} and rescued(project, 'o') == ['mine']


def test_a_large_output_is_taken_in(project: Project) -> None:
    lay(project, {'a': {'cmd': 'head -c 9000000 /dev/zero > o; mkdir d; head -c 5000000 /dev/zero > d/x', 'outs': ['o', 'd']}})
    assert run(project) == {'a': 'done'}
    gone(project, 'o', 'd')
    assert run(project) == {'a': 'restored'}
    assert (project.path / 'o').stat().st_size == 9000000


def test_two_files_of_one_folder_made_by_two_stages(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo a > d/a', 'outs': ['d/a']}, 'b': {'cmd': 'echo b > d/b', 'outs': ['d/b']}})
    assert run(project, jobs=2) == {'a': 'done', 'b': 'done'}
    shutil.rmtree(project.path / 'd')
    assert run(project, 'd/b') == {'b': 'restored'}
    assert sorted(path.name for path in Path(project.path / 'd').iterdir()) == ['b']


@pytest.mark.parametrize('isolate', ['none', 'folder'])
def test_a_file_where_the_folder_of_an_output_has_to_be(project: Project, isolate: str) -> None:
    stages = {'a': {'cmd': 'mkdir -p d/e; echo 1 > d/e/o', 'outs': ['d/e/o'], 'isolate': isolate}, 'b': {'cmd': 'true'}}
    project.write('d', 'mine')
    lay(project, stages)
    report = project.run(keep_going=True)
    assert 'd is a file, and d/e/o needs a folder there' in failure(report, 'a') and str(report.settled['b'].state) == 'done'
    assert project.read('d') == 'mine'
    gone(project, 'd')
    assert run(project) == {'a': 'done', 'b': 'fresh'}
    gone(project, 'd')
    project.write('d', 'mine')
    assert run(project)['a'] == 'failed' and project.read('d') == 'mine', 'nor does a restore take it away'
