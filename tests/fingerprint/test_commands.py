"""What a stage's command runs, over a project that every way of starting it finds again."""
from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.support.layout import Layout, pretended_python, program, write

PROJECT = {
    'train.py': 'import json\nimport numpy\nfrom digits import model\n',
    'scripts/eval.py': 'import helper\n',
    'scripts/helper.py': '',
    'src/digits/__init__.py': '',
    'src/digits/__main__.py': 'from digits import model\n',
    'src/digits/model.py': 'from . import data\n',
    'src/digits/data.py': '',
    'app/__main__.py': 'import part\n',
    'app/part.py': '',
    'conf.yaml': '', 'hosts': '', 'note.txt': '',
    'pyproject.toml': '[project.scripts]\ndigits-train = "digits.model:main"\n[tool.poetry.scripts]\n'
                      'digits-old = {reference = "digits.data:main", type = "console"}\n',
}
PACKAGE = ['src/digits/__init__.py', 'src/digits/data.py', 'src/digits/model.py']
TRAIN = [*PACKAGE, 'train.py']
MAIN = ['src/digits/__init__.py', 'src/digits/__main__.py', 'src/digits/data.py', 'src/digits/model.py']
EVAL = ['scripts/eval.py', 'scripts/helper.py']
APP = ['app/__main__.py', 'app/part.py']


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """For tests that change nothing in it."""
    folder = tmp_path_factory.mktemp('commands')
    return Layout(folder / 'project', pretended_python(folder / 'venv')).write(PROJECT)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / 'project', pretended_python(tmp_path / 'venv')).write(PROJECT)


@pytest.mark.parametrize(('command', 'expected'), [
    ('python train.py', TRAIN),
    ('python3 ./train.py --lr 0.1', TRAIN),
    ('python3.11 -u -O -B -W ignore -X dev -Wonce -Xutf8=1 -- train.py', TRAIN),
    ('python -uO train.py', TRAIN),
    ('python scripts/eval.py', EVAL),
    ('cd scripts && python eval.py', EVAL),
    ('cd scripts; python eval.py', EVAL),
    ('cd scripts\npython eval.py', EVAL),
    ('(cd scripts; python eval.py)', EVAL),
    ('(cd scripts; ls); python train.py', TRAIN),
    ('(cd scripts; ls) | cat; python train.py', TRAIN),
    ('cd scripts | cat; python train.py', TRAIN),
    ('{ cd scripts; python eval.py; }', EVAL),
    ('cd $PWD/scripts && python eval.py', EVAL),
    ('cd scripts && cd .. && python train.py', TRAIN),
    ('cd scripts || cd /elsewhere; python eval.py', EVAL),
    ('if [ -e x ]; then python train.py; else python scripts/eval.py; fi', sorted([*TRAIN, *EVAL])),
    ('for seed in 1 2; do python train.py --seed $seed; done', TRAIN),
    ('while read line; do python train.py "$line"; done < conf.yaml', [*['conf.yaml'], *TRAIN]),
    ('python train.py | tee log && python scripts/eval.py || true', sorted([*TRAIN, *EVAL])),
    ('python train.py > log 2>&1 & wait', TRAIN),
    ('x=$(python scripts/eval.py); echo "$(python train.py)"', sorted([*TRAIN, *EVAL])),
    ('python app', APP),
    ('python -m app', APP[:1]),  # what stands beside __main__ is not on the path then
    ('python -m digits', MAIN),
    ('python -mdigits.model', PACKAGE),
    ('python -m digits.model --x 1', PACKAGE),
    ('python -c "import digits.data"', ['src/digits/__init__.py', 'src/digits/data.py']),
    ("python -uc 'print(1)'", []),
    ('python -V', []),
    ('PYTHONPATH=app python -c "import part"', ['app/part.py']),
    ('env -u X PYTHONPATH=app python -c "import part"', ['app/part.py']),
    ('export PYTHONPATH=app; python -c "import part"', ['app/part.py']),
    ('PYTHONPATH=app; export PYTHONPATH; python -c "import part"', ['app/part.py']),
    ('PYTHONPATH="$PWD/app:$PYTHONPATH" python -c "import part"', ['app/part.py']),
    ('PYTHONPATH=app${PYTHONPATH:+:$PYTHONPATH} python -c "import part"', ['app/part.py']),
    ('PYTHONPATH=$(pwd)/app python -c "import part"', ['app/part.py']),
    ('A=b python train.py', TRAIN),
    ('env A=$B python train.py', TRAIN),
    ('env -i PATH="$PATH" python train.py', TRAIN),
    ('env -C scripts python eval.py', EVAL),
    ('env --chdir=scripts python eval.py', EVAL),
    ("env -S 'A=b python train.py'", TRAIN),
    ('nice -n 10 python train.py', TRAIN),
    ('time -p python train.py', TRAIN),
    ('exec python train.py', TRAIN),
    ('timeout -k 5 10m python train.py', TRAIN),
    ('nohup setsid stdbuf -oL python train.py', TRAIN),
    ('taskset -c 0-3 numactl --cpunodebind=0 python train.py', TRAIN),
    ('xvfb-run -a -s "-screen 0 1x1x8" python train.py', TRAIN),
    ('srun -n 2 --gres=gpu:1 -p long python train.py', TRAIN),
    ('mpirun -n 2 --mca a b --hostfile hosts python train.py', ['hosts', *TRAIN]),
    ('flock /tmp/x python train.py', TRAIN),
    ('command python train.py', TRAIN),
    ('command -v python', []),
    ('find . -name x -exec python train.py {} \\;', TRAIN),
    ('ls | xargs -n 1 python train.py', TRAIN),
    ('torchrun train.py', TRAIN),
    ('torchrun --standalone --nproc_per_node 2 --nnodes=1 train.py --lr 1', TRAIN),
    ('torchrun --nproc-per-node gpu -m digits.model', PACKAGE),
    ('torchrun --nproc_per_node 2 --no-python python train.py', TRAIN),
    ('python -m torch.distributed.run --nproc_per_node 2 train.py', TRAIN),
    ('python -m torch.distributed.launch --use_env train.py', TRAIN),
    ('accelerate launch --config_file conf.yaml --multi_gpu train.py --x', ['conf.yaml', *TRAIN]),
    ('accelerate launch -m digits.model', PACKAGE),
    ('accelerate launch --num_processes 2 --module digits.model', PACKAGE),
    ('deepspeed --hostfile hosts --num_gpus 2 train.py --deepspeed conf.yaml', ['conf.yaml', 'hosts', *TRAIN]),
    ('deepspeed --module digits.model', PACKAGE),
    ('coverage run -a --source src -m digits.model', PACKAGE),
    ('python -m cProfile -o out.prof train.py', TRAIN),
    ('python -m cProfile -m digits.model', PACKAGE),
    ('ipython train.py', TRAIN),
    ('sh -c "python train.py"', TRAIN),
    ('bash -euo pipefail -c "cd scripts; python eval.py"', EVAL),
    ('eval "python train.py"', TRAIN),
    ('digits-train --fast', PACKAGE),
    ('digits-old', ['src/digits/__init__.py', 'src/digits/data.py']),
    ('sort conf.yaml | uniq > out.txt', ['conf.yaml']),
    ('cp note.txt out.txt', ['note.txt']),
    ('echo conf.yaml', []),
    ('curl https://example.org/conf.yaml', []),
    ('python train.py --config conf.yaml', ['conf.yaml', *TRAIN]),
    ('python train.py --config=conf.yaml model.file=note.txt', ['conf.yaml', 'note.txt', *TRAIN]),
    ('python train.py "--config=./scripts/../conf.yaml"', ['conf.yaml', *TRAIN]),
    ('tool scripts/eval.py', EVAL),
    ('cp scripts/eval.py /tmp', ['scripts/eval.py']),
    ('mlops gate "best.json:accuracy >= 0.95"', []),
    ('true # python train.py', []),
])
def test_the_code_of_a_command(shared: Layout, command: str, expected: list[str]) -> None:
    assert shared.files(command) == sorted(expected)


def test_a_list_of_commands_is_one_shell_each(shared: Layout) -> None:
    assert shared.files('cd scripts', 'python train.py') == TRAIN
    assert shared.files('python train.py', 'python scripts/eval.py') == sorted([*TRAIN, *EVAL])


def test_words_without_a_shell_are_as_they_are(shared: Layout) -> None:
    assert shared.files('python', 'train.py', '--lr', '$LR; x', argv=True) == TRAIN
    assert shared.files('sort', 'conf.yaml', '|', 'python', 'train.py', argv=True) == ['conf.yaml', 'train.py']


def test_a_stage_may_start_in_a_folder(layout: Layout) -> None:
    assert layout.files('python eval.py', wdir='scripts') == EVAL
    assert layout.files('python -c "import helper"', wdir='scripts') == ['scripts/helper.py']
    assert layout.files('python ../train.py', wdir='scripts') == TRAIN


@pytest.mark.parametrize(('command', 'said', 'files'), [
    ('python missing.py', 'the script missing.py is not there', []),
    ('python $SCRIPT', 'the script `$SCRIPT` that python runs is known only', []),
    ('python "$(ls *.py)"', 'is known only when it runs', []),
    ('python *.py', 'the script `*.py`', []),
    ('python -m $MODULE', 'the module `$MODULE`', []),
    ('python -c "$CODE"', 'the code `"$CODE"`', []),
    ('python -c "import importlib; importlib.import_module(input())"', 'python -c:1 loads code by a name', []),
    ('python -c "import ("', 'python -c cannot be parsed', []),
    ('python -m nowhere.at.all', 'the module nowhere.at.all is not found', []),
    ('python - < train.py', 'python reads its program from its input', ['train.py']),
    ('cat train.py | python', 'python reads its program from its input', ['train.py']),
    ('python <<EOF\nimport digits\nEOF', 'python reads its program from a here-document', []),
    ('ls | xargs python', 'python reads its program from its input', []),
    ('$PYTHON train.py', 'the program `$PYTHON` is known only', TRAIN),
    ('cd $DIR && python train.py', 'the folder in which python runs `train.py` is known only', []),
    ('cd && python train.py', 'the folder in which python runs', []),
    ('bash -c "$CMD"', 'what bash runs, `"$CMD"`, is known only', []),
    ('curl https://x | sh', 'sh reads its commands from its input', []),
    ('eval "$CMD"', 'is known only when it runs', []),
    ('. $FILE', '`$FILE`, which the shell reads', []),
    ("python 'train.py", 'cannot be read as shell (a quote is not closed)', []),
    ('make train', 'make runs what its own files say', []),
    ('pytest scripts/eval.py', 'pytest loads code by itself', EVAL),
    ('python -m unittest', 'unittest loads code by itself', []),
    ('~/nowhere/python train.py', 'home/nowhere/python', TRAIN),
    ('papermill note.txt', 'papermill loads code by itself', ['note.txt']),
    ('jupyter nbconvert --execute note.txt', 'jupyter loads code by itself', ['note.txt']),
    ('docker run x python train.py', 'docker runs its command elsewhere', TRAIN),
    ('ssh host python train.py', 'ssh runs its command elsewhere', TRAIN),
    ('PYTHONPATH=$LIBS python train.py', 'PYTHONPATH=$LIBS has a part that is known only when it runs', TRAIN),
    ('python /elsewhere/x.py', 'the script /elsewhere/x.py is not there', []),
    ('python3.99 train.py', 'there is no python3.99 on PATH', TRAIN),
    ('./nowhere/bin/python train.py', 'there is no ./nowhere/bin/python,', TRAIN),
    ('(' * 60 + 'python train.py' + ')' * 60, '', TRAIN),
    ("""sh -c 'sh -c "eval \\"python \\$X\\""'""", 'what `eval "python $X"` does is known only', []),
])
def test_what_cannot_be_followed_is_said(shared: Layout, command: str, said: str, files: list[str]) -> None:
    found = shared.find(command)
    assert list(found.files) == sorted(files)
    assert len(found.unknown) <= 2 and said in ' | '.join(found.unknown)


@pytest.mark.parametrize('words', [
    'python train.py conf.yaml', 'python -m digits.model x', 'python -c pass x', 'python -W ignore -m coverage run -a train.py',
    'env -u X A=1 python train.py', 'cd scripts; python eval.py', 'sh -c "python train.py"', 'bash -euo pipefail run.sh x',
    '. run.sh', 'eval python train.py', 'A= python train.py', 'torchrun --nproc_per_node 2 train.py', 'export A=1 B=2',
    'accelerate launch -m digits.model', 'find . -name x -exec python train.py {} +', 'xargs -n 1 python train.py',
    'timeout 5 nice -n 3 python train.py', 'papermill a.ipynb b.ipynb', 'jupyter nbconvert --execute a.ipynb',
    'cat < conf.yaml > o', 'digits-train --fast', 'scripts/eval.py x',
])  # fmt: skip
def test_any_word_may_be_empty(shared: Layout, words: str) -> None:
    """Then it is found out what that runs, as far as that can be; which must not end as a fault of ours."""
    split = shlex.split(words.replace(';', ' ; '))
    for number in range(len(split)):
        argv = [*split[:number], '', *split[number + 1 :]]
        quoted = ' '.join(word if word in (';', '<', '>') else shlex.quote(word) for word in argv)
        shared.find(quoted)
        shared.find(f'{words} {shlex.quote("")}')
        if argv != ['']:
            shared.find(*argv, argv=True)


def test_a_script_outside_the_project_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, {'outside/x.py': 'import digits'})
    found = layout.find('python ../outside/x.py')
    assert found.files == ()
    assert found.unknown == (f'the script {tmp_path}/outside/x.py lies outside the project, so it is not followed',)


def test_shell_scripts_count_and_what_they_call_is_said(layout: Layout) -> None:
    layout.write({
        'scripts/plain.sh': 'sort x | uniq\n', 'scripts/lib.sh': 'export A=b\n', 'scripts/uses.sh': 'x=$(python3 -c 1)\n',
        'scripts/do.sh': '#!/bin/sh\nset -e\n. scripts/lib.sh\npython train.py "$@"\n',
        'scripts/bad.sh': "echo 'x\n./venv/bin/python y\n", 'scripts/launch.sh': 'srun torchrun train.py\n',
        'scripts/manager.sh': 'uv run x\n', 'scripts/outer.sh': 'bash "$(dirname "$0")/x"\nsh plain.sh; ./scripts/do.sh\n'})
    assert layout.files('sh scripts/plain.sh') == ['scripts/plain.sh']
    found = layout.find('bash -e scripts/do.sh --fast')
    assert found.files == ('scripts/do.sh', 'scripts/lib.sh')
    said = 'scripts/do.sh calls python, and what a shell script calls is not followed; list the files it uses under code'
    assert found.unknown == (said,)
    for name, called in (('uses', 'python3'), ('bad', 'python'), ('launch', 'torchrun'), ('manager', 'uv')):
        assert f'scripts/{name}.sh calls {called}' in layout.find(f'. ./scripts/{name}.sh').unknown[0]
    outer = layout.find('sh scripts/outer.sh')
    assert outer.files == ('scripts/do.sh', 'scripts/lib.sh', 'scripts/outer.sh', 'scripts/plain.sh')
    assert outer.unknown == (said,)


def test_a_script_that_names_its_own_interpreter(layout: Layout) -> None:
    for name, line in (('a', '#!/usr/bin/env python3'), ('b', '#!/usr/bin/env -S python -u'),
                       ('c', f'#!{layout.environ["PATH"].partition(":")[0]}/python -u')):
        program(layout.root / name, f'{line}\nimport digits.data\n')
        assert layout.files(f'./{name} x') == [name, 'src/digits/__init__.py', 'src/digits/data.py']
    program(layout.root / 'run', '#!/bin/sh\nexec python train.py\n')
    program(layout.root / 'bin/tool', '\x7fELF\0')
    assert 'run calls python' in layout.find('./run').unknown[0]
    assert layout.files('bin/tool') == ['bin/tool']


def test_console_scripts_that_are_installed_are_read(layout: Layout) -> None:
    bin_folder = Path(layout.environ['PATH'].partition(':')[0])
    program(bin_folder / 'digits-go', f'#!{bin_folder}/python\nimport sys\nfrom digits.model import main\nsys.exit(main())\n')
    program(bin_folder / 'long', f"#!/bin/sh\n'''exec' \"{bin_folder}/python\" \"$0\" \"$@\"\n' '''\nfrom digits import data\n")
    program(bin_folder / 'other', f'#!{bin_folder}/python\nimport numpy\n')
    assert layout.files('digits-go --x') == PACKAGE
    assert layout.find('digits-go').python == f'{bin_folder}/python'
    assert layout.files('long') == ['src/digits/__init__.py', 'src/digits/data.py']
    assert layout.find(f'{bin_folder}/other').distributions == ('numpy',)


def test_which_python(layout: Layout, tmp_path: Path) -> None:
    first = layout.environ['PATH'].partition(':')[0]
    other = pretended_python(tmp_path / 'other', minor='3.12')
    assert layout.find('sort conf.yaml').python is None
    assert layout.find('python train.py').python == f'{first}/python'
    assert layout.find('python3.11 train.py').python == f'{first}/python3.11'
    assert layout.find(f'{other}/python train.py').python == f'{other}/python'
    assert layout.find('../other/bin/python train.py').python == f'{other}/python'
    assert layout.find(f'PATH={other}:$PATH python train.py').python == f'{other}/python'
    assert layout.find(f'. {other}/activate && python train.py').python == f'{other}/python'
    assert layout.find('../other/bin/torchrun train.py').python == f'{first}/python'
    for name, command in (('VIRTUAL_ENV', '$VIRTUAL_ENV/bin/python train.py'), ('HOME', '~/bin/python train.py')):
        assert layout.find(command, environ={name: str(other.parent)}).python == f'{other}/python'
    program(other / 'torchrun', f'#!{other}/python\nimport torch\n')
    assert layout.find('../other/bin/torchrun train.py').python == f'{other}/python'
    assert layout.find('python train.py', environ={'PATH': '/nowhere'}).python is None


def test_uv_takes_the_projects_environment(layout: Layout) -> None:
    commands = ['uv run train.py', 'uv run python train.py', 'uv run --with x --extra=y python -u train.py',
                'uv run -- python train.py', 'uv --quiet run --env-file conf.yaml train.py', 'uv run --script train.py']
    for command in commands:
        found = layout.find(command)
        assert set(TRAIN) <= set(found.files) and found.python is None
        assert found.unknown == ('the environment of uv run is not made yet, so what is installed in it is not known',)
        assert '.venv/bin/python' in found.absent
    pretended_python(layout.root / '.venv')
    for command in commands:
        found = layout.find(command)
        assert set(TRAIN) <= set(found.files) <= {*TRAIN, 'conf.yaml'} and found.unknown == ()
        assert found.python == f'{layout.root}/.venv/bin/python' and found.distributions == ('numpy',)
    assert layout.files('uv run -m digits.model') == PACKAGE
    assert layout.files('uv run --directory scripts eval.py') == EVAL
    assert layout.files('uv run torchrun --standalone train.py') == TRAIN
    assert layout.files('uv run digits-train') == PACKAGE
    assert layout.files('uv sync') == []
    assert 'its input' in layout.find('cat x | uv run -').unknown[0]
    layout.write({'alone.py': '# /// script\n# dependencies = ["x"]\n# ///\nimport digits\n'})
    found = layout.find('uv run alone.py')
    assert found.files == ('alone.py', 'src/digits/__init__.py') and found.python is None
    assert found.unknown[0].startswith('the environment of uv run (the script lists its own packages) is not made yet')


@pytest.mark.parametrize('tool', ['poetry', 'pipenv', 'pdm', 'rye'])
def test_other_managers_take_the_projects_environment(layout: Layout, tool: str) -> None:
    assert layout.find(f'{tool} run python train.py').python is None
    pretended_python(layout.root / '.venv')
    found = layout.find(f'{tool} run python train.py')
    assert list(found.files) == TRAIN and found.python == f'{layout.root}/.venv/bin/python'


def test_managers_that_keep_environments_elsewhere(layout: Layout, tmp_path: Path) -> None:
    import base64
    import hashlib

    mark = base64.urlsafe_b64encode(hashlib.sha256(str(layout.root).encode()).digest()).decode()[:8]
    home = tmp_path / 'home/.cache/pypoetry/virtualenvs'
    home.mkdir(parents=True)
    poetry = pretended_python(home / f'digits-{mark}-py3.11')
    assert layout.find('poetry run python train.py').python == f'{poetry}/python'
    assert layout.find('poetry -C scripts run python eval.py').files == tuple(EVAL)
    (tmp_path / 'conda/envs').mkdir(parents=True)
    conda = pretended_python(tmp_path / 'conda/envs/ml')
    environ = {'CONDA_EXE': f'{tmp_path}/conda/bin/conda'}
    assert layout.find('conda run -n ml --no-capture-output python train.py', environ=environ).python == f'{conda}/python'
    assert layout.find(f'conda run -p {tmp_path}/conda/envs/ml python train.py').python == f'{conda}/python'
    assert layout.find('hatch run test:python train.py').files == tuple(TRAIN)


def test_a_project_may_have_modules_named_like_tools(layout: Layout) -> None:
    layout.write({'task/__init__.py': '', 'task/train.py': ''})
    assert layout.files('python -m task.train') == ['task/__init__.py', 'task/train.py']


def test_words_that_are_no_code(layout: Layout) -> None:
    assert layout.files('python train.py conf.yaml', deps=['conf.yaml']) == TRAIN
    assert layout.files('python train.py conf.yaml', outputs=['conf.yaml']) == TRAIN
    assert layout.files('python train.py scripts/helper.py', outputs=['scripts']) == TRAIN
    assert layout.files('python train.py scripts app /etc/passwd ../venv/pyvenv.cfg') == TRAIN
    assert layout.files('python train.py > note.txt') == TRAIN
    assert layout.files('python train.py < note.txt') == ['note.txt', *TRAIN]
    os.mkfifo(layout.root / 'pipe')
    assert layout.files('python train.py pipe') == TRAIN
    layout.write({'.git/config': '', '.mlops/config.yaml': '', '.venv/pyvenv.cfg': '', '.venv/bin/tool': ''})
    assert layout.files('cat .git/config .mlops/config.yaml .venv/bin/tool') == []


def test_a_dep_that_is_the_script_is_code_all_the_same(layout: Layout) -> None:
    assert layout.files('python train.py', deps=['train.py', 'src/digits/data.py']) == TRAIN


def test_words_that_may_become_files_are_told(layout: Layout) -> None:
    absent = layout.find('python train.py later.yaml 0.5 word out.json', outputs=['out.json']).absent
    assert 'later.yaml' in absent and not {'0.5', 'word', 'out.json'} & set(absent)


def test_a_script_that_a_stage_makes(layout: Layout) -> None:
    for exists in (False, True):
        found = layout.find('python gen/x.py', outputs=['gen'], deps=['gen/x.py'])
        assert found.files == () and found.generated == ('gen/x.py',)
        assert found.unknown == ('gen/x.py is made by a stage, so what it imports is known only then; list it under code',)
        layout.write({'gen/x.py': 'import digits'} if not exists else {})


def test_links_that_leave_the_project_are_not_read(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, {'secret.py': 'import digits', 'secret.sh': 'python x'})
    for name in ('secret.py', 'secret.sh'):
        (layout.root / name).symlink_to(tmp_path / name)
    (layout.root / 'away').symlink_to(tmp_path)
    assert layout.find('python secret.py').files == ()
    assert 'lies outside the project' in layout.find('python secret.py').unknown[0]
    assert 'lies outside the project' in layout.find('python away/secret.py').unknown[0]
    assert layout.find('sh secret.sh away/secret.py').files == ()
    (layout.root / 'inside.py').symlink_to('train.py')
    found = layout.find('python inside.py')
    assert list(found.files) == TRAIN


def test_nothing_is_run_and_nothing_is_written(layout: Layout) -> None:
    bin_folder = Path(layout.environ['PATH'].partition(':')[0])
    for name in ('uv', 'tool', 'poetry'):
        program(bin_folder / name, '#!/bin/sh\ntouch "$HOME/was-run"\n')
    before = sorted(str(path) for path in layout.root.rglob('*'))
    for command in ('python train.py', 'uv run train.py', 'tool x', 'poetry run x', '$(touch was-run)', 'sh -c "touch x"'):
        layout.find(command)
    assert sorted(str(path) for path in layout.root.rglob('*')) == before


DOCS = Path(__file__).resolve().parents[2] / 'docs' / 'found-code.md'


def test_the_page_about_found_code_says_what_the_program_says(layout: Layout) -> None:
    text = DOCS.read_text()
    layout.write({
        'scripts/do.sh': 'python x', 'run.py': 'import sys\nsys.path.append("x")\nimport absent', 'x.py': 'def (',
        'src/registry.py': '\n' * 11 + 'import importlib; importlib.import_module(name)', 'gen.py': 'import gen_tables'})
    sentences = [
        (layout.find('python src/registry.py'), 'loads code by a name that is known only when it runs (import_module)'),
        (layout.find('python $SCRIPT'), 'that python runs is known only when it runs'),
        (layout.find('cat x | python'), 'python reads its program from its input'),
        (layout.find('sh scripts/do.sh'), 'scripts/do.sh calls python'),
        (layout.find('make'), 'make runs what its own files say'),
        (layout.find('python run.py'), 'changes sys.path, and its import of'),
        (layout.find('python x.py'), 'x.py cannot be parsed'),
        (layout.find('python gen.py', outputs=['gen_tables.py']), 'is loaded, and a stage makes it'),
        (layout.find('uv run train.py'), 'the environment of uv run is not made yet'),
    ]
    for found, sentence in sentences:
        assert sentence in ' '.join(found.unknown) and sentence in text


def test_the_first_example_of_that_page(layout: Layout) -> None:
    script = DOCS.read_text().split('```python\n')[1].split('```')[0]
    layout.write({'scripts/train.py': script, 'src/digits/model.py': 'def fit(): pass', 'conf/train.yaml': ''})
    assert layout.files('python scripts/train.py --config conf/train.yaml') == [
        'conf/train.yaml', 'scripts/helper.py', 'scripts/train.py', 'src/digits/__init__.py', 'src/digits/model.py']
