"""Rounds of a policy that was logged, for off-policy estimates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ranking.experiments import off_policy


class Rounds(NamedTuple):
    """n rounds of a actions at p positions, as Open Bandit Pipeline takes them."""

    reward: np.ndarray  # int [n]
    action: np.ndarray  # int [n]
    position: np.ndarray  # int [n]
    pscore: np.ndarray  # float64 [n], the probability with which the action was chosen
    policy: np.ndarray  # float64 [n, a, p], the probabilities of the other policy
    predicted: np.ndarray  # float64 [n, a, p], predicted rewards

    def sums(self) -> off_policy.Sums:
        """Return the sums that our estimates follow from."""
        each = np.arange(len(self.action))
        chosen, shares = self.policy[each, self.action, self.position], self.policy[each, :, self.position]
        shown, predicted = self.predicted[each, self.action, self.position], self.predicted[each, :, self.position]
        weights = chosen / self.pscore
        robust = (shares * predicted).sum(1) + weights * (self.reward - shown)
        return off_policy.Sums(
            *(np.asarray(column.sum()) for column in (each >= 0, weights, weights * self.reward, robust))
        )


def made(seed: int, rounds: int = 300, actions: int = 6, positions: int = 3) -> Rounds:
    """Return rounds by a seed: clicks depend on action and position, and both policies on the round."""
    rng = np.random.default_rng(seed)
    logged, policy = (rng.random((rounds, actions, positions)) ** power for power in (1, 3))
    logged, policy = logged / logged.sum(1, keepdims=True), policy / policy.sum(1, keepdims=True)
    position, each = rng.integers(0, positions, rounds), np.arange(rounds)
    draws = rng.random(rounds)
    action = (logged[each, :, position].cumsum(1) < draws[:, None]).sum(1).clip(max=actions - 1)
    chance = np.linspace(0.1, 0.6, actions)[:, None] * np.array([1, 0.7, 0.5])[:positions]
    reward = (rng.random(rounds) < chance[action, position]).astype(int)
    predicted = np.clip(chance + rng.normal(0, 0.05, chance.shape), 0, 1)
    return Rounds(
        reward, action, position, logged[each, action, position], policy, np.repeat(predicted[None], rounds, 0)
    )
