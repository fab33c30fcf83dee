"""Cross-validation, comparison of recipes, and search for a better one."""
