"""Ray: two nodes ask the shards, and the run is the one that a single process makes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # nodes on the loopback; read when ray is imported
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
pytest.importorskip("ray")

from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.evaluate.evaluate import evaluate
from bitproof.evaluate.on_ray import Work, ask_on_ray
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.requirements import parse_requirement
from bitproof.evaluate.suite.build import Profile

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets and files open

PLAN = Plan(
    profile=Profile(name="demo", items=6, max_tokens=48, max_context=300), slices=("rare-vocabulary",), noise=False
)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield cluster.address
        cluster.shutdown()


def work(ladder: Any, plan: Plan = PLAN) -> Work:
    paths = tuple(artifact.path for artifact in ladder.artifacts[:2])
    return Work(engine="emulation", model=str(ladder.reference.path), artifacts=paths, plan=plan)


def test_two_nodes_make_the_run_that_one_process_makes(ladder, tmp_path, two_nodes):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        folders = ask_on_ray(work(ladder), out=tmp_path / "two", n_shards=2, address=two_nodes)
        assert [folder.name for folder in folders] == ["1-of-2", "2-of-2"]
        before = [(folder / "run.sqlite").read_bytes() for folder in folders]
        assert (
            ask_on_ray(work(ladder), out=tmp_path / "two", n_shards=2, address=two_nodes) == folders
        )  # nothing is asked twice
        assert before == [(folder / "run.sqlite").read_bytes() for folder in folders]
        two = evaluate(work(ladder).open(), PLAN, out=tmp_path / "two")
        one = evaluate(work(ladder).open(), PLAN, out=tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    assert two.plan_digest == one.plan_digest
    assert [row.overall.difference for row in two.variants] == [row.overall.difference for row in one.variants]
    assert [row.overall.n_items for row in two.variants] == [one.n_items] * 2


def test_what_is_wrong_on_a_node_is_said_here(ladder, tmp_path, two_nodes):
    wrong = Plan(profile=PLAN.profile, slices=PLAN.slices, requirements=(parse_requirement("code>=-2pp"),))
    with pytest.raises(UsageError, match="nothing measures 'code'"):
        ask_on_ray(work(ladder, wrong), out=tmp_path, n_shards=1, address=two_nodes)
    assert not list(tmp_path.glob("shards/*/*"))


def test_a_cluster_that_is_not_there(ladder, tmp_path):
    with pytest.raises(EnvironmentFailed, match=r"--ray nowhere: no Ray cluster is reached"):
        ask_on_ray(work(ladder), out=Path(tmp_path), address="nowhere", n_shards=1)
