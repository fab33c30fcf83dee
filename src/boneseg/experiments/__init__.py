"""Cross-validation, comparison of recipes, and hyperparameter search."""
