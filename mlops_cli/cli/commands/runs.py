"""``mlops runs``: runs that were, and runs that go on.  What only one of the commands needs is imported when it is used."""

from __future__ import annotations

from mlops_cli.cli.commands import runs_apply, runs_diff, runs_keep, runs_list, runs_live, runs_show
from mlops_cli.cli.folder import Folder

app = Folder('Runs that were: list, show, diff, keep, apply; runs that go on: attach, cancel.')

for name, module in (('list', runs_list), ('show', runs_show), ('diff', runs_diff), ('keep', runs_keep), ('apply', runs_apply)):
    app.command(name, epilog=module.EXITS)(module.command)
runs_live.register(app)
