"""The bodies of the commands of the command line."""
