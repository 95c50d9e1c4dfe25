"""Actions: what the command line does, as typed functions that print nothing.

Each takes typed arguments, reports progress through a callback, returns a frozen dataclass, and raises
`bench.errors.BenchError` with every problem it found. The public ones are exported by the package `bench`.
"""
