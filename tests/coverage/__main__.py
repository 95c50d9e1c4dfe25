"""`python -m tests.coverage`: the simulation of `tests.coverage.simulate`."""

from tests.coverage.simulate import main

main()
