"""Thin adapters: what travels on the wire becomes a call, an answer becomes what travels. No model runs here.

`registration.py` hangs every service onto a gRPC server; `status.py` turns every error into a gRPC status, for all of
them; `codec/` is for both ends of the wire, which is why importing this package alone imports nothing.
"""
