"""The demo: real models on real drifting data, kept fresh on local Azure while you watch.

In: a folder and a console from `cli.demo`. Out: running processes, printed steps and a picture. May import `wiring` and
everything below it, and the client of `emulator`.
"""
