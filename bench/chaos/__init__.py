"""Everything at once, and then the count: events late, twice and lost, processes killed and frozen, Azure failing."""
