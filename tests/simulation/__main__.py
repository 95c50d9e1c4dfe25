"""`python -m tests.simulation`: the simulation of `tests.simulation.simulate`."""

from tests.simulation.simulate import main

main()
