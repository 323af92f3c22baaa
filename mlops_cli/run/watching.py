"""What may look on while stages run, without changing what they do: an audit.  A run knows no more of it than this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mlops_cli.core.digest import Digest
    from mlops_cli.core.job import Process
    from mlops_cli.fingerprint.stage import Draft


class Watch(Protocol):
    def around(
        self, attempt: str, draft: Draft, directory: str, processes: tuple[Process, ...], environment: dict[str, str]
    ) -> tuple[Process, ...]:
        """The processes of an attempt as they are to be started instead; may add to their environment.  ``directory``:
        absolute, where they start.  Raises OSError."""

    def discovered(self, attempt: str) -> tuple[tuple[str, Digest], ...] | None:
        """Path and identity of inputs that were opened and are declared nowhere, sorted, once all processes are gone;
        None where nobody looked."""
