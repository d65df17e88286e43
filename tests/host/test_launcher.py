"""What a launcher says: which rank this is, and which job."""

from __future__ import annotations

from itertools import count

import pytest

from joulegram.host import launcher

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
}
SLURM = {"SLURM_JOB_ID": "71", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_CLUSTER_NAME": "big"}
FAMILIES = (
    "TORCHELASTIC_",
    "SLURM_",
    "OMPI_",
    "PMI_",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_",
)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher around, and no run yet."""
    for name in list(launcher.os.environ):
        if name.startswith(FAMILIES):
            monkeypatch.delenv(name)
    restart(monkeypatch)


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_runs_of_this_job", count(1))


def launch(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], **more: str) -> None:
    for name, value in {**environment, **more}.items():
        monkeypatch.setenv(name, value)
    restart(monkeypatch)


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, 0),
        ({"RANK": "3", "LOCAL_RANK": "1"}, 3),
        ({"SLURM_PROCID": "5"}, 5),
        ({"OMPI_COMM_WORLD_RANK": "2"}, 2),
        ({"PMI_RANK": "4"}, 4),
        ({"LOCAL_RANK": "1"}, 1),
        ({"RANK": "", "SLURM_PROCID": "x", "LOCAL_RANK": "1"}, 1),
    ],
    ids=str,
)
def test_the_rank_is_what_the_launcher_says(
    environment: dict[str, str], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(monkeypatch, environment)
    assert launcher.rank() == rank


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM], ids=["torchrun", "slurm"])
def test_every_rank_makes_up_the_same_id(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ids = set()
    for rank in range(4):
        launch(monkeypatch, environment, RANK=str(rank), SLURM_PROCID=str(rank))
        ids.add(launcher.job_run_id())
    assert len(ids) == 1
    assert str(ids.pop()).startswith("job-")


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM], ids=["torchrun", "slurm"])
def test_the_nth_run_of_each_rank_is_the_jobs_nth(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, environment)
    first = [launcher.job_run_id() for _ in range(3)]
    restart(monkeypatch)
    assert [launcher.job_run_id() for _ in range(3)] == first
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("environment", "change"),
    [
        (TORCHRUN, {"MASTER_PORT": "29501"}),
        (TORCHRUN, {"TORCHELASTIC_RESTART_COUNT": "1"}),
        (TORCHRUN, {"TORCHELASTIC_RUN_ID": "mine"}),
        (SLURM, {"SLURM_JOB_ID": "72"}),
        (SLURM, {"SLURM_STEP_ID": "1"}),
        (SLURM, {"SLURM_CLUSTER_NAME": "small"}),
    ],
    ids=str,
)
def test_another_job_is_another_run(
    environment: dict[str, str], change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(monkeypatch, environment)
    before = launcher.job_run_id()
    launch(monkeypatch, environment, **change)
    assert launcher.job_run_id() != before


def test_on_one_node_the_launchers_own_process_tells_jobs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, TORCHRUN)
    before = launcher.job_run_id()
    monkeypatch.setattr(launcher.os, "getppid", lambda: 1)
    restart(monkeypatch)
    assert launcher.job_run_id() != before
    launch(monkeypatch, TORCHRUN, WORLD_SIZE="4")  # on two nodes each has a launcher of its own
    across = launcher.job_run_id()
    monkeypatch.undo()
    launch(monkeypatch, TORCHRUN, WORLD_SIZE="4")
    assert launcher.job_run_id() == across


@pytest.mark.parametrize(
    "environment",
    [{}, {**SLURM, "SLURM_NTASKS": "1"}, {"SLURM_JOB_ID": "7"}, {**SLURM, "SLURM_NTASKS": ""}, {"WORLD_SIZE": "2"}],
    ids=str,
)
def test_without_a_job_of_several_ranks_there_is_no_job_id(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(monkeypatch, environment)
    assert launcher.job_run_id() is None


def test_what_a_launcher_garbles_is_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, SLURM, SLURM_NTASKS="4(x2)")
    assert launcher.job_run_id() is None
