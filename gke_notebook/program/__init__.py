"""From a notebook cell to a program that can be shipped: which names it needs, what travels, what cannot; pure."""
