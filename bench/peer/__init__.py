"""The scenarios of `bench/peers.py` for other libraries. Each file runs alone, by a Python that has that library installed.

Nothing here imports goes_lite. A script takes the options of `scenario.arguments`, and its last line is one JSON object:
`events_per_s`, `p50_ms`, or `unsupported` with the reason why the library cannot do this.
"""
