"""Use-cases over ports. Knows no vendor, no framework and no clock: `now` is an argument."""
