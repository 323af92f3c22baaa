"""Runs stages on this machine at the lowest priority, so that the person at it notices nothing."""

from dataclasses import replace

from mlops_cli.core.job import Process
from mlops_cli.executors import all as executors


def create(folder):
    """``folder``: absolute path of a folder for what has to outlive this process.  Starts nothing yet."""
    return Nice(executors.create('local', folder))


class Nice:
    def __init__(self, inner):
        self.inner = inner

    def submit(self, job):
        """Starts a job and returns its handle at once."""
        lowered = tuple(Process(('nice', '-n', '19', *process.argv)) for process in job.processes)
        return self.inner.submit(replace(job, processes=lowered))

    def poll(self, timeout_seconds):
        """The outcomes of jobs that ended since the last call; waits so long for the first."""
        return self.inner.poll(timeout_seconds)

    def cancel(self, handle, *, force=False):
        """Ends a job after its grace, with ``force`` at once; its outcome still comes by poll."""
        self.inner.cancel(handle, force=force)

    def collect(self, handle):
        """None: log and outputs lie where the job names them already."""
        return self.inner.collect(handle)

    def close(self):
        """Ends what still runs; the outcomes of that."""
        return self.inner.close()
