"""Signatures of versions, approvals and promotions: whose keys count, and whether one is good.

Keys count only as ``.mlops/trust`` of the default branch lists them: who sends a branch cannot bring a key along."""

from __future__ import annotations

import base64
import os
from functools import cached_property

from mlops_cli import git, ssh
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.git import trunk
from mlops_cli.records.config import of_file
from mlops_cli.records.files import read_small
from mlops_cli.records.models import Fact, Version
from mlops_cli.records.policies import ModelPolicies

NAMESPACE = 'mlops-model'
LIMIT = 1 << 20


class Trunk:
    """What the default branch says that may not come with any other: keys, policies.  Where there is no repository, or nothing
    was committed to it yet, the folder itself.  What cannot be told or read is refused, never taken for nothing: everything
    here raises UserError (exit 5) then."""

    def __init__(self, root: Root) -> None:
        self._root = root

    @cached_property
    def commit(self) -> str:
        """Empty where the folder itself counts."""
        found = trunk.default_branch(self._root.path)
        if found is None:
            return ''
        self._require_project(found)
        return found.commit

    def _require_project(self, found: trunk.Trunk) -> None:
        """A branch that moves the project into another folder does not leave what counts for it behind."""
        folder = self._root.path
        if any(trunk.has(folder, found.commit, path) for path in (layout.ROOT, layout.PIPELINE_FILE)):
            return
        if others := trunk.elsewhere(folder, found.commit, (layout.CONFIG, layout.SIGNERS)):
            raise UserError(
                f'{found.name} has no project in this folder, but has {others[0]}: whose policies and keys count is not told',
                hint=f'let {found.name} have the project here first, by a commit that does nothing else',
                exit_code=ExitCode.REFUSED,
            )

    def _read(self, path: str) -> bytes | None:
        if not self.commit:
            try:
                return read_small(self._root, path, LIMIT)
            except FileNotFoundError:
                return None
        inside, _, name = path.rpartition('/')
        return trunk.read(self._root.path, self.commit, inside, name, LIMIT)

    @cached_property
    def signers(self) -> bytes:
        return (self._read(layout.SIGNERS) or b'').replace(b'\r\n', b'\n')

    @cached_property
    def policies(self) -> dict[str, ModelPolicies]:
        """Raises UserError where they cannot be read."""
        data = self._read(layout.CONFIG) if self.commit else None
        return policies_in(data) if data is not None else {}

    def who_signed(self, data: bytes, signature: str) -> tuple[str, ...]:
        """Those whose keys count and who signed these bytes.  Raises UserError where there is no ssh-keygen."""
        try:
            return ssh.signers_of(data, signature, NAMESPACE, self.signers)
        except ssh.Missing:
            raise _missing() from None

    def problem(self, one: Version | Fact) -> str:
        """Why a signature does not count; empty where it does.  Raises UserError where there is no ssh-keygen."""
        if not one.signature:
            return 'it is not signed'
        if not one.who.email:
            return 'it names no address, under which a key could be listed'
        if not self.signers.strip():
            where = 'the default branch' if self.commit else 'this project'
            return f'{where} lists no keys in {layout.SIGNERS}'
        try:
            return ssh.signature_problem(one.signed_part, one.signature, one.who.email, NAMESPACE, self.signers)
        except ssh.Missing:
            raise _missing() from None


def policies_in(data: bytes) -> dict[str, ModelPolicies]:
    """Of the text of a config file, in the order of the file.  Other settings in it are none of our business.

    Raises UserError where a policy is wrong: nobody may go on as if there were none."""
    errors: list[UserError] = []
    found = of_file(None, data, layout.CONFIG, True, errors)
    if errors:
        raise errors[0]
    start = 'models.'
    return {one.name.removeprefix(start): one.value for one in found if one.name.startswith(start)}


def key_of(signature: str) -> bytes:
    """The public key that a signature names, whether it is good or not; empty where it names none."""
    try:
        data = base64.b64decode(''.join(signature.split('\n')[1:]).partition('-----END')[0], validate=True)
    except ValueError:
        return b''
    size = int.from_bytes(data[10:14], 'big')
    return data[14 : 14 + size] if data[:6] == b'SSHSIG' and 0 < size <= len(data) - 14 else b''


def signature_of(data: bytes, key: str, folder: str) -> str:
    """``key``: a file; empty: what git signs with.  Raises UserError."""
    key = os.path.expanduser(key or _usual(folder))
    try:
        return ssh.sign(data, key, NAMESPACE)
    except ssh.Missing:
        raise _missing() from None
    except ValueError as error:
        raise UserError(
            f'{key} cannot sign: {error}', hint='name a key of yours with --key FILE', exit_code=ExitCode.WRONG_INPUT
        ) from error


def _usual(folder: str) -> str:
    """``user.signingKey``, of which a person's own settings are asked alone: a file of theirs."""
    found = git.setting(folder, 'user.signingKey')
    if not found or found.startswith(('key::', 'ssh-')):
        raise UserError(
            'git does not say with which key you sign', hint='--key FILE, or git config --global user.signingKey FILE'
        )
    return found


def _missing() -> UserError:
    return UserError('there is no ssh-keygen here, which signs and checks signatures', hint='install OpenSSH (8.2 or later)')
