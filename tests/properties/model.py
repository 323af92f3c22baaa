"""Random pipelines and what must come of them, told by a model that knows nothing of keys, pins or stores.

Every command is ``cat`` and the like over its inputs, cut to 400 bytes, so the model computes outputs itself.  A stage also
writes its name to a file outside the project each time it really runs: that is how needless and missing runs show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hypothesis import strategies as st

CUT = 400
TWINS = (1, 2)
Kind = Literal['file', 'folder', 'twins']


@dataclass(frozen=True)
class StageModel:
    """``sources``, ``stages``: what it reads (indices); ``glob``: all of ``src/*.txt`` besides.

    ``kind``: one file, a folder of two files and an empty folder, or a matrix of two instances with a file each.
    ``part``: reads only one file of a stage's folder.  ``coarse``: its output is only the number of bytes of its inputs,
    so that edits of the same length stop there.  ``salt``: a word in its command."""

    name: str
    sources: tuple[int, ...]
    stages: tuple[int, ...]
    parameter: str
    kind: Kind
    coarse: bool
    part: bool
    glob: bool
    salt: str

    @property
    def instances(self) -> tuple[str, ...]:
        return tuple(f'{self.name}@{twin}' for twin in TWINS) if self.kind == 'twins' else (self.name,)

    def outs(self, instance: str) -> list[str]:
        """Files that an instance makes."""
        if self.kind == 'folder':
            return [f'out/{self.name}/a', f'out/{self.name}/b']
        return [f'out/{instance.replace("@", "-")}.txt']


@dataclass
class World:
    """The project as the model knows it; a branch of git is a copy of it."""

    stages: tuple[StageModel, ...]
    sources: dict[int, str] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)

    def copy(self) -> World:
        return World(self.stages, dict(self.sources), dict(self.params))

    def texts(self) -> dict[str, str]:
        return {f'src/{number}.txt': text for number, text in self.sources.items()}

    def inputs(self, stage: StageModel) -> list[str]:
        """Files it reads, in the order of its command."""
        found = [f'src/{number}.txt' for number in stage.sources]
        for number in stage.stages:
            other = self.stages[number]
            for instance in other.instances:
                outs = other.outs(instance)
                found += outs[:1] if stage.part else outs
        return found + (sorted(self.texts()) if stage.glob else [])

    def words(self, stage: StageModel) -> str:
        """The same, as its command says it."""
        fixed = self.inputs(replace(stage, glob=False))
        return ' '.join([*fixed, *(['src/*.txt'] if stage.glob else [])])

    def command(self, stage: StageModel, trace: str) -> str:
        twin = '-${item.n}' if stage.kind == 'twins' else ''
        name = stage.name + ('@${item.n}' if twin else '')
        cat = f'{{ cat {self.words(stage)} /dev/null; echo {stage.salt}{twin} ${{{stage.parameter}}}; }}'
        body = f'{cat} | wc -c' if stage.coarse else f'{cat} | head -c {CUT}'
        if stage.kind == 'folder':
            out = f'out/{stage.name}'
            body = f'mkdir -p {out}/empty; {body} > {out}/a; echo {stage.salt} > {out}/b'
        else:
            body = f'{body} > out/{stage.name}{twin}.txt'
        return f'echo {name} >> {trace}; {body}'

    def pipeline(self, trace: str) -> str:
        stages: dict[str, Any] = {}
        for stage in self.stages:
            deps: list[Any] = [f'src/{number}.txt' for number in stage.sources]
            for number in stage.stages:
                other = self.stages[number]
                if other.kind == 'twins':
                    deps += [{'stage': other.name}]
                elif other.kind == 'folder':
                    deps += [f'out/{other.name}/a' if stage.part else f'out/{other.name}']
                else:
                    deps += other.outs(other.name)
            deps += ['src/*.txt'] if stage.glob else []
            outs = {
                'folder': f'out/{stage.name}',
                'twins': f'out/{stage.name}-${{item.n}}.txt',
                'file': f'out/{stage.name}.txt',
            }
            stages[stage.name] = {
                'cmd': self.command(stage, trace),
                'deps': deps,
                'outs': [outs[stage.kind]],
                'params': [stage.parameter],
            }
            if stage.kind == 'twins':
                stages[stage.name]['matrix'] = {'n': list(TWINS)}
        return json.dumps({'version': 1, 'stages': stages}, indent=1)

    def outputs(self) -> dict[str, str]:
        """Path -> text of everything the pipeline makes, computed here."""
        files, made = self.texts(), {}
        for stage in self.stages:
            for instance in stage.instances:
                twin = f'-{instance.partition("@")[2]}' if stage.kind == 'twins' else ''
                read = ''.join(files[path] for path in self.inputs(stage))
                text = f'{read}{stage.salt}{twin} {self.params[stage.parameter]}\n'
                body = f'{len(text)}\n' if stage.coarse else text[:CUT]
                new = dict(zip(stage.outs(instance), (body, f'{stage.salt}\n'), strict=False))
                made |= new
            files |= made
        return made

    def identities(self) -> dict[str, str]:
        """Instance -> all that it depends on, as one text: two equal ones are the same computation."""
        files = self.texts() | self.outputs()
        found = {}
        for stage in self.stages:
            read = set(self.inputs(stage))
            for number in stage.stages:  # what is declared counts, read or not
                other = self.stages[number]
                if other.kind == 'twins' or (other.kind == 'folder' and not stage.part):
                    read |= {path for instance in other.instances for path in other.outs(instance)}
            depends = [self.command(stage, ''), self.params[stage.parameter], sorted((path, files[path]) for path in read)]
            found |= {instance: json.dumps([instance, *depends]) for instance in stage.instances}
        return found


WORDS = st.sampled_from(['red', 'green', 'blue', 'one', 'two', 'sea'])
TEXTS = st.sampled_from(['a\n', 'b\n', 'alpha\n', 'omega\n', 'x' * 300 + '\n', 'y' * 300 + '\n', ''])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 6))
    sources = draw(st.integers(1, 4))
    stages: list[StageModel] = []
    for number in range(count):
        reads = tuple(draw(st.lists(st.integers(0, sources - 1), max_size=2, unique=True)))
        after = tuple(draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True))) if number else ()
        kind: Kind = draw(st.sampled_from(['file', 'file', 'folder', 'twins']))
        glob = draw(st.integers(0, 5)) == 0
        stage = StageModel(
            f's{number}',
            reads,
            after,
            draw(st.sampled_from(['p', 'q'])),
            kind,
            draw(st.booleans()),
            draw(st.booleans()),
            glob,
            draw(WORDS),
        )
        stages.append(stage)
    world = World(tuple(stages))
    world.sources = {number: draw(TEXTS) for number in range(sources)}
    world.params = {'p': draw(st.integers(0, 3)), 'q': draw(st.integers(0, 3))}
    return world


def with_salt(world: World, number: int, salt: str) -> World:
    """The world after an edit of one stage's command."""
    stages = list(world.stages)
    stages[number] = replace(stages[number], salt=salt)
    return World(tuple(stages), dict(world.sources), dict(world.params))
