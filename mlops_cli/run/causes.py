"""Names the cause of a failure, for ``retry: {causes: [...]}`` and for the failure screen."""

from __future__ import annotations

import re

from mlops_cli.core.events import StageEnded

# In order: the first that fits.  Texts are those that CUDA, PyTorch, JAX, the kernel and common clients print.
_TEXTS = (
    ('oom', re.compile(r'out of memory|OutOfMemory|MemoryError|Cannot allocate memory|RESOURCE_EXHAUSTED|oom-kill', re.I)),
    ('cuda', re.compile(r'CUDA error|CUBLAS_STATUS|CUDNN_STATUS|NCCL error|Xid', re.I)),
    ('disk', re.compile(r'No space left on device|Disk quota exceeded', re.I)),
    (
        'network',
        re.compile(
            r'Connection (refused|reset|timed out)|Temporary failure in name resolution|Network is unreachable|'
            r'Read timed out|TLS handshake|Max retries exceeded',
            re.I,
        ),
    ),
    ('nan', re.compile(r'\b(loss|gradient)s? (is|became|contains?) nan\b|non-finite', re.I)),
)
CAUSES = ('timeout', 'oom', 'killed', 'cuda', 'disk', 'network', 'nan', 'error')
ADVICE = {
    'oom': 'lower the batch size, or give it less company: resources: {memory: ...}',
    'cuda': 'often a wrong shape or index: CUDA_LAUNCH_BLOCKING=1 shows where',
    'disk': 'free some room: what a failed stage left is in .mlops/local/failed',
    'network': 'try again, or set retry: {max: 2, causes: [network]}',
    'nan': 'lower the learning rate, or clip gradients',
    'killed': 'signal 9 is often the kernel, out of memory',
    'timeout': 'raise timeout, or set checkpoint so that it can go on where it stopped',
}


def cause_of(ended: StageEnded) -> str:
    """One of :data:`CAUSES`."""
    if 'timeout' in ended.message:
        return 'timeout'
    text = '\n'.join(ended.tail)
    for cause, pattern in _TEXTS:
        if pattern.search(text):
            return cause
    return 'killed' if ended.exit_code == 137 else 'error'
