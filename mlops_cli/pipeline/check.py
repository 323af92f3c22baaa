"""What must hold between stages: who makes what, who needs whom.  Looks only at what is declared."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlops_cli.core.errors import Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import Pattern, ancestors, inside
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.expand import same
from mlops_cli.pipeline.sources import Problems
from mlops_cli.pipeline.spec import Output, Pipeline, Stage

_ROLES = {'out': 'outs', 'metric': 'metrics', 'plot': 'plots'}


def check(pipeline: Pipeline, axes: Mapping[str, Sequence[str]], broken: Iterable[str], rules: Sequence[str],
          problems: Problems) -> None:  # fmt: skip
    """Notes every mistake.  ``axes``: group -> the axes of its matrix.  ``broken``: groups that are in the file and could not
    be built.  ``rules``: the files that say what the stages are."""
    before = len(problems.errors)
    _one_maker(pipeline, axes, problems)
    _nothing_nested(pipeline, problems)
    for stage in pipeline.stages.values():
        _not_its_own(stage, problems)
        _kept_apart(stage, problems)
        _reports_apart(stage, problems)
        _leaves_its_rules(stage, rules, problems)
    _names(pipeline, set(broken), problems)
    if len(problems.errors) == before:
        problems.errors += graph.loops(pipeline, graph.edges(pipeline))


def _one_maker(pipeline: Pipeline, axes: Mapping[str, Sequence[str]], problems: Problems) -> None:
    """No path is made twice."""
    makers: dict[str, list[tuple[Stage, Output]]] = {}
    told: set[Where] = set()
    for stage in pipeline.stages.values():
        for output in stage.outputs:
            makers.setdefault(output.path, []).append((stage, output))
    for path, made in makers.items():
        if len(made) == 1:
            continue
        (first, output), (second, again) = made[0], made[1]
        if first is second:
            roles = sorted({_ROLES[one.role] for _, one in made[:2]})
            hint = 'metrics and plots are outputs already: list it there only' if len(roles) == 2 else 'remove one'
            problems.add(f'stage {first.group}: {path} is listed twice, first at {output.where}', again.where, hint)
        elif first.group == second.group and len({one.where for _, one in made}) == 1:
            if output.where not in told:
                _same_for_all(path, [stage for stage, _ in made], axes.get(first.group, ()), output.where, problems)
            told.add(output.where)
        else:
            problems.add(f'stage {second.name}: {path} is an output of {first.name} already, at {output.where}', again.where,
                         'one path has one maker: give one of them another path')


def _same_for_all(path: str, stages: Sequence[Stage], axes: Sequence[str], where: Where, problems: Problems) -> None:
    """Says which axis the path of an output does not use."""
    message = f'stage {stages[0].group}: {len(stages)} instances make the same output {path}: its path does not use the'
    if not axes:
        problems.add(f'{message} item', where, 'put ${item} or ${key} into the path')
        return
    first = stages[0].axes
    missing = [axis for axis in first if any(not same(stage.axes.get(axis), first[axis]) for stage in stages[1:])]
    missing = [axis for axis in missing if axis in axes] or missing
    uses = ' and '.join(f'${{item.{axis}}}' for axis in missing)
    axes_are = f'{"axis" if len(missing) == 1 else "axes"} {" and ".join(missing)}'
    problems.add(f'{message} {axes_are}', where, f'put {uses} into the path')


def _nothing_nested(pipeline: Pipeline, problems: Problems) -> None:
    """No output lies inside another one."""
    first = {output.path: (stage, output) for stage in pipeline.stages.values() for output in stage.outputs}
    for path, (stage, output) in first.items():
        for folder in ancestors(path):
            if folder in first:
                outer, around = first[folder]
                problems.add(f'stage {stage.name}: {path} lies inside {folder}, an output of {outer.name} at {around.where}',
                             output.where, 'keep the outputs of stages apart')


def _not_its_own(stage: Stage, problems: Problems) -> None:
    """A stage does not read what it makes."""
    for dep in stage.deps:
        for output in stage.outputs:
            if dep.kind == 'path' and dep.value == output.path:
                said = f'{dep.value} is both a dependency and an output'
            elif dep.kind == 'path' and (inside(dep.value, output.path) or inside(output.path, dep.value)):
                inner, outer = ('dependency', 'output') if inside(dep.value, output.path) else ('output', 'dependency')
                paths = {'dependency': dep.value, 'output': output.path}
                said = f'the {inner} {paths[inner]} lies inside the {outer} {paths[outer]}'
            elif dep.kind == 'glob' and Pattern(dep.value).reaches(output.path):
                said = f'the dependency {dep.value} matches the output {output.path}'
            else:
                continue
            problems.add(f'stage {stage.name}: {said}', dep.where,
                         'a stage cannot depend on what it makes: keep them apart, or go on from it with persist: true')


def _kept_apart(stage: Stage, problems: Problems) -> None:
    """Checkpoints and caches are neither outputs nor inputs."""
    kept = [('checkpoint', stage.checkpoint)] if stage.checkpoint else []
    kept += [('caches', path) for path in stage.caches]
    for name, path in kept:
        for output in stage.outputs:
            if inside(path, output.path) or inside(output.path, path):
                problems.add(f'stage {stage.name}: {name}: {path} and the output {output.path} overlap',
                             stage.places.get(name, stage.where), 'keep them apart: they are kept in different ways')
        for dep in stage.deps:
            if dep.kind == 'path' and (inside(path, dep.value) or inside(dep.value, path)):
                problems.add(f'stage {stage.name}: {name}: {path} and the dependency {dep.value} overlap', dep.where,
                             'keep them apart: what a stage keeps for itself is no input, or it would never be up to date')


def _reports_apart(stage: Stage, problems: Problems) -> None:
    """The file of progress may be an output, or lie in one; it is no input, and nothing that outlives the attempt."""
    path = stage.progress
    if path is None:
        return
    kept = [('checkpoint', stage.checkpoint)] if stage.checkpoint else []
    kept += [('caches', folder) for folder in stage.caches]
    for dep in stage.deps:
        if (dep.kind == 'path' and inside(path, dep.value)) or (dep.kind == 'glob' and Pattern(dep.value).reaches(path)):
            problems.add(f'stage {stage.name}: the dependency {dep.value} holds its progress: {path}', dep.where,
                         'keep them apart: a stage that changes its own inputs would never be up to date')
    for name, folder in kept:
        if inside(path, folder):
            where = stage.places.get('progress', stage.where)
            problems.add(f'stage {stage.name}: progress: {path} lies in {name}: {folder}', where,
                         'keep them apart: it tells of one attempt only')
    for output in stage.outputs:
        if inside(output.path, path) and output.path != path:
            problems.add(f'stage {stage.name}: the output {output.path} lies below the file progress: {path}', output.where,
                         'give one of them another path')


def _leaves_its_rules(stage: Stage, files: Sequence[str], problems: Problems) -> None:
    """A stage must not make what says what the stages are."""
    for output in stage.outputs:
        for file in files:
            if inside(file, output.path):
                what = output.path if file == output.path else f'{output.path} holds {file}, which'
                problems.add(f'stage {stage.group}: the pipeline is read from the output {what}' if file == output.path else
                             f'stage {stage.group}: the output {what} the pipeline is read from', output.where,
                             'give the output another path')


def _names(pipeline: Pipeline, broken: set[str], problems: Problems) -> None:
    """Stages that are named are there."""
    groups = pipeline.groups
    known = [*groups, *broken, *(name for name in pipeline.stages if '@' in name)]

    def unknown(name: str) -> bool:
        return name not in pipeline.stages and name not in groups and name.partition('@')[0] not in broken

    for stage in pipeline.stages.values():
        for dep in stage.deps:
            if dep.kind == 'stage' and unknown(dep.value):
                problems.add(f'stage {stage.group}: there is no stage {dep.value}', dep.where,
                             did_you_mean(dep.value, known, what='stages'))
            elif dep.kind == 'stage' and dep.value.partition('@')[0] not in broken:
                makers = groups.get(dep.value, (dep.value,))
                if not any(pipeline.stages[name].outputs for name in makers):
                    problems.add(f'stage {stage.group}: {dep.value} makes nothing that could be depended on', dep.where,
                                 f'for order alone: needs: [{dep.value}]')
        for number, name in enumerate(stage.needs):
            if unknown(name):
                problems.add(f'stage {stage.group}: needs: there is no stage {name}', stage.places[f'needs.{number}'],
                             did_you_mean(name, known, what='stages'))


def duplicates(parts: Mapping[str, Sequence[Where]], problems: Problems) -> None:
    """``parts``: stage name -> its places, over all files."""
    for name, places in parts.items():
        for again in places[1:]:
            problems.add(f'stage {name} is there already, at {places[0]}', again, 'all included files share the names')
