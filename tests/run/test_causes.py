"""Which cause a failure has, by what was printed last."""

from __future__ import annotations

import pytest

from mlops_cli.core.events import StageEnded
from mlops_cli.run.causes import ADVICE, CAUSES, cause_of


def ended(*tail: str, code: int | None = 1, message: str = 'exit 1') -> StageEnded:
    return StageEnded('train', 'failed', 1.0, code, message=message, tail=tail)


@pytest.mark.parametrize(
    ('line', 'cause'),
    [
        ('torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB', 'oom'),
        ('RuntimeError: CUDA error: out of memory', 'oom'),
        ('MemoryError', 'oom'),
        ('numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.5 TiB', 'error'),
        ('jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate', 'oom'),
        ('fork: Cannot allocate memory', 'oom'),
        ('slurmstepd: error: Detected 1 oom-kill event(s)', 'oom'),
        ('slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-20T10:00:00 DUE TO PREEMPTION ***', 'preempted'),
        ('received Spot Instance interruption notice, saving', 'preempted'),
        ('compute: instance was preempted', 'preempted'),
        ('the scheduler may be preemptive', 'error'),
        ('RuntimeError: CUDA error: device-side assert triggered', 'cuda'),
        ('CUBLAS_STATUS_EXECUTION_FAILED', 'cuda'),
        ('torch.distributed.DistBackendError: NCCL error in: ../torch/csrc', 'cuda'),
        ('[1.2] NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off', 'cuda'),
        ('the peroxide oxidation of transaction xid=17', 'error'),
        ("OSError: [Errno 28] No space left on device: 'model.bin'", 'disk'),
        ('write error: Disk quota exceeded', 'disk'),
        ("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x'): Max retries exceeded with url", 'network'),
        ('curl: (7) Failed to connect: Connection refused', 'network'),
        ('Temporary failure in name resolution', 'network'),
        ('ConnectionResetError: [Errno 104] Connection reset by peer', 'network'),
        ('ValueError: loss is nan at step 17', 'nan'),
        ('Losses are NaN', 'nan'),
        ('gradients became nan', 'nan'),
        ('RuntimeError: non-finite loss', 'nan'),
        ('warning: 3 non-finite values were dropped', 'error'),
        ('KeyError: "lr"', 'error'),
        ('', 'error'),
        ('banana is nan', 'error'),
    ],
)
def test_a_line_tells_the_cause(line: str, cause: str) -> None:
    assert cause_of(ended('Traceback (most recent call last):', line, '')) == cause


def test_the_last_line_that_tells_one_counts() -> None:
    assert (
        cause_of(ended('Connection refused, trying again', 'ok', 'CUDA error: device-side assert triggered', 'bye')) == 'cuda'
    )
    assert cause_of(ended('CUDA error: device-side assert triggered', 'Connection refused')) == 'network'


def test_what_slurm_takes_away_is_preempted_and_no_failure_of_the_network() -> None:
    from mlops_cli.job.far_slurm import ENDINGS

    said = ENDINGS['PREEMPTED'][2]
    gone = StageEnded('train', 'failed', 1.0, None, message=f'{said} (job 12)', unreachable=True)
    assert cause_of(gone) == 'preempted'
    assert cause_of(StageEnded('train', 'failed', 1.0, None, message='its node failed', unreachable=True)) == 'network'


def test_without_a_line_the_way_it_ended_counts() -> None:
    assert cause_of(ended(code=137, message='ended by signal 9')) == 'killed'
    assert cause_of(ended('MemoryError', code=137, message='ended by signal 9')) == 'oom'
    assert cause_of(ended(code=1)) == 'error'
    assert cause_of(ended(code=None, message='the machine is gone')) == 'error'


def test_a_timeout_is_told_by_the_message_and_by_no_file_of_that_name() -> None:
    assert cause_of(ended('CUDA out of memory', code=143, message='took longer than its timeout')) == 'timeout'
    assert cause_of(ended(message='its inputs changed while it ran: timeout.csv')) == 'error'


def test_every_cause_has_advice_and_there_is_none_for_others() -> None:
    assert set(CAUSES) - {'error'} == ADVICE.keys()


def test_a_disk_too_full_for_the_log_is_told_by_the_message() -> None:
    assert cause_of(ended(message='cannot write the log /p/train.log: No space left on device')) == 'disk'
    assert cause_of(ended('CUDA out of memory', message='cannot write the log /p/train.log: No space left on device')) == 'oom'
