"""The sandbox channel: a program that behaves like a real payment channel, over HTTP.

It keeps its own fsynced book, signs like a real channel, calls back, and has knobs for the
faults that real channels have. It shares nothing with the mesh but `paymesh.signing`, so in a storm
test its book is the independent truth. Start it with `python -m paymesh_ops.sandbox`.

Module by module, in the order to read them: `domain` (what may happen), `state` and `book` (what
has happened), `faults`, `callbacks`, `service` (puts these together), `requests` and `views` (JSON
in, JSON out), `app`, `admin`, `page` (HTTP).
"""
