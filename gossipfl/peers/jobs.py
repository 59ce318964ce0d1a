"""The outstanding job of a peer in its snapshot."""

from typing import Any

from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Job, Train
from gossipfl.snapshot import Snapshot, read_only, under
from gossipfl.weights import ModelVectors, PeerId


def snapshot_of_job(job: Job | None) -> Snapshot:
    match job:
        case None:
            return {}, {"kind": None}
        case Evaluate():
            arrays: dict[str, NDArray[Any]] = {f"{i}/weights": model.weights for i, model in enumerate(job.models)}
            arrays |= {f"{i}/statistics": model.statistics for i, model in enumerate(job.models)}
            arrays |= {f"{i}/local": model.local for i, model in enumerate(job.models) if model.local.size}
            arrays |= {} if job.examples is None else {"examples": job.examples}
            return arrays, {
                "kind": "evaluate",
                "job": job.job,
                "first_step": job.first_step,
                "num_steps": job.num_steps,
                "part": job.part,
                "num_models": len(job.models),
            }
        case Train():
            return {
                "weights": job.weights,
                "statistics": job.statistics,
                **{f"state/{name}": array for name, array in job.state.items()},
                **{f"vectors/{name}": array for name, array in job.vectors.items()},
            }, {
                "kind": "train",
                "job": job.job,
                "first_step": job.first_step,
                "num_steps": job.num_steps,
                "proximal_mu": job.proximal_mu,
                "wants": sorted(job.wants),
                **({"secret": job.secret.hex()} if job.secret else {}),
            }


def job_of_snapshot(snapshot: Snapshot, peer_id: PeerId) -> Job | None:
    arrays, values = read_only(snapshot[0]), snapshot[1]
    match values["kind"]:
        case None:
            return None
        case "evaluate":
            models = tuple(ModelVectors(**under(f"{i}/", arrays)) for i in range(values["num_models"]))
            steps = values["first_step"], values["num_steps"]
            return Evaluate(peer_id, values["job"], models, *steps, values["part"], arrays.get("examples"))
        case _:
            return Train(
                peer_id=peer_id,
                job=values["job"],
                first_step=values["first_step"],
                num_steps=values["num_steps"],
                weights=arrays["weights"],
                statistics=arrays["statistics"],
                state=under("state/", arrays),
                vectors=under("vectors/", arrays),
                proximal_mu=values["proximal_mu"],
                wants=frozenset(values["wants"]),
                secret=bytes.fromhex(values.get("secret", "")),
            )
