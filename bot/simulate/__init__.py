"""A world in a box, under one seed: network, disk, faults and judges of simulated days."""
