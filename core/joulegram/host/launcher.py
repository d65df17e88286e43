"""Which job and which rank a launcher says this process is, so that all ranks of a job share one run."""

from __future__ import annotations

import os
from itertools import count

from joulegram.host.processes import process_started

_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "LOCAL_RANK")
_runs_of_this_job = count(1)


def rank() -> int:
    """Rank of this process among all of its job; 0 without a launcher."""
    for name in _RANK_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return 0


def job_run_id() -> str | None:
    """A run id that every rank of this launcher's job makes up alike; None without a launcher that tells.

    The n-th run of each rank is the n-th run of the job. A rendezvous id that users write themselves comes again with
    the next job, so the address, the port and, on a single node, the launcher's own process go into the id.
    """
    job = _torchrun_job() or _slurm_job()
    if job is None:
        return None
    import hashlib

    nth = next(_runs_of_this_job)
    digest = hashlib.sha256("/".join(job).encode()).hexdigest()[:12]
    return f"job-{digest}" if nth == 1 else f"job-{digest}-{nth}"


def _torchrun_job() -> list[str] | None:
    env = os.environ
    if "TORCHELASTIC_RUN_ID" not in env:
        return None
    names = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID")
    job = ["torchrun", *(env.get(name, "") for name in names)]
    if env.get("LOCAL_WORLD_SIZE") == env.get("WORLD_SIZE"):
        job += [str(os.getppid()), str(process_started(os.getppid()))]
    return job


def _slurm_job() -> list[str] | None:
    env = os.environ
    tasks = env.get("SLURM_NTASKS", "")
    if "SLURM_JOB_ID" not in env or "SLURM_STEP_ID" not in env or not tasks.isdecimal() or int(tasks) < 2:
        return None
    return ["slurm", env["SLURM_JOB_ID"], env["SLURM_STEP_ID"], env.get("SLURM_CLUSTER_NAME", "")]
