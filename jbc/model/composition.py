"""What a model keeps of the composition of its cohort."""

from __future__ import annotations

import dataclasses

import numpy as np

from jbc.cohort import Cohort
from jbc.cohort.composition import Verdict


@dataclasses.dataclass(frozen=True)
class Held:
    """What domains hold.

    Attributes
    ----------
    shares : (D, K)
        Shares of populations in every domain.
    moves : (D,)
        Domains whose rows are corrected; others come out as they came in.
    verdict
        What was found (:class:`jbc.cohort.composition.Composition`); ``"equal"`` where domains hold the same mixture,
        or were taken to.
    """

    shares: np.ndarray
    moves: np.ndarray
    verdict: Verdict

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is saved."""
        return {"shares": self.shares, "moves": self.moves.astype(np.uint8)}

    @classmethod
    def of_arrays(cls, shares: np.ndarray, moves: np.ndarray, verdict: Verdict) -> Held:
        """Return what was saved."""
        return cls(shares, moves > 0, verdict)

    def stays(self, x: np.ndarray, corrected: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Return corrected rows, but those of domains that do not move as they came in."""
        if self.moves.all():
            return corrected
        return np.where(self.moves[domain][:, None], corrected, x)

    def extend(self, domains: int) -> Held:
        """Return the same with more domains, which move."""
        shares = np.concatenate([self.shares, np.repeat(self.shares.mean(axis=0)[None], domains, axis=0)])
        return dataclasses.replace(self, shares=shares, moves=np.append(self.moves, np.full(domains, True)))


def keep_composition(cohort: Cohort) -> Held:
    """Return what a model keeps of the composition of a cohort.

    Each method of a chain leaves domains alone itself.
    """
    domains, held = len(cohort.domains.count), cohort.composition
    if held is None:
        return Held(np.ones((domains, 1), np.float32), np.ones(domains, bool), "equal")
    moves = np.asarray(held.moves) | (cohort.leading is not None)
    return Held(np.asarray(held.shares), moves, held.verdict)
