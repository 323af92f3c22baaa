"""What a host lacks of what a stage asks for, and what an hour there costs."""

from __future__ import annotations

import pytest

from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.spec import Resources
from mlops_cli.records import sightings
from mlops_cli.records.sightings import Sighting
from mlops_cli.run.choosing import Host, asked, price, unfit, what_it_has
from mlops_cli.usage.gpu import Card
from mlops_cli.usage.prices import Book, Prices, read_prices
from tests.support.project import Project

GIB = 1 << 30
TWO = tuple(Card(f'GPU-{n}', 'A100', 40 * GIB) for n in range(2))
LARGE = Sighting('2026-11-20T00:00:00Z', 16, 64 * GIB, None, TWO, '', 2)
CLUSTER = Sighting('2026-11-20T00:00:00Z', 512, 256 * GIB, None, (), 'slurm', 48)


@pytest.mark.parametrize(
    ('needs', 'seen', 'lacks'),
    [
        (Resources(), LARGE, ''),
        (Resources(cpus=16, memory_bytes=64 * GIB, gpus=2, gpu_memory_bytes=40 * GIB), LARGE, ''),
        (Resources(gpus=3), LARGE, 'has 2 GPUs'),
        (Resources(gpus=1, gpu_memory_bytes=41 * GIB), LARGE, 'has no GPU of 41 GiB'),
        (Resources(cpus=16.5), LARGE, 'has 16 CPUs'),
        (Resources(memory_bytes=64 * GIB + 1), LARGE, 'has 69 GB of memory'),
        (Resources(gpus=1), Sighting('', 16), 'has no GPU'),
        (Resources(gpus=1, gpu_memory_bytes=GIB), Sighting('', 16), 'has no GPU of 1 GiB'),
        (Resources(cpus=900, memory_bytes=900 * GIB), Sighting(''), ''),  # it did not say
        (Resources(gpus=8), CLUSTER, ''),
        (Resources(gpus=1), Sighting('', engine='kubernetes', gpus=None), 'does not say how many GPUs it has'),
        (Resources(gpus=8, gpu_memory_bytes=GIB), CLUSTER, 'does not say how large its GPUs are'),
        (Resources(gpus=1, gpu_memory_bytes=80 * GIB), Sighting('', cards=(Card('x', 'Orin'),), gpus=1), ''),  # shares memory
    ],
)
def test_what_a_host_lacks(needs: Resources, seen: Sighting, lacks: str) -> None:
    assert unfit(needs, seen) == lacks


@pytest.mark.parametrize(
    ('seen', 'lacks'),
    [
        (Sighting('', containers=True), ''),
        (Sighting('', containers=None), ''),  # it did not say
        (Sighting('', containers=False), 'has nothing that runs images'),
        (Sighting('', engine='slurm', containers=False), ''),  # where jobs are handed in; its nodes may have podman
        (Sighting('', engine='kubernetes', containers=True), 'has pods with an image of its own'),
    ],
)
def test_what_a_host_lacks_for_an_image(seen: Sighting, lacks: str) -> None:
    assert unfit(Resources(), seen, image=True) == lacks
    assert unfit(Resources(), seen) == ''


def test_a_stage_with_an_image_goes_where_that_can_run(project: Project) -> None:
    image = 'environment: {container: "python:3.12"}'
    project.write('pipeline.yaml', f'stages:\n  s: {{cmd: "true", host: any, {image}}}\n  t: {{cmd: "true", host: any}}\n')
    for name, programs in {'a': [], 'b': ['docker']}.items():
        project.mlops('hosts', 'add', name, f'ssh://{name}')
        with Root(str(project.path)) as root:
            sightings.keep(root, name, f'ssh://{name}', {'cpus': 4, 'containers': programs}, 0.0)
    said = ' '.join(project.mlops('plan').out.split())
    assert 'a has nothing that runs images' in said
    project.mlops('hosts', 'remove', 'b')
    refused = ' '.join(project.mlops('run', code=2).err.split())
    assert 'stage s' in refused and 'a has nothing that runs images' in refused


def test_of_several_cards_enough_have_to_be_large() -> None:
    mixed = Sighting('', 8, None, None, (*TWO, Card('GPU-9', 'T4', 16 * GIB)), '', 3)
    assert unfit(Resources(gpus=3, gpu_memory_bytes=20 * GIB), mixed) == 'has 2 GPUs of 20 GiB'
    assert unfit(Resources(gpus=2, gpu_memory_bytes=20 * GIB), mixed) == ''
    assert what_it_has(Resources(gpus=2), mixed) == '2 × GPU (16 GiB)'


def book(**entries: object) -> Book:
    prices: dict[str, Prices] = {name.replace('_', ' '): read_prices(entry) for name, entry in entries.items()}
    return Book(prices, 'EUR')


@pytest.mark.parametrize(
    ('entry', 'needs', 'said'),
    [
        ({'hour': 2}, Resources(), '2.00 EUR an hour'),
        ({'gpu_hour': 1.5}, Resources(gpus=2), '3.00 EUR an hour'),
        ({'cpu_hour': 0.1, 'gib_hour': 0.01}, Resources(cpus=4, memory_bytes=8 * GIB), '0.48 EUR an hour'),
        ({'hour': 1, 'watts': 500, 'gpu_watts': 250, 'kwh': 0.4}, Resources(gpus=2), '1.40 EUR an hour'),
        ({'hour': 3, 'currency': 'USD'}, Resources(), '3.00 USD an hour'),
        ({'from': '2027-01-01', 'hour': 3}, Resources(), None),  # it does not count yet
        ({'watts': 500}, Resources(), None),  # that is no price
    ],
)
def test_what_an_hour_costs(entry: object, needs: Resources, said: str | None) -> None:
    found = price(book(gpu1=entry), Host('gpu1', LARGE), needs, '2026-11-22')
    assert found is None if said is None else str(found) == said


def test_what_a_kind_of_gpu_costs_counts_for_who_has_it() -> None:
    prices = book(A100={'gpu_hour': 1})
    assert str(price(prices, Host('gpu1', LARGE), Resources(gpus=2), '2026-11-22')) == '2.00 EUR an hour'
    assert price(prices, Host('gpu1', LARGE), Resources(), '2026-11-22') is None


def test_what_is_asked_for_in_words() -> None:
    assert asked(Resources(gpus=1, gpu_memory_bytes=20 * GIB, cpus=8)) == '1 GPU of 20 GiB, 8 CPUs'
    assert asked(Resources(memory_bytes=10**9)) == '1 CPU, 1.0 GB of memory'
