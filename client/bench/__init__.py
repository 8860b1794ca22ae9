"""``caesura bench``: what the loop costs, in which design, against the limit.

One workload is played on one model by several designs of an agent loop, interleaved in one run, and beside them the
same engine alone. See ``spec/experiments``.
"""
