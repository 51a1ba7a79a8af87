"""How good recommendations are: metrics on held-out pairs, beside baselines, with intervals. docs/evaluation.md."""
