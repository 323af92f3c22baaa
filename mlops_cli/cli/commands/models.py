"""``mlops models``: what is registered, who holds which alias, and how that came about."""

from __future__ import annotations

from mlops_cli.cli.commands import models_decide, models_look, models_sign, models_take
from mlops_cli.cli.folder import Folder

app = Folder(
    'Models: register, list (also without a command), show, compare, take out; approve, promote, roll back; the history.',
    helps=False,
)
models_take.register_commands(app)
models_look.register_commands(app)
models_decide.register_commands(app)
models_sign.register_commands(app)
app.alone = models_look.list_all
