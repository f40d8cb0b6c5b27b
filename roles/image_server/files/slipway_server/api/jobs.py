# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: for the administrator, and for the runner that plays them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as Parameter

from ..choices.ordering import Wanted
from .audited import NoteDep
from .callers import AS_ROOT, ByDep
from .common import BODY, ServiceDep, refusals
from .models import jobs as models
from .models.common import MachineName

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
runner = APIRouter(prefix="/v1")


@admin.get("/jobs", response_model=models.JobList, responses=refusals())
async def list_jobs(
    service: ServiceDep,
    state: models.JobState | None = None,
    machine: MachineName | None = None,
) -> Any:
    """All jobs of the last days, oldest first."""
    found = [
        job
        for job in service.jobs.all()
        if state in (None, job.state) and machine in (None, job.machine)
    ]
    return {
        "jobs": [service.jobs.view(job) for job in found],
        "runner": service.jobs.runner_is_there,
        "strangers": service.strangers.all(),
    }


@admin.get("/jobs/{job_id}", response_model=models.JobView, responses=refusals("no_such_job"))
async def get_job(job_id: str, service: ServiceDep) -> Any:
    """One job."""
    return service.jobs.view(service.jobs.get(job_id))


@admin.post(
    "/jobs",
    status_code=201,
    response_model=models.JobView,
    responses=refusals(
        "unknown_machine", "unknown_image", "unknown_version", "machine_busy", *BODY
    ),
)
async def order_job(
    wanted: models.NewJob,
    by: ByDep,
    note: NoteDep,
    service: ServiceDep,
    check: Annotated[bool, Parameter(description="only say what it would be")] = False,
) -> Any:
    """Order a job for a machine that is off."""
    note.about(wanted.machine, after=f"{wanted.verb} {wanted.image or ''}".rstrip())
    asked = Wanted(wanted.machine, wanted.verb, wanted.image, wanted.options, wanted.after)
    return service.jobs.view(await service.ordering.order(asked, "order", by, check=check))


@admin.delete("/jobs/{job_id}", response_model=models.JobView, responses=refusals("no_such_job"))
async def cancel_job(job_id: str, note: NoteDep, service: ServiceDep) -> Any:
    """Cancel a job: its playbook is stopped, its session ended. An ended one stays as it is."""
    before = service.jobs.get(job_id)
    note.about(f"{before.machine}, job {job_id}", before.state)
    why = "The administrator has cancelled it."
    ended = await service.runs.end(job_id, "cancelled", why, "Ask the administrator.")
    note.after = ended.outcome
    return service.jobs.view(ended)


@runner.post("/jobs/poll", response_model=models.PollAnswer, responses=refusals(*BODY))
async def poll(asked: models.PollRequest, service: ServiceDep) -> Any:
    """A sign of life; the answer says which jobs to begin, oldest first, and which to stop."""
    begin, stop = await service.runs.poll(asked.runner, asked.holds, asked.free, asked.wait)
    return {"begin": [service.jobs.view(job) for job in begin], "stop": stop}


@admin.get(
    "/jobs/{job_id}/output", response_model=models.JobOutput, responses=refusals("no_such_job")
)
async def job_output(job_id: str, service: ServiceDep) -> Any:
    """The last of what Ansible said in a job since the service was started."""
    text, cut = service.outputs.of(service.jobs.get(job_id).id)
    return {"text": text, "cut": cut}


@runner.post(
    "/jobs/{job_id}/output",
    response_model=models.JobOutput,
    responses=refusals("no_such_job", *BODY),
)
async def job_says(job_id: str, said: models.JobSays, service: ServiceDep) -> Any:
    """What Ansible said in a job since the last time."""
    service.outputs.add(service.jobs.get(job_id).id, said.text)
    return {"text": "", "cut": False}


@runner.post(
    "/jobs/{job_id}/end",
    response_model=models.JobView,
    responses=refusals("no_such_job", *BODY),
)
async def end_job(job_id: str, how: models.JobEnd, service: ServiceDep) -> Any:
    """How a job ended. An ended one stays as it is."""
    ended = await service.runs.end(job_id, how.outcome, how.message, how.remedy)
    return service.jobs.view(ended)
