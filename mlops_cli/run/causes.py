"""Names the cause of a failure, for ``retry: {causes: [...]}`` and for the failure screen.  Judges by what was printed last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops_cli.core.paths import shell_word
from mlops_cli.core.patterns import pattern

if TYPE_CHECKING:
    from mlops_cli.core.events import StageEnded

# In order: the first that fits a line.  Texts are those that CUDA, PyTorch, JAX, the kernel and common clients print.
_TEXTS = (
    ('preempted', pattern(r'\bDUE TO PREEMPTION\b|\bspot (?:instance )?(?:interruption|termination) notice\b|'
                          r'\binstance (?:was|is being) preempted\b', re.I)),
    ('oom', pattern(r'out of memory|OutOfMemory|\bMemoryError\b|Cannot allocate memory|RESOURCE_EXHAUSTED|oom-kill', re.I)),
    ('cuda', pattern(r'CUDA(?: driver| runtime)? error|CUBLAS_STATUS|CUDNN_STATUS|NCCL error|\bNVRM: Xid\b', re.I)),
    ('disk', _FULL := pattern(r'No space left on device|Disk quota exceeded', re.I)),
    (
        'network',
        pattern(
            r'Connection (?:refused|reset|aborted|timed out)|Temporary failure in name resolution|'
            r'Network is unreachable|Read timed out|TLS handshake|Max retries exceeded',
            re.I,
        ),
    ),
    (
        'nan',
        pattern(
            r'\b(?:loss(?:es)?|gradients?) (?:is|are|became|contains?) (?:nan|inf)\b|non-finite (?:loss|gradient)', re.I
        ),
    ),
)
_TIMEOUT = pattern(r'\bits timeout\b')  # as run.settle words it, and no name of a file
_TAKEN = pattern(r'\btook its node for another job\b')  # as job.far_slurm words it
CAUSES = ('timeout', 'oom', 'killed', 'preempted', 'cuda', 'disk', 'network', 'nan', 'error')
ADVICE = {
    'oom': 'lower the batch size, or give it less company: resources: {memory: ...}',
    'cuda': 'often a wrong shape or index: CUDA_LAUNCH_BLOCKING=1 shows where',
    'disk': 'free some room: what a failed stage left is in .mlops/local/failed',
    'network': 'try again, or set retry: {max: 2, causes: [network]}',
    'preempted': 'retry: {max: 3, causes: [preempted]} begins it again; with checkpoint it goes on where it was',
    'nan': 'lower the learning rate, or clip gradients',
    'killed': 'signal 9 is often the kernel, out of memory',
    'timeout': 'raise timeout, or set checkpoint so that it can go on where it stopped',
}


def cause_of(ended: StageEnded) -> str:
    """One of :data:`CAUSES`.  Of several causes in what it printed the last line counts: what came before was survived."""
    if _TAKEN.search(ended.message):
        return 'preempted'
    if ended.unreachable:
        return 'disk' if _FULL.search(ended.message) else 'network'
    if _TIMEOUT.search(ended.message):
        return 'timeout'
    for line in reversed(ended.tail):
        for cause, text in _TEXTS:
            if text.search(line):
                return cause
    if _FULL.search(ended.message):  # such as that there was no room for what it prints
        return 'disk'
    return 'killed' if ended.exit_code == 137 else 'error'


def advice(kind: str, subject: str, detail: str) -> str:
    """What to do about an input that is missing; ``kind``, ``subject`` and ``detail`` of the reason that tells of it."""
    path = shell_word(subject)
    if 'not part of this run' in detail:
        return 'leave --only away, or run that stage first'
    if kind == 'output':
        return f'restore it (mlops checkout {path}), or let the stage run: take frozen away'
    if 'neither here nor in this cache' in detail:
        return f'bring it from a remote (mlops pull {path}), or copy it here'
    if kind == 'code':
        return 'put it back, or correct the command or code: of the stage'
    return f'put it there (mlops checkout {path} if it was tracked), or list it under the outs of the stage that makes it'
