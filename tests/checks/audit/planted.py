"""Ways to read a file that a stage does not declare.  Each is a snippet of Python that reads ``P``, a path of its own."""

from __future__ import annotations

# name -> statements.  P: path of the file, relative to the project; A: the same, absolute; F: its folder; N: its name.
PYTHON = {
    'open': 'open(P).read()',
    'open-binary': 'open(P, "rb").read()',
    'open-unbuffered': 'open(P, "rb", buffering=0).read()',
    'open-update': 'open(P, "r+").close()',
    'os-open': 'os.read(os.open(P, os.O_RDONLY), 9)',
    'os-open-flags': 'os.read(os.open(P, os.O_RDWR | os.O_CREAT), 9)',
    'pathlib': 'pathlib.Path(P).read_text()',
    'absolute': 'open(A).read()',
    'dotted': 'open(os.path.join(F, "..", os.path.basename(F), ".", N)).read()',
    'io': 'io.open(P).read()',
    'codecs': 'codecs.open(P, encoding="utf-8").read()',
    'fileinput': 'list(fileinput.input([P]))',
    'linecache': 'linecache.getlines(P)',
    'mmap': 'f = open(P, "rb"); mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:3]',
    'sendfile': 'shutil.copyfile(P, "out/copied")',
    'copytree': 'shutil.copytree(F, "out/tree")',
    'bytes-path': 'open(os.fsencode(P)).read()',
    'dir-fd': 'd = os.open(F, os.O_RDONLY); os.read(os.open(N, os.O_RDONLY, dir_fd=d), 9)',
    'dir-fd-path': 'd = os.open(F, os.O_PATH | os.O_DIRECTORY); os.read(os.open(N, os.O_RDONLY, dir_fd=d), 9)',
    'proc-fd': 'f = os.open(P, os.O_RDONLY); open(f"/proc/self/fd/{f}").read()',
    'chdir': 'os.chdir(F); open(N).read(); os.chdir(ROOT)',
    'fchdir': 'd = os.open(F, os.O_RDONLY); os.fchdir(d); open(N).read(); os.chdir(ROOT)',
    'thread': 't = threading.Thread(target=lambda: open(P).read()); t.start(); t.join()',
    'threads': 'list(concurrent.futures.ThreadPoolExecutor(4).map(lambda _: open(P).read(), range(40)))',
    'asyncio': 'asyncio.run(asyncio.to_thread(lambda: open(P).read()))',
    'fork': 'p = os.fork()\nif not p:\n    open(P).read(); os._exit(0)\nos.waitpid(p, 0)',
    'double-fork': 'p = os.fork()\nif not p:\n    q = os.fork()\n    if not q:\n        open(P).read()\n    else:\n'
    '        os.waitpid(q, 0)\n    os._exit(0)\nos.waitpid(p, 0)',
    'setsid': 'p = os.fork()\nif not p:\n    os.setsid(); open(P).read(); os._exit(0)\nos.waitpid(p, 0)',
    'multiprocessing': 'multiprocessing.get_context("fork").Pool(2).map(reader, [P])',
    'spawn': 'subprocess.run([sys.executable, "-c", "import sys; open(sys.argv[1]).read()", P], check=True)',
    'isolated': 'subprocess.run([sys.executable, "-I", "-S", "-c", "import sys; open(sys.argv[1]).read()", A], check=True)',
    'cat': 'subprocess.run(["cat", P], check=True, stdout=subprocess.DEVNULL)',
    'cat-elsewhere': 'subprocess.run(["cat", N], cwd=F, check=True, stdout=subprocess.DEVNULL)',
    'no-environment': 'subprocess.run(["/bin/cat", P], env={}, check=True, stdout=subprocess.DEVNULL)',
    'redirected': 'subprocess.run(["cat"], stdin=open(P), check=True, stdout=subprocess.DEVNULL)',
    'system': 'os.system(f"head -c 3 {shlex.quote(P)} > /dev/null")',
    'popen': 'os.popen(f"wc -c < {shlex.quote(P)}").read()',
    'posix-spawn': 'os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", f"read x < {shlex.quote(P)}"], os.environ), 0)',
    'gzip': 'gzip.open(P).read()',
    'bz2': 'bz2.open(P).read()',
    'lzma': 'lzma.open(P).read()',
    'zip': 'zipfile.ZipFile(P).namelist()',
    'tar': 'tarfile.open(P).getnames()',
    'json': 'json.load(open(P))',
    'csv': 'list(csv.reader(open(P)))',
    'pickle': 'pickle.load(open(P, "rb"))',
    'shelve': 'dbm.dumb.open(P.removesuffix(".dat"), "r").keys()',
    'sqlite': 'sqlite3.connect(P).execute("select * from t").fetchall()',
    'sqlite-uri': 'sqlite3.connect(f"file:{P}?mode=ro", uri=True).execute("select * from t").fetchall()',
    'glob': '[open(x).read() for x in glob.glob(F + "/*")]',
    'walk': '[open(os.path.join(r, n)).read() for r, _, ns in os.walk(F) for n in ns]',
    'symlink': 'os.symlink(A, "out/link"); open("out/link").read(); os.unlink("out/link")',
    'hardlink': 'os.link(P, "out/hard"); open("out/hard").read()',
    'renamed-link': 'os.symlink(A, "t1"); os.rename("t1", "t2"); open("t2").read(); os.unlink("t2")',
    'import': 'importlib.import_module(P[:-3].replace("/", "."))',
    'run-path': 'runpy.run_path(P)',
    'exec': 'exec(compile(open(P).read(), P, "exec"))',
    'ctypes': 'ctypes.CDLL(None).fopen.restype = ctypes.c_void_p; ctypes.CDLL(None).fopen(A.encode(), b"r")',
    'program': 'subprocess.run([A], check=True)',
    'script': 'subprocess.run(["sh", P], check=True)',
    'quote': 'open(P).read()',
    'newline': 'open(P).read()',
    'no-utf8': 'open(P).read()',
    'blank': 'open(P).read()',
    'angle': 'open(P).read()',
    'unfinished': 'open(P).read()',
    'native-c': 'subprocess.run(["./native", P], check=True)',
    'static-c': 'subprocess.run(["./static", P], check=True)',
    'duckdb': 'duckdb.sql(f"select * from \'{P}\'").fetchall()',
    'duckdb-parquet': 'duckdb.sql(f"select * from \'{P}\'").fetchall()',
    'numpy': 'numpy.load(P)',
    'numpy-mmap': 'numpy.load(P, mmap_mode="r")[0]',
    'numpy-text': 'numpy.loadtxt(P)',
    'numpy-memmap': 'numpy.memmap(P, mode="r")[0]',
    'numpy-fromfile': 'numpy.fromfile(P, dtype="u1")',
    'pyarrow-csv': 'pyarrow.csv.read_csv(P)',
    'pyarrow-parquet': 'pyarrow.parquet.read_table(P)',
    'pyarrow-mmap': 'pyarrow.memory_map(P).read()',
    'pyarrow-dataset': 'pyarrow.dataset.dataset(F).to_table()',
    'pandas-csv': 'pandas.read_csv(P)',
    'pandas-arrow': 'pandas.read_csv(P, engine="pyarrow")',
    'pandas-parquet': 'pandas.read_parquet(P)',
    'polars-csv': 'polars.read_csv(P)',
    'polars-scan': 'polars.scan_csv(P).collect()',
    'polars-parquet': 'polars.scan_parquet(P).collect()',
}  # fmt: skip
NAMES = {
    'import': 'late.py', 'exec': 'late.py',
    'run-path': 'late.py', 'gzip': 'x.gz', 'bz2': 'x.bz2', 'lzma': 'x.xz', 'zip': 'x.zip',
    'tar': 'x.tar', 'json': 'x.json', 'csv': 'x.csv', 'pickle': 'x.pkl', 'shelve': 'x.dat', 'sqlite': 'x.sqlite',
    'sqlite-uri': 'x.sqlite', 'program': 'tool', 'script': 'x.sh', 'quote': 'a "b" \\n \'c\'', 'newline': 'a\nb\t\x1b[31mc',
    'no-utf8': b'\xff\xfe'.decode('utf-8', 'surrogateescape'), 'blank': ' x  y ', 'angle': 'a>b<c) = 3', 'numpy': 'x.npy',
    'unfinished': 'x <unfinished ...>', 'numpy-mmap': 'x.npy', 'duckdb': 'x.csv', 'duckdb-parquet': 'x.parquet',
    'pyarrow-parquet': 'x.parquet', 'pandas-parquet': 'x.parquet', 'polars-parquet': 'x.parquet', 'pyarrow-csv': 'x.csv',
    'pyarrow-dataset': 'x.parquet',
    'pandas-csv': 'x.csv', 'pandas-arrow': 'x.csv', 'polars-csv': 'x.csv', 'polars-scan': 'x.csv',
}  # fmt: skip
HEAD = """\
import asyncio, bz2, codecs, concurrent.futures, csv, ctypes, dbm.dumb, fileinput, glob, gzip, importlib, io, json, linecache
import lzma, mmap, multiprocessing, os, pathlib, pickle, runpy, shlex, shutil, sqlite3, subprocess, sys, tarfile
import threading, zipfile
ROOT = os.getcwd()
sys.path.insert(0, ROOT)
def reader(path):
    return open(path).read()
os.makedirs('out', exist_ok=True)
"""
NATIVE = """\
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(int n, char **a) { char b[4]; long f = syscall(SYS_openat, AT_FDCWD, a[1], O_RDONLY); return read((int)f, b, 3) < 0; }
"""
MODULES = {'duckdb': 'duckdb', 'numpy': 'numpy', 'pyarrow': 'pyarrow', 'pandas': 'pandas', 'polars': 'polars'}
SUBMODULES = {'pyarrow': 'import pyarrow.csv, pyarrow.parquet, pyarrow.dataset'}


def script(plants: dict[str, str]) -> str:
    """A program that reads each file its own way.  ``plants``: name -> path from the project."""
    parts = [HEAD]
    used = {module for name in plants if (module := MODULES.get(name.partition('-')[0]))}
    parts += [f'{SUBMODULES.get(module, f"import {module}")}\n' for module in sorted(used)]
    for name, path in plants.items():
        folder, _, last = path.rpartition('/')
        parts.append(f'P, F, N = {path!r}, {folder!r}, {last!r}\nA = os.path.join(ROOT, P)\n')
        parts.append(f'{PYTHON[name]}\n')
    parts.append("open('out/done', 'w').write('done')\n")
    return ''.join(parts)
