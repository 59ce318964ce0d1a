"""Topologies say who can talk to whom, as plain networkx graphs, and with which mixing weights."""

from gossipfl.topology.canonical_form import canonical
from gossipfl.topology.catalogue import available, named
from gossipfl.topology.complete import complete
from gossipfl.topology.files import from_file
from gossipfl.topology.generators import from_generator
from gossipfl.topology.links import from_links, written_out
from gossipfl.topology.mixing import SCHEMES, MixingScheme, checked_matrix, mixing_matrix, mixing_row, push_matrix
from gossipfl.topology.neighbors import Neighbors, all_neighbors
from gossipfl.topology.spectrum import (
    least_stationary_mass,
    predicted_rounds,
    second_eigenvalue,
    second_modulus,
    smallest_eigenvalue,
    spectral_gap,
)
from gossipfl.topology.summary import TopologySummary, diameter, summarize

__all__ = [
    "SCHEMES",
    "MixingScheme",
    "Neighbors",
    "TopologySummary",
    "all_neighbors",
    "available",
    "canonical",
    "checked_matrix",
    "complete",
    "diameter",
    "from_file",
    "from_generator",
    "from_links",
    "least_stationary_mass",
    "mixing_matrix",
    "mixing_row",
    "named",
    "predicted_rounds",
    "push_matrix",
    "second_eigenvalue",
    "second_modulus",
    "smallest_eigenvalue",
    "spectral_gap",
    "summarize",
    "written_out",
]
