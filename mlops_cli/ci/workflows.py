"""Workflows for CI services, as text.

A pull request runs what its branch says, so the job that does holds no token, reads what the default branch has computed and
writes nothing there; the comment is written by a second job that runs nothing of the branch."""

from __future__ import annotations

import posixpath

from mlops_cli.core.classes import dataclass
from mlops_cli.core.patterns import pattern

_PLAIN = pattern(r'[A-Za-z0-9][A-Za-z0-9._/-]{0,200}')
PACKAGE = 'mlops-cli'


@dataclass(frozen=True, slots=True)
class Wanted:
    """``requirements``: a file of them, '' where there is none.  ``remote``: whether the project has one.  ``folder``: of the
    project in the repository, '.' at the top."""

    branch: str = 'main'
    requirements: str = ''
    remote: bool = False
    folder: str = '.'


FILES = {'github': '.github/workflows/mlops.yml', 'gitlab': '.gitlab-ci.yml'}

GITHUB = """\
# Written by: mlops ci init github.  What it does, and why so: docs/howto/ci.md of mlops.
name: mlops
on:
  pull_request:
  push:
    branches: ["{branch}"]
permissions:
  contents: read
concurrency:
  group: mlops-${{{{ github.ref }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}
defaults:
  run:
    working-directory: {folder}
jobs:
  run:  # runs what the branch says: no token, no secret, and the trusted cache to read alone
    runs-on: ubuntu-latest
    timeout-minutes: 360
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
          persist-credentials: false
      - run: git remote set-head origin "$BRANCH"  # whose policies of models count, which git does not bring
        env:
          BRANCH: ${{{{ github.event.repository.default_branch }}}}
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - uses: actions/cache/restore@v4
        with:
          path: {prefix}.mlops/cache
          key: mlops-${{{{ runner.os }}}}-${{{{ github.sha }}}}
          restore-keys: mlops-${{{{ runner.os }}}}-
      - run: {install}
      - run: mlops{yes} run --keep-going{pull}
      - run: mlops ci report --json > "$RUNNER_TEMP/report.json"
        if: always() && github.event_name == 'pull_request'
      - run: mlops ci report --from "$RUNNER_TEMP/report.json"
        if: always() && github.event_name == 'pull_request'
      - uses: actions/upload-artifact@v4
        if: always() && github.event_name == 'pull_request'
        with:
          name: mlops-report
          path: ${{{{ runner.temp }}}}/report.json
          if-no-files-found: ignore
      - uses: actions/cache/save@v4  # the trusted cache: written by what was merged, and by nothing else
        if: always() && github.event_name == 'push'
        with:
          path: {prefix}.mlops/cache
          key: mlops-${{{{ runner.os }}}}-${{{{ github.sha }}}}
  comment:  # may write comments: runs nothing of the branch
    needs: run
    if: always() && github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name == github.repository
    runs-on: ubuntu-latest
    timeout-minutes: 10
    permissions:
      pull-requests: write
    defaults:
      run:
        working-directory: .
    steps:
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - uses: actions/download-artifact@v4
        with:
          name: mlops-report
      - run: pip install {package}
      - run: mlops ci report --from report.json --post
        env:
          GITHUB_TOKEN: ${{{{ github.token }}}}
"""

GITLAB = """\
# Written by: mlops ci init gitlab.  What it does, and why so: docs/howto/ci.md of mlops.
stages: [run, report]

default:
  image: python:3.12

.of-merge-requests: &of-merge-requests
  - if: $CI_PIPELINE_SOURCE == "merge_request_event"

mlops-merge-request:  # runs what the branch says: the trusted cache is there to read alone
  stage: run
  rules: *of-merge-requests
  variables: {{GIT_DEPTH: "0"}}
  cache:
    key: mlops
    paths: [{prefix}.mlops/cache]
    policy: pull
  script:
    - git remote set-head origin "$CI_DEFAULT_BRANCH"  # whose policies of models count, which git does not bring
    - cd {folder}
    - {install}
    - mlops{yes} run --keep-going{pull} || failed=$?
    - mlops ci report --json > {up}report.json
    - mlops ci report --from {up}report.json > {up}report.md
    - exit ${{failed:-0}}
  artifacts:
    when: always
    expose_as: mlops
    paths: [report.json, report.md]

mlops:  # writes the trusted cache: what was merged, and nothing else
  stage: run
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  variables: {{GIT_DEPTH: "0"}}
  cache:
    key: mlops
    paths: [{prefix}.mlops/cache]
    policy: pull-push
    when: always
  script:
    - cd {folder}
    - {install}
    - mlops{yes} run --keep-going{pull}

mlops-comment:  # runs nothing of the branch
  stage: report
  needs: [mlops-merge-request]
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event" && $MLOPS_GITLAB_TOKEN
      when: always
  variables: {{GIT_STRATEGY: none}}
  script:
    - pip install {package}
    - mlops ci report --from report.json --post
"""


def workflow(platform: str, wanted: Wanted) -> str:
    """``platform``: github or gitlab.  Raises ValueError for names that are none to write into a workflow."""
    for name in (wanted.branch, wanted.folder, wanted.requirements):
        if name not in ('', '.') and not _PLAIN.fullmatch(name):
            raise ValueError(f'{name[:80]!r} has characters that a workflow would read as something else')
    install = f'pip install {PACKAGE}' + (f' -r {wanted.requirements}' if wanted.requirements else '')
    return (GITHUB if platform == 'github' else GITLAB).format(
        branch=wanted.branch,
        folder=wanted.folder,
        up='' if wanted.folder == '.' else f'{posixpath.relpath(".", wanted.folder)}/',
        prefix='' if wanted.folder == '.' else f'{wanted.folder}/',
        install=install,
        package=PACKAGE,
        yes=' --yes' if wanted.remote else '',
        pull=' --pull' if wanted.remote else '',
    )
