"""Random pipelines and what must come of them, told by a model that knows nothing of keys, pins or stores.

Every command is ``cat`` and the like over its inputs, cut to 400 bytes, so the model computes outputs itself.  A stage also
writes its name to a file outside the project each time it really runs: that is how needless and missing runs show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

CUT = 400


@dataclass(frozen=True)
class StageModel:
    """``sources``, ``stages``: what it reads (indices).  ``parts``: reads only one file of that stage's folder.
    ``coarse``: its output is only the number of bytes of its inputs, so that edits of the same length stop there.
    ``folder``: its output is a folder of two files.  ``salt``: a word in its command."""

    name: str
    sources: tuple[int, ...]
    stages: tuple[int, ...]
    parameter: str
    coarse: bool
    folder: bool
    part: bool
    salt: str

    @property
    def out(self) -> str:
        return f'out/{self.name}' + ('' if self.folder else '.txt')


@dataclass
class World:
    """The project as the model knows it; a branch of git is a copy of it."""

    stages: tuple[StageModel, ...]
    sources: dict[int, str] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)

    def copy(self) -> World:
        return World(self.stages, dict(self.sources), dict(self.params))

    def inputs(self, stage: StageModel) -> list[str]:
        """Paths it reads, in the order of its command."""
        found = [f'src/{number}.txt' for number in stage.sources]
        for number in stage.stages:
            other = self.stages[number]
            if not other.folder:
                found.append(other.out)
            elif stage.part:
                found.append(f'{other.out}/a')
            else:
                found += [f'{other.out}/a', f'{other.out}/b']
        return found

    def command(self, stage: StageModel, trace: str) -> str:
        cat = f'{{ cat {" ".join(self.inputs(stage))}; echo {stage.salt} ${{{stage.parameter}}}; }}'
        body = f'{cat} | wc -c' if stage.coarse else f'{cat} | head -c {CUT}'
        if stage.folder:
            made = f'{body} > {stage.out}/a; echo {stage.salt} > {stage.out}/b'
            return f'echo {stage.name} >> {trace}; mkdir -p {stage.out}/sub; {made}'
        return f'echo {stage.name} >> {trace}; {body} > {stage.out}'

    def pipeline(self, trace: str) -> str:
        stages = {}
        for stage in self.stages:
            deps = [f'src/{number}.txt' for number in stage.sources]
            for number in stage.stages:
                other = self.stages[number]
                deps.append(f'{other.out}/a' if other.folder and stage.part else other.out)
            stages[stage.name] = {
                'cmd': self.command(stage, trace),
                'deps': deps,
                'outs': [stage.out],
                'params': [stage.parameter],
            }
        return json.dumps({'version': 1, 'stages': stages}, indent=1)

    def outputs(self) -> dict[str, str]:
        """Path -> text of everything the pipeline makes, computed here."""
        files = {f'src/{number}.txt': text for number, text in self.sources.items()}
        made: dict[str, str] = {}
        for stage in self.stages:
            text = ''.join(files[path] for path in self.inputs(stage)) + f'{stage.salt} {self.params[stage.parameter]}\n'
            body = f'{len(text)}\n' if stage.coarse else text[:CUT]
            new = {f'{stage.out}/a': body, f'{stage.out}/b': f'{stage.salt}\n'} if stage.folder else {stage.out: body}
            files |= new
            made |= new
        return made

    def identities(self) -> dict[str, str]:
        """Stage -> all that it depends on, as one text: two equal ones are the same computation."""
        files = {f'src/{number}.txt': text for number, text in self.sources.items()} | self.outputs()
        found = {}
        for stage in self.stages:
            whole = [] if stage.part else [f'{self.stages[n].out}/b' for n in stage.stages if self.stages[n].folder]
            read = sorted({*self.inputs(stage), *whole})
            found[stage.name] = json.dumps(
                [stage.name, self.command(stage, ''), self.params[stage.parameter], [[path, files[path]] for path in read]]
            )
        return found


WORDS = st.sampled_from(['red', 'green', 'blue', 'one', 'two', 'sea'])
TEXTS = st.sampled_from(['a\n', 'b\n', 'alpha\n', 'omega\n', 'x' * 300 + '\n', 'y' * 300 + '\n', ''])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 7))
    sources = draw(st.integers(1, 4))
    stages: list[StageModel] = []
    for number in range(count):
        reads = tuple(draw(st.lists(st.integers(0, sources - 1), max_size=2, unique=True)))
        after = tuple(draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True))) if number else ()
        stages.append(
            StageModel(
                f's{number}',
                reads or ((0,) if not after else ()),
                after,
                draw(st.sampled_from(['p', 'q'])),
                draw(st.booleans()),
                draw(st.booleans()),
                draw(st.booleans()),
                draw(WORDS),
            )
        )
    world = World(tuple(stages))
    world.sources = {number: draw(TEXTS) for number in range(sources)}
    world.params = {'p': draw(st.integers(0, 3)), 'q': draw(st.integers(0, 3))}
    return world


def with_salt(world: World, number: int, salt: str) -> World:
    """The world after an edit of one stage's command."""
    stages = list(world.stages)
    stages[number] = replace(stages[number], salt=salt)
    return World(tuple(stages), dict(world.sources), dict(world.params))
