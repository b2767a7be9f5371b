"""A projection folded anew from its log, beside the one that lives: to replace it, to verify it, or to tell where two of them differ."""
