"""Repositories for the tests of the door to git."""

from __future__ import annotations

from pathlib import Path

from tests.support.project import Project


def committed_project(project: Project) -> Project:
    """Two commits, on a branch of its own; a folder with a file that is ignored, one that is not tracked."""
    project.write('a.txt', 'one\n')
    project.write('sub/project/b.txt', 'two\n')
    project.write('.gitignore', '*.bin\n')
    project.commit('first')
    project.write('a.txt', 'changed\n')
    project.commit('second')
    project.git('switch', '-q', '-c', 'feature/x')
    project.write('sub/project/new.txt', '')
    project.write('sub/project/c.bin', '')
    return project


def empty(tmp_path: Path) -> Path:
    """A folder to export into."""
    folder = tmp_path / 'target'
    folder.mkdir()
    return folder
