#!/usr/bin/env python3
"""What the conformance suite of OpenSSF's model signing calls, in words of ours:

    pytest SUITE/test --entrypoint tests/registry/oms_adapter.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('command', choices=('sign-model', 'verify-model'))
    for name in ('method', 'model-path', 'output-bundle', 'bundle', 'private-key', 'public-key', 'signing-cert'):
        parser.add_argument(f'--{name}', default='')
    for name in ('cert-chain', 'ignore-paths'):
        parser.add_argument(f'--{name}', action='append', default=[])
    parser.add_argument('--ignore-unsigned-files', action='store_true')
    asked, _ = parser.parse_known_args()
    if asked.method not in ('key', 'certificate'):
        return 3
    words = ['models', 'sign', asked.model_path, '-o', asked.output_bundle, '--key', asked.private_key]
    if asked.command == 'verify-model':
        words = ['models', 'verify', asked.model_path, '--signature', asked.bundle]
        words += ['--public-key', asked.public_key] if asked.method == 'key' else []
        words += ['--ignore-unsigned'] if asked.ignore_unsigned_files else []
    elif asked.method == 'certificate':
        words += ['--certificate', asked.signing_cert]
    words += [word for path in asked.cert_chain if asked.method == 'certificate' for word in ('--chain', path)]
    words += [word for path in asked.ignore_paths for word in ('--ignore', path)]
    return subprocess.run([sys.executable, '-m', 'mlops_cli', *words], env=dict(os.environ), check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
