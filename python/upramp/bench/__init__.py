"""How fast is it? Ratios against peers in the same run: ``python -m upramp.bench``."""
