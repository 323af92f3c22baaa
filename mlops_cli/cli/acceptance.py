"""What was accepted, as a JSON document that other programs rely on.  Values in, plain data out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.cli.documents import reason_document, rival_document
from mlops_cli.core.clock import iso
from mlops_cli.core.refs import ref_document
from mlops_cli.run.accept import Author, Done


def accept_document(
    done: Sequence[Done], author: Author, run: str | None, named: Sequence[str] = (), *, dry_run: bool = False
) -> dict[str, Any]:
    """``run``: the id of the run that was accepted, None for stages.  ``named``: the stages that were asked for."""
    return {
        'schema': 'mlops/accept/v1',
        'dry_run': dry_run,
        'run': run,
        'who': author.who,
        'host': author.host,
        'when': iso(author.now),
        'reason': author.reason.strip(),
        'stages': [_stage(one) for one in done],
        'up_to_date': up_to_date(done, named),
    }


def up_to_date(done: Sequence[Done], named: Sequence[str]) -> list[str]:
    """Stages that were asked for, and had nothing to accept."""
    accepted = {one.proposal.stage for one in done}
    return [name for name in named if name not in accepted]


def _stage(one: Done) -> dict[str, Any]:
    proposal = one.proposal
    return {
        'name': proposal.stage,
        'kind': proposal.kind,
        'was': proposal.was or None,
        'key': str(proposal.manifest.digest),
        'outputs': [ref_document(path, ref) for path, ref in proposal.outputs],
        'metrics': {f'{file}:{name}': value for file, name, value in proposal.metrics},
        'differed': [reason_document(why) for why in proposal.differs],
        'instead_of': [rival_document(other) for other in proposal.instead],
        'made_by': proposal.run or None,
        'pin': one.pin or None,
        'record': one.record or None,
    }
