"""References to stored content."""
from __future__ import annotations

from typing import Any, Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of

Kind = Literal['file', 'exec', 'tree']
SIZE_LIMIT = 1 << 63  # bytes; no file system and no database of ours can hold more


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """A file, an executable file or a folder (tree), by content.

    ``size``: bytes of the content; of a tree, of all its files."""

    digest: Digest
    size: int
    kind: Kind

    @property
    def identity(self) -> Digest:
        """What a key hashes: the content, and for a file its executable bit too.

        For plain files and trees that is the digest itself (a tree's nodes hold the bits of its files)."""
        if self.kind == 'exec':
            return digest_of(b'mlops exec-v1\n' + self.digest.hex.encode())
        return self.digest

    def to_json(self) -> list[object]:
        return [self.kind, str(self.digest), self.size]

    @classmethod
    def from_json(cls, value: object) -> ObjectRef:
        """Raises ValueError on anything :meth:`to_json` cannot have written."""
        match value:
            case ['file' | 'exec' | 'tree' as kind, str(digest), int(size)] if type(size) is int and 0 <= size < SIZE_LIMIT:
                return cls(Digest.parse(digest), size, kind)
        raise ValueError(f'not an object reference: {str(value)[:80]}')


def ref_document(path: str, ref: ObjectRef) -> dict[str, Any]:
    """What lies at a path, as the JSON documents of all commands have it."""
    return {'path': path, 'kind': ref.kind, 'digest': str(ref.digest), 'size': ref.size}
