"""The engine of virtual time: hundreds of peers in one program, with a simulated network."""
