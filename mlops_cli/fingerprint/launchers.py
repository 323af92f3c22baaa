"""Programs that start other programs: where in their words the other one begins, and what a python is asked to run.
Tables and pure functions; looks at no disk."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.shell import Word

PYTHON = pattern(r'(?:python|pypy)\d*(?:\.\d+)*[tw]?\Z')
SHELLS = frozenset(('sh', 'bash', 'dash', 'zsh', 'ksh', 'ash'))


@dataclass(frozen=True, slots=True)
class Wrapper:
    """``values``: options whose value is the next word.  ``positionals``: words of its own before the command.
    ``many``: too many options to list; the command is the first word that looks like a program we know of, or else the
    first word that is no option.  ``subcommand``: what must come first; without it nothing is started."""

    values: frozenset[str] = frozenset()
    positionals: int = 0
    many: bool = False
    subcommand: str = ''


@dataclass(frozen=True, slots=True)
class Launcher:
    """A program that has python run a script or, with ``-m``, a module.  ``flags``: options without a value; any other
    takes the next word unless that is a script.  ``distribution``: the top-level module it comes with."""

    flags: frozenset[str]
    distribution: str = ''
    subcommand: str = ''


@dataclass(frozen=True, slots=True)
class Call:
    """What a python is asked to run: ``word`` is the script, module or code; of ``program``, ``rest`` are its words.
    ``ignores_variables``: PYTHON* do not count; ``without_folder``: nor does the script's folder."""

    kind: Literal['script', 'module', 'code', 'input', 'program', 'nothing']
    word: Word | None = None
    rest: tuple[Word, ...] = ()
    ignores_variables: bool = False
    without_folder: bool = False


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


WRAPPERS: dict[str, Wrapper] = {
    'nice': Wrapper(_set('-n --adjustment')),
    'time': Wrapper(_set('-f --format -o --output')),
    'exec': Wrapper(_set('-a')),
    'command': Wrapper(),
    'builtin': Wrapper(),
    'nohup': Wrapper(),
    'setsid': Wrapper(),
    'caffeinate': Wrapper(_set('-t -w')),
    'stdbuf': Wrapper(_set('-i -o -e --input --output --error')),
    'ionice': Wrapper(_set('-c -n -p -P -u --class --classdata')),
    'timeout': Wrapper(_set('-k --kill-after -s --signal'), 1),
    'chrt': Wrapper(_set('-T -P -D'), 1),
    'taskset': Wrapper(positionals=1),
    'flock': Wrapper(_set('-w --wait --timeout -E --conflict-exit-code'), 1),
    'sudo': Wrapper(_set('-u -g -h -p -C -r -t -T -U -D -R --user --group --chdir')),
    'doas': Wrapper(_set('-u -C -a')),
    'xargs': Wrapper(_set('-n -I -P -L -d -a -s -E -i --max-args --max-procs --replace --delimiter --arg-file --max-lines')),
    'unbuffer': Wrapper(),
    'xvfb-run': Wrapper(_set('-e -f -n -p -s -w --error-file --auth-file --server-num --xauth-protocol --server-args --wait')),
    'dbus-run-session': Wrapper(),
    'catchsegv': Wrapper(),
    'numactl': Wrapper(many=True),
    'srun': Wrapper(many=True),
    'mpirun': Wrapper(many=True),
    'mpiexec': Wrapper(many=True),
    'orterun': Wrapper(many=True),
    'horovodrun': Wrapper(many=True),
    'parallel': Wrapper(many=True),
    'strace': Wrapper(many=True),
    'ltrace': Wrapper(many=True),
    'perf': Wrapper(many=True),
    'valgrind': Wrapper(many=True),
    'nsys': Wrapper(many=True),
    'ncu': Wrapper(many=True),
    'py-spy': Wrapper(many=True),
    'systemd-run': Wrapper(many=True),
    'dotenv': Wrapper(many=True),
    'ddtrace-run': Wrapper(),
    'opentelemetry-instrument': Wrapper(many=True),
    'watch': Wrapper(_set('-n --interval')),
}

_DISTRIBUTED = Launcher(_set('--standalone --use-env --use_env --run-path --run_path --virtual-local-rank '
                             '--virtual_local_rank'), 'torch')
_ACCELERATE = Launcher(_set(
    '--cpu --multi_gpu --multi-gpu --tpu --ipex --use_mps_device --use_deepspeed --use_fsdp --use_megatron_lm --use_xpu '
    '--use_parallelism_config --quiet -q --debug --same_network --same-network --standalone --downcast_bf16 '
    '--dynamo_use_fullgraph --dynamo_use_dynamic --dynamo_use_regional_compilation --enable_cpu_affinity '
    '--tpu_use_cluster --no_tpu_use_cluster --tpu_use_sudo --fsdp_cpu_ram_efficient_loading'), 'accelerate', 'launch')
_DEEPSPEED = Launcher(_set(
    '--no_local_rank --no_ssh_check --no_ssh --force_multi --save_pid --elastic_training --bind_cores_to_rank '
    '--use_env'), 'deepspeed')
_COVERAGE = Launcher(_set('-a --append --branch -p --parallel-mode --timid -L --pylib -q --quiet'), 'coverage', 'run')
_PROFILE = Launcher(frozenset())

LAUNCHERS: dict[str, Launcher] = {
    'torchrun': _DISTRIBUTED,
    'accelerate': _ACCELERATE,
    'accelerate-launch': Launcher(_ACCELERATE.flags, 'accelerate'),
    'deepspeed': _DEEPSPEED,
    'coverage': _COVERAGE,
    'ipython': Launcher(_set('-i --quiet --no-banner --simple-prompt --classic --pylab --no-confirm-exit'), 'IPython'),
    'composer': Launcher(_set('-v --verbose'), 'composer'),
    'colossalai': Launcher(frozenset(), 'colossalai', 'run'),
    'kernprof': Launcher(_set('-l -v -b --line-by-line --view --builtin -z --skip-zero'), 'line_profiler'),
    'viztracer': Launcher(_set('--open --quiet -q -u --unique_output_file --log_async --log_gc'), 'viztracer'),
    'memray': Launcher(_set('-f --force --live -q --quiet --native --follow-fork --trace-python-allocators --aggregate'),
                       'memray', 'run'),
    'scalene': Launcher(_set('--cpu --gpu --memory --html --json --cli --off --on --profile-all --reduced-profile --web')),
    'mprof': Launcher(_set('-C --include-children -M --multiprocess -p --python'), 'memory_profiler', 'run'),
    'pyinstrument': Launcher(_set('--show-all --timeline'), 'pyinstrument'),
    'streamlit': Launcher(frozenset(), 'streamlit', 'run'),
    'spark-submit': Launcher(_set('--verbose -v --supervise'), 'pyspark'),
    'horovod': Launcher(frozenset(), 'horovod'),
}

# Modules that python -m starts and that start a script or module in turn.
MODULE_LAUNCHERS: dict[str, Launcher] = {
    'torch.distributed.run': _DISTRIBUTED,
    'torch.distributed.launch': _DISTRIBUTED,
    'torch.utils.bottleneck': Launcher(frozenset(), 'torch'),
    'accelerate.commands.launch': Launcher(_ACCELERATE.flags, 'accelerate'),
    'accelerate.commands.accelerate_cli': _ACCELERATE,
    'deepspeed.launcher.runner': _DEEPSPEED,
    'coverage': _COVERAGE,
    'cProfile': _PROFILE,
    'profile': _PROFILE,
    'pdb': _PROFILE,
    'ipdb': _PROFILE,
    'trace': Launcher(_set('-t --trace -c --count -l --listfuncs -T --trackcalls -r --report -R -m --missing -s --summary '
                           '-g --timing --no-report')),
    'debugpy': Launcher(_set('--wait-for-client'), 'debugpy'),
    'memory_profiler': Launcher(frozenset(), 'memory_profiler'),
    'kernprof': LAUNCHERS['kernprof'],
    'viztracer': LAUNCHERS['viztracer'],
    'memray': LAUNCHERS['memray'],
    'scalene': LAUNCHERS['scalene'],
    'pyinstrument': LAUNCHERS['pyinstrument'],
    'streamlit': LAUNCHERS['streamlit'],
    'IPython': LAUNCHERS['ipython'],
}

# What they run or load stands in files of their own, or is found by them.
OPAQUE: dict[str, str] = {
    **dict.fromkeys(('make', 'gmake', 'ninja', 'just', 'task', 'rake', 'scons', 'bazel', 'tox', 'nox', 'invoke', 'doit',
                     'snakemake', 'dvc', 'npm', 'npx', 'yarn', 'pnpm', 'cmake', 'luigi', 'airflow', 'dagster', 'prefect',
                     'kedro', 'dbt', 'mlflow', 'nextflow', 'cargo', 'go'), 'runs what its own files say'),
    **dict.fromkeys(('pytest', 'py.test', 'unittest', 'gunicorn', 'uvicorn', 'celery', 'flask', 'django-admin', 'locust',
                     'hypercorn', 'nose2', 'lightning', 'bentoml', 'ray', 'jupyter', 'papermill', 'marimo', 'jupytext',
                     'jupyter-nbconvert', 'jupyter-execute', 'nbconvert', 'asv'), 'loads code by itself'),
    **dict.fromkeys(('docker', 'podman', 'nerdctl', 'singularity', 'apptainer', 'kubectl', 'ssh', 'sbatch', 'salloc', 'qsub',
                     'bsub', 'sky', 'modal', 'gcloud', 'az', 'vagrant', 'chroot', 'nix', 'nix-shell', 'guix'),
                    'runs its command elsewhere'),
}

# They look at files that happen to be Python, and run none of it.
PLAIN = _set('cp mv cat ls rm touch echo printf test [ diff cmp wc head tail grep egrep fgrep rg sed awk gawk mawk tar zip '
             'unzip gzip gunzip xz zstd git chmod chown ln install rsync scp tee sort uniq cut tr mkdir rmdir curl wget file '
             'stat find basename dirname realpath readlink md5sum sha1sum sha256sum b3sum true false : exit set unset '
             'ruff black isort mypy pyright flake8 pylint pyflakes bandit mlops jq yq aws gsutil')


def looks_like_program(text: str) -> bool:
    """Whether a word is a program we know of, or a script."""
    name = text.rpartition('/')[2]
    return bool(PYTHON.match(name)) or name in WRAPPERS or name in LAUNCHERS or name in SHELLS or name in _RUNNERS \
        or text.startswith('./') or name.endswith(('.py', '.sh'))


_RUNNERS = _set('uv poetry pipenv pdm rye hatch conda mamba micromamba env')


def command_after(words: Sequence[Word], wrapper: Wrapper) -> tuple[Word, ...]:
    """The words of the command that a wrapper starts; ``words`` with the wrapper's own name first."""
    if wrapper.many:
        for index, word in enumerate(words[1:], 1):
            if word.text and not word.text.startswith('-') and looks_like_program(word.text):
                return tuple(words[index:])
    at, left, ended = 1, wrapper.positionals, False
    while at < len(words):
        text = words[at].text
        if text == '--' and not ended:
            ended = True
        elif text and not ended and text.startswith('-') and text != '-':
            at += text in wrapper.values
        elif left:
            left -= 1
        else:
            return tuple(words[at:])
        at += 1
    return ()


def launcher_call(words: Sequence[Word], launcher: Launcher) -> Call:
    """What a launcher's words have python run; ``words`` with the launcher's own name first."""
    at, module = 1, False
    if launcher.subcommand:
        if [word.text for word in words[1:2]] != [launcher.subcommand]:
            return Call('nothing')
        at = 2
    while at < len(words):
        word = words[at]
        text = word.text
        if text is None or not text.startswith('-') or text == '-':
            kind: Literal['script', 'module'] = 'module' if module else 'script'
            return Call(kind, word, tuple(words[at + 1:]))
        at += 1
        if text in ('-m', '--module') and text not in launcher.flags:
            module = True
        elif text in ('--no-python', '--no_python'):
            return _program_after(words, at, launcher)
        elif text != '--' and '=' not in text and text not in launcher.flags and at < len(words):
            following = words[at].text
            at += following is None or not (following.startswith('-') or following.endswith('.py'))
    return Call('nothing')


def _program_after(words: Sequence[Word], at: int, launcher: Launcher) -> Call:
    rest = launcher_call((words[0], *words[at:]), Launcher(launcher.flags))
    return Call('program', None, (rest.word, *rest.rest)) if rest.word else Call('nothing')


def python_call(words: Sequence[Word]) -> Call:
    """What the words of a python command have it run; ``words`` with python's own name first."""
    ignores = without = False
    at = 1
    while at < len(words):
        word = words[at]
        text = word.text
        if text is None:
            return Call('script', word, tuple(words[at + 1:]), ignores, without)
        if text == '-':
            return Call('input', word, tuple(words[at + 1:]), ignores, without)
        if text == '--' or not text.startswith('-'):
            at += text == '--'
            break
        at += 1
        if text.startswith('--'):
            if text in ('--version', '--help', '--help-all', '--help-env', '--help-xoptions'):
                return Call('nothing')
            at += text == '--check-hash-based-pycs'
            continue
        for index, letter in enumerate(text[1:], 1):
            ignores |= letter in 'EI'
            without |= letter in 'PI'
            if letter in 'Vh?':
                return Call('nothing')
            if letter in 'WX':
                at += index == len(text) - 1
                break
            if letter in 'mc':
                kind: Literal['module', 'code'] = 'module' if letter == 'm' else 'code'
                given = text[index + 1:]
                value = Word(given, given) if given else words[at] if at < len(words) else None
                return Call(kind, value, tuple(words[at + (not given):]), ignores, without)
    if at < len(words):
        return Call('script', words[at], tuple(words[at + 1:]), ignores, without)
    return Call('input', None, (), ignores, without)


def shell_text(words: Sequence[Word]) -> tuple[Literal['code', 'script', 'input'], Word | None]:
    """What a shell's words have it run: the text after ``-c``, a script, or its input."""
    at = 1
    coded = False
    while at < len(words):
        text = words[at].text
        if text is None or not text.startswith(('-', '+')) or text == '-':
            return ('code' if coded else 'script'), words[at]
        if text.startswith('--'):
            at += 1 + (text in ('--rcfile', '--init-file'))
            continue
        coded |= 'c' in text and text[0] == '-'
        at += 1 + text.endswith('o')
    return 'input', None
