"""Values in scripts, judged by the real shells."""
from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlops_cli.pipeline.script import places
from mlops_cli.pipeline.template import Scope, TemplateError, render_command

SHELLS = sorted({os.path.realpath(path) for name in ('sh', 'dash', 'bash', 'busybox') if (path := shutil.which(name))})
every_shell = pytest.mark.parametrize('shell', SHELLS, ids=os.path.basename)

CANARIES = ['$(touch canary)', '`touch canary`', ';touch canary;', '\ntouch canary\n', "'$(touch canary)'", '"$(touch canary)"',
            '\'\ntouch canary\n\'', '"\ntouch canary\n"', ')\ntouch canary\n(', '}$(touch canary)', '&& touch canary',
            '| touch canary', '(touch canary)', '{v:=$(touch canary)}', 'a[$(touch canary)]', ';;esac\ntouch canary\n']
AWKWARD = [*CANARIES, '', ' ', '\n', '\n\n', '\t', '\r\n', "'", '"', '`', '\\', '\\\\', 'a\\', "a'b", "''", '$', '$$', '$HOME',
           '${HOME}', '$(', '!', '!!', '*', '?', '[a-z]*', '~', '~root', '~/x', '-', '--', '-n', '-e', '#', '# no comment', ';',
           '&', '|', '<', '>', '>&2', '2', '2>', '(', ')', '{a,b}', '{1..3}', '%s', '%n', '\\n', '\\0', '=', 'A=b', '^', 'é',
           '日本語', '\u0101\u0081', '\x7f', '\x01\x02', '\x81\x88', '\xed\xa0\x80',
           '\u2028', 'if', 'done', ' lead', 'trail ', 'a b', 'a  b', '-x y', 'EOF', '\nEOF\n', '${v}', '\\${v}', 'x' * 900]

# A place to stand, and what arrives there.
POSITIONS = {
    '${v}': '{}', '"${v}"': '{}', "'${v}'": '{}',
    '--x=${v}y': '--x={}y', '"a${v}b"': 'a{}b', "'a${v}b'": 'a{}b', 'a"${v}"b': 'a{}b', '${v}${v}': '{}{}',
    '"${v}${v}"': '{}{}', '"$unset${v}"': '{}', '$unset${v}': '{}', '"$1${v}"': 'one{}', '$1${v}': 'one{}',
    '"$1${v}$1"': 'one{}one',
    '~${v}': '~{}', '{${v}}': '{{{}}}', '"{a,${v}}"': '{{a,{}}}', 'x#${v}': 'x#{}', '${v}#c': '{}#c', '\\\\${v}': '\\{}',
    '"\\\\${v}"': '\\{}', "'\\\\${v}'": '\\\\{}', '\\$${v}': '${}', '"\\$${v}"': '${}', '"${v}\\\\"': '{}\\', 'a=${v}': 'a={}',
    "\"'${v}'\"": "'{}'", '"it\'s ${v}"': "it's {}", "'\"${v}\"'": '"{}"', 'a\\\n${v}': 'a{}', '"${v}\\\n"': '{}',
    '[${v}': '[{}',
}
FRAGMENTS = st.sampled_from([*AWKWARD[:-1], 'word', '0.1'])
VALUES = st.one_of(
    st.text(st.characters(exclude_characters='\0', exclude_categories=('Cs',))),
    st.text(st.sampled_from('\'"`\\$ \n\t!*?[]{}()<>|&;#~=-%^a1\x01\x81é')),
    st.lists(FRAGMENTS, max_size=6).map(''.join),
)


def run(shell: str, script: str, folder: Path, *arguments: str) -> bytes:
    """What a script prints under a shell that is started as ``sh``."""
    command = ['sh', '-c', script, *arguments]
    if os.path.basename(shell) == 'busybox':
        command.insert(0, 'busybox')
    done = subprocess.run(command, executable=shell, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL,
                          env={'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8'}, timeout=60)
    assert done.returncode == 0, (script, done.stderr)
    return done.stdout


def words(output: bytes) -> list[str]:
    return output.decode('utf-8', 'surrogateescape').split('\0')[:-1]


def arrives_everywhere(shell: str, values: list[str], folder: Path) -> None:
    lines, expected = [], []
    for value in values:
        scope = Scope({'v': value})
        for position, arrived in POSITIONS.items():
            lines.append(render_command(f"printf '%s\\0' {position}", scope))
            expected.append(arrived.format(value, value))
    assert words(run(shell, '\n'.join(lines), folder, 'sh', 'one')) == expected
    assert os.listdir(folder) == []


@every_shell
def test_awkward_values_arrive_byte_for_byte_wherever_they_stand(shell: str, tmp_path: Path) -> None:
    for value in AWKWARD:
        arrives_everywhere(shell, [value], tmp_path)


@every_shell
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, min_size=10, max_size=20))
def test_any_text_arrives_byte_for_byte(shell: str, tmp_path: Path, values: list[str]) -> None:
    arrives_everywhere(shell, values, tmp_path)


@every_shell
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, min_size=1, max_size=10))
@example(values=CANARIES)
def test_lists_become_words_and_assignments_keep_their_text(shell: str, tmp_path: Path, values: list[str]) -> None:
    scope = Scope({'list': values, 'v': values[0], 'options': {'names': values, 'on': True, 'off': False}})
    script = render_command('\n'.join([
        'for x in ${list}; do printf "%s\\0" "$x"; done',
        'for x in ${list}',
        'do printf "%s\\0" "$x"; done',
        'printf "%s\\0" ${list}',
        'A=${v}; printf "%s\\0" "$A"',
        'A="${v}"; printf "%s\\0" "$A"',
        'A=${v} B=a${v} sh -c \'printf "%s\\0" "$A" "$B"\'',
        'case ${v} in ${v}) printf "%s\\0" same;; esac',
        'case "${v}" in "${v}") printf "%s\\0" same;; esac',
        '(printf "%s\\0" ${v}) && { printf "%s\\0" ${v}; }',
        'show() { printf "%s\\0" "$@"; }; show ${options} ${v}',
        'cat <<E; printf "%s\\0" ${v}',
        'E',
    ]), scope)
    first = values[0]
    assert words(run(shell, script, tmp_path)) == [
        *values, *values, *values, first, first, first, f'a{first}', 'same', 'same', first, first,
        '--names', *values, '--on', first, first]
    assert os.listdir(tmp_path) == []


@every_shell
@pytest.mark.parametrize('value', [value for value in AWKWARD if value and '/' not in value and len(value) < 200])
def test_a_redirection_goes_to_the_file_of_that_name(shell: str, tmp_path: Path, value: str) -> None:
    script = render_command('printf "%s\\0" ${v}>${v}; printf more>>"./${v}"; cat <${v}; cat < "${v}"', Scope({'v': value}))
    if value == '-' and os.path.basename(shell) == 'busybox':
        return
    assert run(shell, script, tmp_path).decode() == f'{value}\0more' * 2
    assert os.listdir(tmp_path) == [value]


@every_shell
@pytest.mark.parametrize('value', ['if', 'done', '{', '!', 'A=b', 'case', '[[', 'no-such-command', '$(touch canary)', 'a b',
                                   ''])
def test_a_value_in_the_place_of_a_command_is_only_ever_a_name(shell: str, tmp_path: Path, value: str) -> None:
    for line in ('${v}', 'true && ${v} x', 'if ${v}; then printf wrong; fi; false', 'B=1 ${v}', '{ ${v}; }', '(${v})',
                 'for x do ${v}; done',
                 'case a in a) ${v};; esac', '! ${v}; false', '>out ${v}', '2>out ${v}', 'while ${v}; do break; done; false',
                 '${v}\\\n'):
        script = render_command(f'command_not_found_handle() {{ return 127; }}; set -- 1; {line} 2>&1', Scope({'v': value}))
        done = subprocess.run(['busybox', 'sh', '-c', script] if 'busybox' in shell else ['sh', '-c', script], executable=shell,
                              cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode in (1, 126, 127), (script, done)
        assert 'yntax' not in done.stderr.decode()
    assert set(os.listdir(tmp_path)) <= {'out'}


@every_shell
def test_what_only_looks_like_a_special_place_is_an_ordinary_one(shell: str, tmp_path: Path) -> None:
    value = "a'b $(touch canary)"
    scripts = {
        'x=$(echo "a ) b" | cat; case a in a) echo ")";; esac # )\n); printf "%s\\0" ${v}': [value],
        'x=`echo "$(echo b)"`; printf "%s\\0" ${v}': [value],
        'x=$(( (1 + 2) * 3 )); printf "%s\\0" $x ${v}': ['9', value],
        'x=$( (echo a) ); printf "%s\\0" $x ${v}': ['a', value],
        'x=\\${unset:-"a}b"}; printf "%s\\0" "$x" ${v}': ['a}b', value],
        'x="\\${unset:-$(echo "}")}"; printf "%s\\0" "$x" "${v}"': ['}', value],
        'cat <<"E" >/dev/null\n${nothing\nE\nprintf "%s\\0" ${v}'.replace('${nothing', '\\${nothing'): [value],
        'cat <<-E >/dev/null; printf "%s\\0" ${v}\n\ta "\n\tE\nprintf "%s\\0" \'${v}\'': [value, value],
        'cat <<A <<B >/dev/null; printf "%s\\0" ${v}\n\'\nA\n"\nB\nprintf "%s\\0" ${v}': [value, value],
        'cat <<E >/dev/null\na\\\nE\nE\nprintf "%s\\0" ${v}': [value],
        "printf '%s\\0' a#b ${v} # it's a comment\nprintf '%s\\0' ${v}": ['a#b', value, value],
        "printf '%s\\0' \\# \\' ${v}": ['#', "'", value],
        'case "(" in "(") printf "%s\\0" ${v};; (b|${v}) :;; esac; printf "%s\\0" ${v}': [value, value],
        'printf "%s\\0" "$(printf %s "$#")" "${v}"': ['0', value],
        'if [ ${v} = "${v}" ]; then printf "%s\\0" ${v}; fi': [value],
        'f() { printf "%s\\0" "$1"; }\nf ${v}': [value],
        'printf "%s\\0" 1 2>&1 ${v}': ['1', value],
    }
    for script, expected in scripts.items():
        assert words(run(shell, render_command(script, Scope({'v': value})), tmp_path)) == expected, script
    assert os.listdir(tmp_path) == []


REFUSED = {
    'echo $(cat ${v})': '$( )', 'echo "$(cat "${v}")"': '$( )', 'echo `cat ${v}`': 'backticks',
    'echo "`cat \'${v}\'`"': 'backticks',
    'echo $((1 + ${v}))': 'arithmetic', '((x = ${v}))': '((', '((a); b) | c ${v}': '((', 'x=$((a); (b)) ${v}': '((',
    'echo \\${x:-${v}}': 'the ${...} of the shell',
    'echo "\\${x:-${v}}"': 'the ${...} of the shell', 'cat <<E\n${v}\nE\n': 'a here-document',
    "cat <<'E'\n${v}\nE\n": 'a here-document',
    'cat <<-E\n\t${v}\n\tE\n': 'a here-document', 'cat <<${v}\n': 'a here-document', 'cat <<< ${v}': 'a here-string',
    'cat <<<"${v}"': 'a here-string', "echo $'${v}'": "$'...'", 'echo a # ${v}': 'a comment', '# ${v}\necho': 'a comment',
    '[[ ${v} -eq 1 ]]': '[[ ]]', '[[ "${v}" -eq 1 ]]': '[[ ]]', 'a[${v}]=1': 'arithmetic', 'a["${v}"]=1': 'arithmetic',
    'echo $${v}': 'lone', 'echo "$${v}"': 'lone', 'echo $[1+${v}]': '$[ ]', "echo 'a ${v}": 'quotes', 'echo "a ${v}': 'quotes',
    'echo $(a ${v}': '$(', "x=$'it\\'s' ${v}": 'backslash', 'cat <<E $(echo a\n) ${v}\nE\n': '$( )',
    'echo "\\${x#\'}" ${v} \'': 'single quote', 'cat <\\\n<E\n${v}\nE\n': 'two lines',
    'a=$(cat <<E) ${v}\nE\n': 'here-document', '$(' * 60 + '${v}' + ')' * 60: '50 levels',
}


@pytest.mark.parametrize('script', REFUSED)
def test_where_no_quoting_is_safe_in_every_shell_the_value_is_refused_with_a_way_out(script: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render_command(script, Scope({'v': 'harmless'}))
    assert REFUSED[script] in caught.value.message
    assert caught.value.hint
    assert caught.value.offset == script.index('${v}')


def test_the_way_out_works(tmp_path: Path) -> None:
    value = 'a b $(touch canary)'
    with pytest.raises(TemplateError) as caught:
        render_command('printf "%s\\0" "$(printf %s ${train.name})"', Scope({'train': {'name': value}}))
    assert '$MLOPS_PARAM_TRAIN_NAME' in caught.value.hint
    assert 'value=${train.name}' in caught.value.hint
    script = render_command('value=${train.name}\nprintf "%s\\0" "$(printf %s "$value")"', Scope({'train': {'name': value}}))
    assert words(run(SHELLS[0], script, tmp_path)) == [value]
    assert os.listdir(tmp_path) == []


def test_simple_values_stay_as_people_wrote_them() -> None:
    scope: dict[str, Any] = {'name': 'forest', 'lr': 1e-4, 'on': True, 'path': 'data/a-b_c.csv', 'layers': [1, 2]}
    assert (render_command('python train.py --model ${name} --lr ${lr} --on=${on} ${layers} "${path}" > ${path}', Scope(scope))
            == 'python train.py --model forest --lr 0.0001 --on=true 1 2 "data/a-b_c.csv" > data/a-b_c.csv')
    assert render_command('${name} --x', Scope(scope)) == 'forest --x'
    assert render_command('A=${name} b', Scope(scope)) == 'A=forest b'
    assert render_command('echo ${name}>f', Scope(scope)) == "echo 'forest'>f"
    assert render_command('python ${name}.py \\\n  --lr ${lr}', Scope(scope)) == 'python forest.py \\\n  --lr 0.0001'


@pytest.mark.parametrize('script', ['--x=${l}', '"${l}"', "'${l}'", '> ${l}', '${l}x', 'A=${l}', '${l}${l}', '--x=${m}',
                                    '"${m}"'])
def test_several_words_need_a_place_of_their_own(script: str) -> None:
    with pytest.raises(TemplateError, match='a word of its own'):
        render_command(f'echo {script}', Scope({'l': [1], 'm': {'a': 1}}))


def test_every_hole_has_a_place_however_broken_the_script_is() -> None:
    letters = ['\0', "'", '"', '`', '$', '(', ')', '{', '}', '\\', '\n', '<<E', 'E', ' ', ';', 'case a in ', 'esac', '#', '[[',
               ']]']
    chance = random.Random(7)
    for _ in range(3000):
        script = ''.join(chance.choice(letters) for _ in range(chance.randint(1, 25)))
        assert len(places(script)) == script.count('\0')


@pytest.mark.parametrize('script', ['$((' * 3000, '$(' * 3000, 'a' * 200_000, '\\\n' * 50_000, '((a) ' * 5000, '"${' * 5000,
                                    '<<E ' * 5000, "$'\\'" * 5000, '${', "'" * 9999, '`' * 9999])
@pytest.mark.timeout(10)
def test_hostile_scripts_take_no_time(script: str) -> None:
    assert len(places(f'{script}\0')) == 1


PIECES = ['"', "'", '`', '$(', ')', 'echo ', ' ', '\n', '\\\\', '\\$', '$', '#', '<<E ', '<<-E\n', '<<"E"\n', '\nE\n', 'E',
          'case a in ',
          'a)', '(', ' ;; ', 'esac', '((', '))', '{ ', '; }', '$((', '>', '[[ ', ' ]]', 'x=', '-eq ', 'if ', ' then ', '; fi',
          '\\\n',
          "$'", "\\'", '\\"', '\\${', '}', '&', '|', '&&', ';', '~', 'for i in ', 'do ', 'done', '1', 'a', '2', '<', '<<<',
          '$x', '${v} ', '${v}', '"${v}"', "'${v}'", '${w}', ':-', '!', '*', '[', '=', '\t', 'in ', '$[', ']', '\\`', '\\)']
PAYLOADS = [canary.replace('touch canary', '>canary') for canary in CANARIES] + ['\\', 'x\\', 'A=b', 'if', '\nE\n>canary\n']


def fuzz(shell: str, folder: Path, seed: int, count: int) -> int:
    """Random scripts with hostile values: whatever is not refused must not write the canary.  Returns how many ran."""
    chance = random.Random(seed)
    ran = 0
    while ran < count:
        text = chance.choice(['', 'echo ', 'echo "', "echo '", 'x=']) + ''.join(
            chance.choice(PIECES) for _ in range(chance.randint(1, 14))) + '${v}' + chance.choice(PIECES)
        values = {'v': chance.choice(PAYLOADS), 'w': chance.choice(PAYLOADS)}
        try:
            script = render_command(text, Scope(values))
        except TemplateError:
            continue
        subprocess.run(['busybox', 'sh', '-c', script] if 'busybox' in shell else ['sh', '-c', script], executable=shell,
                       cwd=folder, env={'PATH': '/nonexistent'}, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert not (folder / 'canary').exists(), (text, values, script)
        ran += 1
    return ran


@every_shell
def test_no_script_lets_a_value_run(shell: str, tmp_path: Path) -> None:
    assert fuzz(shell, tmp_path, seed=1, count=150)


@pytest.mark.full
@every_shell
def test_no_script_of_many_lets_a_value_run(shell: str, tmp_path: Path) -> None:
    assert fuzz(shell, tmp_path, seed=2, count=8000)
