"""What a stage moves over the network is in the record of its run, and drawn; between two machines, for the kernel."""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import Project

MB = 1_000_000
# Two network namespaces with a cable between them, in a user namespace, so that nobody need be root.
APART = """
set -e
ip link set lo up
ip link add here type veth peer name there
unshare -n sleep 120 & other=$!
until test "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/$$/ns/net)"; do sleep 0.05; done
ip link set there netns $other
ip addr add 192.0.2.1/24 dev here
ip link set here up
nsenter -n -t $other sh -c 'ip addr add 192.0.2.2/24 dev there; ip link set there up'
nsenter -n -t $other {python} server.py & server=$!
until test -e ready; do sleep 0.05; done
code=0; {python} -m mlops_cli run -q || code=$?
kill $server $other
exit $code
"""
SERVER = """
import socket, threading
server = socket.create_server(('192.0.2.2', 9000))
open('ready', 'w').close()
def serve(one):
    with one, one.makefile('rb') as lines:
        come, go = map(int, lines.readline().split())
        one.sendall(bytes(go))
        while come and (data := lines.read1(1 << 16)): come -= len(data)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
# Takes and gives so many bytes, part of that by a child, through connections that are open for a second.
CLIENT = """
import os, socket, sys, time
def move(take, give):
    with socket.create_connection(('192.0.2.2', 9000)) as one:
        one.sendall(b'%d %d\\n' % (give, take))
        time.sleep(1.2)
        while take: take -= len(one.recv(min(take, 1 << 16)))
        one.sendall(bytes(give))
        while give and one.recv(1): pass
if os.fork() == 0:
    move(30_000_000, 0)
    os._exit(0)
move(10_000_000, 5_000_000)
os.wait()
time.sleep(float(sys.argv[1]))
print('moved', file=open(sys.argv[2], 'w'))
"""
NEAR = """
import socket, threading, time
server = socket.create_server(('127.0.0.1', 0))
one, other = socket.create_connection(server.getsockname()), server.accept()[0]
threading.Thread(target=one.sendall, args=(bytes(20_000_000),), daemon=True).start()
left = 20_000_000
while left: left -= len(other.recv(1 << 16))
time.sleep(1.2)
open('near.txt', 'w').close()
"""
PIPELINE = """\
stages:
  far: {cmd: python client.py 0.7 far.txt, outs: [far.txt]}
  near: {cmd: python near.py, outs: [near.txt]}
"""


def test_what_goes_to_another_machine_counts(tmp_path: Path) -> None:
    tools = [name for name in ('unshare', 'nsenter', 'ip') if shutil.which(name) is None]
    if tools:
        pytest.skip(f'no {", ".join(tools)}')
    try_it = 'ip link add here type veth peer name there'
    if subprocess.run(['unshare', '-Urn', 'sh', '-c', try_it], capture_output=True, check=False).returncode:
        pytest.skip('no user namespaces with networks of their own')
    project = Project(tmp_path / 'project')
    project.init_git()
    for name, text in (('pipeline.yaml', PIPELINE), ('client.py', CLIENT), ('near.py', NEAR), ('server.py', SERVER)):
        project.write(name, text)
    script = APART.format(python=sys.executable)
    done = subprocess.run(['unshare', '-Urn', 'sh', '-c', script], cwd=project.path, env=project.environ, capture_output=True,
                          text=True, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    shown = project.mlops('runs', 'show', 'last', '--json').json
    usage = {one['name']: one['usage'] for one in shown['stages']}
    assert usage['far']['network_received_bytes'] == pytest.approx(40 * MB, abs=100)
    assert usage['far']['network_sent_bytes'] == pytest.approx(5 * MB, abs=100)
    assert not {'network_received_bytes', 'network_sent_bytes'} & set(usage['near']), 'it stayed within the machine'

    found = project.mlops('runs', 'show', 'last', '--usage', '--json').json
    series = {one['name']: one['series'] for one in found['stages']}
    assert found['columns'][-2:] == ['received_bytes', 'sent_bytes']
    assert series['far'][-1][-2:] == [usage['far'][f'network_{name}_bytes'] for name in ('received', 'sent')]
    drawn = project.mlops('runs', 'show', 'last', '--usage').out
    assert re.search(r'received +\S.* 40 MB, [\d.]+ MB/s at most', drawn) and re.search(r'sent +\S.* 5\.0 MB, ', drawn), drawn
    assert drawn.count('received') == 1
    project.mlops('runs', 'show', 'last', '--usage', '--html', 'usage.html')
    assert '40 MB received, 5.0 MB sent' in project.read('usage.html')
