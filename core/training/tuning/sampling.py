"""Which values a trial gets. Imports Optuna."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class SeededSampler(BaseSampler):
    """Optuna's TPE with dice of its own for every trial, from the seed and the trial's number.

    Optuna's own begins anew with its seed in every process: after an interruption the same random trials would come
    once more, and processes that search together would try the same.
    """

    def __init__(self, seed: int) -> None:
        """Nothing is drawn yet."""
        self._seed = seed
        self._current: tuple[int, TPESampler] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial) -> TPESampler:
        if self._current is None or self._current[0] != trial.number:
            seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # older versions call what is used here experimental
                self._current = trial.number, TPESampler(seed=seed, multivariate=True, constant_liar=True)
        return self._current[1]
