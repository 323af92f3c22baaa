"""Signed envelopes as DSSE 1.0 has them: what is signed, and how it stands in JSON.  Signs and checks nothing itself."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from mlops_cli.core.classes import dataclass

IN_TOTO = 'application/vnd.in-toto+json'
MOST = 16  # signatures


@dataclass(frozen=True, slots=True)
class Envelope:
    """``signatures``: (key id, signature)."""

    kind: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def signed_part(self) -> bytes:
        return signed_part(self.kind, self.payload)


def signed_part(kind: str, payload: bytes) -> bytes:
    """The bytes that are signed (the standard's PAE): no other kind of document gives the same."""
    name = kind.encode()
    return b'DSSEv1 %d %s %d %s' % (len(name), name, len(payload), payload)


def document(envelope: Envelope) -> dict[str, Any]:
    return {
        'payloadType': envelope.kind,
        'payload': base64.b64encode(envelope.payload).decode(),
        'signatures': [{'keyid': name, 'sig': base64.b64encode(signature).decode()} for name, signature in envelope.signatures],
    }


def read(found: Any) -> Envelope:
    """Raises ValueError on what is none."""
    try:
        kind, signatures = found['payloadType'], found['signatures']
        if not isinstance(kind, str) or not isinstance(signatures, list) or len(signatures) > MOST:
            raise ValueError('not an envelope')
        held = tuple((_text(one.get('keyid', '')), _bytes(one['sig'])) for one in signatures)
        return Envelope(kind, _bytes(found['payload']), held)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError('not an envelope') from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError('a key id that is no short text')
    return value


def _bytes(value: Any) -> bytes:
    """Readers take both alphabets of base64, as the standard says."""
    if not isinstance(value, str):
        raise ValueError('not base64')
    try:
        return base64.b64decode(value.replace('-', '+').replace('_', '/'), validate=True)
    except binascii.Error as error:
        raise ValueError('not base64') from error
