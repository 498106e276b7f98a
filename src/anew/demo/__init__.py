"""The demo: a real model on real drifting data, kept fresh on local Azure while you watch."""
